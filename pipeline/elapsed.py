"""How much time passes from frame to frame, as a model counts it; and where its states begin anew."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from pipeline.sequence import begun_anew, refuse_unnumbered, run_starts
from pipeline.times import are_dates
from pipeline.volume import InputError

Elapsed = Float[np.ndarray, "time"]


def elapsed(volume: xr.Dataset, unit: float | None = None) -> Elapsed | None:
    """The time from the frame before to each, float32; infinite where a run of the data begins; `None` where every
    step is 1. That of the first frame, which nothing is before, is 1.

    Args:
        volume: A prepared series.
        unit: What counts as 1, in seconds, or in the unit of times that are no dates; `None`: every step is 1.

    Raises:
        InputError: Times do not increase within a run; or runs are not numbers.
    """
    refuse_unnumbered(volume)
    starts = run_starts(volume)
    if unit is None:
        return begun_anew(np.ones(volume.sizes["time"], np.float32), starts) if len(starts) else None
    steps = np.append(unit, between(volume))
    within = np.delete(steps, [0, *starts])
    if not (within > 0).all():
        raise InputError("the times of the series do not increase from frame to frame; sort the frames")
    return begun_anew((steps / unit).astype(np.float32), starts)


def median_step(volume: xr.Dataset) -> float:
    """The median step of a series within its runs, in seconds, or in the unit of times that are no dates.

    Raises:
        InputError: It has one frame only.
    """
    steps = np.delete(between(volume), run_starts(volume) - 1)
    if not len(steps):
        raise InputError("a series of one frame has no step of time; give at least 2 frames, or leave uneven out")
    return float(np.median(steps))


def between(volume: xr.Dataset) -> Float[np.ndarray, "steps"]:
    """The differences of the times of frames in a row, float64."""
    times = volume["time"].values
    if are_dates(times):
        return np.array([step.total_seconds() for step in np.diff(times)], np.float64)
    return np.diff(times.astype(np.float64))
