"""Frames that arrived later, behind those that a store holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.volume import AXES, DATA, SPACE, InputError

DATED = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "julian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
)
"""Calendars: times in them are dates."""

NEAR = 0.01
"""By which part of a step places may differ: headers of formats round them."""


def refuse_misfit(earlier: xr.Dataset, more: xr.Dataset, path: Path) -> None:
    """Refuses frames that cannot follow those of the store at `path`.

    Raises:
        InputError: They have another shape, type, channels, unit or place; or do not come later.
    """
    pairs = {
        "frames of the shape": tuple(tuple(v.sizes[axis] for axis in AXES[1:]) for v in (earlier, more)),
        "numbers of the type": tuple(str(v[DATA].dtype) for v in (earlier, more)),
        "channels": tuple([str(name) for name in v["channel"].values] for v in (earlier, more)),
        "the unit": tuple(str(v[DATA].attrs.get("units", "")) for v in (earlier, more)),
        "times in": tuple(_clock(v) for v in (earlier, more)),
    }
    for what, (held, given) in pairs.items():
        if held != given:
            raise InputError(
                f"{path} has {what} {held}, what is to be added has {given}; put it into a store of its own"
            )
    for name in sorted(set(earlier.coords) | set(more.coords), key=str):
        places = [v.coords.get(name) for v in (earlier, more)]
        of_voxels = any(one is not None and one.dims and one.dims[0] in SPACE for one in places)
        if of_voxels and (any(one is None for one in places) or not _same_places(*(one.values for one in places))):
            raise InputError(f"{path} and what is to be added lie at different places ({name}); regrid one of them")
    if not _same_affine(earlier, more):
        affines = [np.round(v.attrs.get("affine", []), 4)[:3].tolist() for v in (earlier, more)]
        raise InputError(
            f"{path} has the affine {affines[0]}, what is to be added {affines[1]}; put it into a store of its own, "
            "or resample one of them"
        )
    if _clock(earlier) in DATED:
        last, first = earlier["time"].values[-1], more["time"].values[0]
        if not last < first:
            raise InputError(
                f"what is to be added begins at {first}, and {path} ends at {last}; give only frames that come later "
                "(--select time=FIRST:LAST)"
            )


def with_more(earlier: xr.Dataset, more: xr.Dataset) -> xr.Dataset:
    """One volume behind the other, lazily.

    Dates stay as they are. Frame numbers go on. Seconds, which begin anew in each recording, go on one step after the
    last, and what is added is a run of its own (or several), as if all had been brought in together.
    """
    clock = _clock(earlier)
    if clock not in DATED and "time" in more.coords:
        held, given = (v["time"].values for v in (earlier, more))
        step = 1 if clock == "frames" or len(held) < 2 else held[-1] - held[-2]
        more = more.assign_coords(time=("time", given - given[0] + held[-1] + step, more["time"].attrs))
    if clock == "s" or "run" in earlier.coords or "run" in more.coords:
        last = earlier["run"].values if "run" in earlier.coords else np.zeros(earlier.sizes["time"], int)
        own = more["run"].values if "run" in more.coords else np.zeros(more.sizes["time"], int)
        attributes = next((v["run"].attrs for v in (earlier, more) if "run" in v.coords), {})
        earlier = earlier.assign_coords(run=("time", last, attributes))
        more = more.assign_coords(run=("time", own - own.min() + last.max() + 1, attributes))
    if "missing" in earlier.coords or "missing" in more.coords:
        earlier, more = (
            v if "missing" in v.coords else v.assign_coords(missing=("time", np.zeros(v.sizes["time"], bool)))
            for v in (earlier, more)
        )
    joined = xr.concat(
        [earlier, more], "time", combine_attrs="override", join="override", coords="minimal", compat="override"
    )
    if "time" in joined.coords:
        joined["time"].encoding = earlier["time"].encoding
    return joined


def _same_places(held: np.ndarray, given: np.ndarray) -> bool:
    """Whether two coordinates of voxels say the same, but for what headers round."""
    if held.shape != given.shape or held.dtype.kind not in "iuf" or given.dtype.kind not in "iuf":
        return np.array_equal(held, given)
    steps = np.abs(np.diff(held.astype(float), axis=-1))
    near = NEAR * steps.min() if steps.size else 1e-6 * np.abs(held).max()
    return bool(np.allclose(given, held, rtol=0, atol=near))


def _same_affine(earlier: xr.Dataset, more: xr.Dataset) -> bool:
    """Whether both have no affine, or their affines put no corner farther apart than `NEAR` voxels."""
    affines = [v.attrs.get("affine") for v in (earlier, more)]
    if None in affines:
        return affines == [None, None]
    from pipeline.archive.geometry import farthest

    depth, height, width = (earlier.sizes[axis] for axis in SPACE)
    return farthest(*map(np.array, affines), (width, height, depth)) <= NEAR


def _clock(volume: xr.Dataset) -> str:
    """How the times of a volume are told: in a calendar, in a unit, or as numbers of frames."""
    if "time" not in volume.coords:
        return "frames"
    times = volume["time"]
    return str(getattr(times.values[0], "calendar", "") or times.attrs.get("units") or "frames")
