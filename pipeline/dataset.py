"""A prepared series, read from Zarr when it is needed: in its own units, or as windows to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.elapsed import Elapsed
from pipeline.masks import data_channels
from pipeline.normalisation import Normalisation
from pipeline.phases import PHASE
from pipeline.roles import Roles
from pipeline.sequence import run_starts
from pipeline.splits import Span, by_series
from pipeline.storage import arrays, store
from pipeline.volume import DATA, InputError
from ssm_ops import memory


class Truth:
    """The frames of a prepared series in the units of its source, float64; NaN where there is no value.

    Normalised values are of order 1, so float32 holds them finer than it holds the source's own numbers.

    Args:
        prepared: The folder of the `preprocess` stage.
        series: Which series.
        channels: Which channels, by name; by default all.
    """

    def __init__(self, prepared: Path, series: str, channels: Sequence[str] | None = None):
        self._path, self.series = prepared / "prepared.zarr", series
        statistics, _ = arrays.read_arrays(prepared / "statistics.zarr")
        volume, self.normalisation = store.open_volume(self._path, series), Normalisation.of(statistics)
        self._taken: list[int] | None = None
        if channels is not None:
            places = Roles.named(volume, channels, ()).read
            volume = volume.isel(channel=list(places)).assign_attrs(masks=len(places) - len(channels))
            self.normalisation = self.normalisation.of_channels(places[: len(channels)])
            self._taken = list(places)
        self.volume = volume
        self.units = self.volume[DATA].attrs["normalised_from"]
        self.phases = self.volume[PHASE].values if PHASE in self.volume.coords else None
        self._channels = data_channels(self.volume)

    def normal(self, start: int, stop: int) -> Float[np.ndarray, "time read depth height width"]:
        """The frames as they are stored: normalised, with their masks."""
        frames = store.read_frames(self._path, self.series, start, stop)
        return frames if self._taken is None else frames[:, self._taken]

    def frames(self, start: int, stop: int) -> Float[np.ndarray, "time channel depth height width"]:
        stored = self.normal(start, stop)
        normal, masks = stored[:, : self._channels], stored[:, self._channels :]
        frames = self.normalisation.to_units(normal, None if self.phases is None else self.phases[start:stop])
        if masks.size:
            frames[np.broadcast_to(masks == 0, frames.shape)] = np.nan
        return frames

    def expected(self, frame: int) -> Float[np.ndarray, "channel depth height width"]:
        """The mean of the training frames, of the frame's phase of the year where anomalies are from phases."""
        return self.normalisation.expected(None if self.phases is None else int(self.phases[frame]))


def splits_of(prepared: Path) -> dict[str, list[Span]]:
    """The splits of a `preprocess` stage: of each the frames of its periods."""
    path = prepared / "prepared.zarr"
    stored = store.open_volume(path, arrays.groups(path)[0]).attrs["splits"]  # all series carry the same
    return {split: [Span(**span) for span in spans] for split, spans in stored.items()}


def within_runs(prepared: Path, splits: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    """The splits, their periods cut where a run of the data begins."""
    names = dict.fromkeys(span.series for spans in splits.values() for span in spans)
    starts = {name: run_starts(store.open_volume(prepared / "prepared.zarr", name)).tolist() for name in names}
    return {
        split: [part for span in spans for part in span.within(starts[span.series])] for split, spans in splits.items()
    }


def scored_frames(splits: Mapping[str, list[Span]], split: str) -> list[tuple[str, int]]:
    """The frames of a split that have one before them to be forecast from, series by series: where scores are.

    Raises:
        InputError: There are none.
    """
    found = [
        (series, frame) for series, own in by_series(splits[split]).items() for span in own for frame in span.scored
    ]
    if not found:
        raise InputError(
            f"the {split} split is the first frame of its series alone; give it more, to be forecast from it"
        )
    return found


def tested_frames(splits: Mapping[str, list[Span]], lead: int) -> list[tuple[str, int]]:
    """The frames of the test split that scores are of, series by series: `scored_frames` of forecasts, all frames of
    what is made of the same frame."""
    if lead:
        return scored_frames(splits, "test")
    return [
        (series, frame) for series, own in by_series(splits["test"]).items() for span in own for frame in span.frames
    ]


def forecast_of(prediction: Path, series: str) -> Path:
    """The forecast of a series in the folder of an `infer` stage: its group, if several series were forecast.

    Raises:
        InputError: Others were forecast.
    """
    path = prediction / "prediction.zarr"
    names = arrays.groups(path)
    if names and series not in names:
        raise InputError(
            f"the prediction is of the series {', '.join(names)}, the test split of series {series!r}; "
            f"add {series!r} to the series of the infer stage"
        )
    return path / series if names else path


class Sample(NamedTuple):
    """Frames in a row, to train on.

    Attributes:
        frames: Prepared frames, all channels.
        steps: The time from the frame before to each, see `pipeline.elapsed`; `None` where every step is 1.
    """

    frames: Float[Tensor, "time channel depth height width"]
    steps: Float[Tensor, "time"] | None

    def to(self, device: torch.device) -> Sample:
        """The same on a device."""
        return Sample(self.frames.to(device), None if self.steps is None else self.steps.to(device))


@dataclass(frozen=True)
class Windows:
    """Windows of `length` frames, cut from some spans; one shorter than a window offers none.

    Attributes:
        path: The prepared store.
        spans: Where windows are cut.
        length: Frames of each.
        steps: Of each series the time from frame to frame, see `pipeline.elapsed`; one that is not here has steps of 1.
    """

    path: Path
    spans: tuple[Span, ...]
    length: int
    steps: Mapping[str, Elapsed | None] = field(default_factory=dict)

    def __post_init__(self):
        longest = max(span.stop - span.start for span in self.spans)
        if self.length > longest:
            raise InputError(
                f"a window of {self.length} frames does not fit the {longest} frames of its split"
                f"{'' if len(self.spans) == 1 else ' (of its longest period or run)'}; set window to at most "
                f"{longest}"
            )

    def firsts(self, seed: int, step: int, count: int, *, draw: int = 0) -> list[tuple[str, int]]:
        """The series and first frame of each window of a training step, all windows alike: drawn from (seed, step)
        alone, so that a resumed run, and every worker, sees the same data; another `draw`, counted from 1, gives
        others."""
        random = np.random.default_rng([seed, step, draw] if draw else [seed, step])
        offers = np.cumsum([max(0, span.stop - span.start - self.length + 1) for span in self.spans])
        found = []
        for _ in range(count):
            number = int(random.integers(offers[-1]))
            place = int(np.searchsorted(offers, number, "right"))
            span = self.spans[place]
            found.append((span.series, span.start + number - int(offers[place - 1] if place else 0)))
        return found

    def read(self, window: tuple[str, int], start: int, stop: int) -> Sample:
        """The frames [start, stop) of the window that begins at a frame of a series."""
        series, first = window
        steps, own = self.steps.get(series), slice(first + start, first + stop)
        frames = torch.from_numpy(store.read_frames(self.path, series, own.start, own.stop, empty=memory.empty))
        return Sample(frames, None if steps is None else torch.from_numpy(steps[own]))
