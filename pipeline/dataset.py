"""A prepared series, read from Zarr when it is needed: in its own units, or as windows to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.masks import data_channels
from pipeline.normalisation import Normalisation
from pipeline.phases import PHASE
from pipeline.splits import Span, by_series
from pipeline.storage import arrays, store
from pipeline.volume import DATA, InputError
from ssm_ops import memory


class Truth:
    """The frames of a prepared series in the units of its source, float64; NaN where there is no value.

    Normalised values are of order 1, so float32 holds them finer than it holds the source's own numbers.
    """

    def __init__(self, prepared: Path, series: str):
        self._path, self.series = prepared / "prepared.zarr", series
        statistics, _ = arrays.read_arrays(prepared / "statistics.zarr")
        self.normalisation = Normalisation.of(statistics)
        self.volume = store.open_volume(self._path, series)
        self.units = self.volume[DATA].attrs["normalised_from"]
        self.phases = self.volume[PHASE].values if PHASE in self.volume.coords else None
        self._channels = data_channels(self.volume)

    def normal(self, start: int, stop: int) -> Float[np.ndarray, "time read depth height width"]:
        """The frames as they are stored: normalised, with their masks."""
        return store.read_frames(self._path, self.series, start, stop)

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


def scored_frames(splits: dict[str, list[Span]], split: str) -> list[tuple[str, int]]:
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


@dataclass(frozen=True)
class Windows:
    """Windows of `length` frames, cut from some spans; one shorter than a window offers none.

    Attributes:
        path: The prepared store.
        spans: Where windows are cut.
        length: Frames of each.
    """

    path: Path
    spans: tuple[Span, ...]
    length: int

    def __post_init__(self):
        longest = max(span.stop - span.start for span in self.spans)
        if self.length > longest:
            raise InputError(
                f"a window of {self.length} frames does not fit the {longest} frames of its split"
                f"{'' if len(self.spans) == 1 else ' (of its longest period)'}; set window to at most {longest}"
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

    def read(self, window: tuple[str, int], start: int, stop: int) -> Float[Tensor, "time channel depth height width"]:
        """The frames [start, stop) of the window that begins at a frame of a series."""
        series, first = window
        span = (series, first + start, first + stop)
        return torch.from_numpy(store.read_frames(self.path, *span, empty=memory.empty))
