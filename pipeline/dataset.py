"""A prepared series, read from Zarr when it is needed: in its own units, or as windows to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import store
from pipeline.volume import DATA, InputError
from ssm_ops import memory


class Truth:
    """The frames of a prepared series in the units of its source, float64.

    Normalised values are of order 1, so float32 holds them finer than it holds the source's own numbers.
    """

    def __init__(self, prepared: Path, series: str):
        self._path, self._series = prepared / "prepared.zarr", series
        statistics, _ = store.read_arrays(prepared / "statistics.zarr")
        self.mean, self.scale = statistics["mean"], statistics["scale"]
        self.climatology = statistics["climatology"]
        self.volume = store.open_volume(self._path, series)
        self.units = self.volume[DATA].attrs["normalised_from"]

    def frames(self, start: int, stop: int) -> Float[np.ndarray, "time channel depth height width"]:
        return store.read_frames(self._path, self._series, start, stop).astype(np.float64) * self.scale + self.mean


def splits_of(prepared: Path) -> dict[str, dict]:
    """The splits of a `preprocess` stage: per split its series and its frames [start, stop)."""
    path = prepared / "prepared.zarr"
    return store.open_volume(path, store.groups(path)[0]).attrs["splits"]  # all series carry the same


def forecast_of(prediction: Path, series: str) -> Path:
    """The forecast of a series in the folder of an `infer` stage: its group, if several series were forecast.

    Raises:
        InputError: Others were forecast.
    """
    path = prediction / "prediction.zarr"
    names = store.groups(path)
    if names and series not in names:
        raise InputError(
            f"the prediction is of the series {', '.join(names)}, the test split of series {series!r}; "
            f"add {series!r} to the series of the infer stage"
        )
    return path / series if names else path


@dataclass(frozen=True)
class Windows:
    """Windows of `length` frames of one series, cut from the frames [start, stop)."""

    path: Path
    series: str
    start: int
    stop: int
    length: int

    def __post_init__(self):
        if self.length > self.stop - self.start:
            raise InputError(
                f"a window of {self.length} frames does not fit the {self.stop - self.start} frames of its split; "
                f"set window to at most {self.stop - self.start}"
            )

    def firsts(self, seed: int, step: int, count: int) -> list[int]:
        """Where the windows of a training step begin: drawn from (seed, step) alone, so that a resumed run, and every
        worker, sees the same data."""
        draw = np.random.default_rng([seed, step])
        return [int(draw.integers(self.start, self.stop - self.length + 1)) for _ in range(count)]

    def read(self, first: int, start: int, stop: int) -> Float[Tensor, "time channel depth height width"]:
        """The frames [start, stop) of the window that begins at frame `first` of the series."""
        span = (self.series, first + start, first + stop)
        return torch.from_numpy(store.read_frames(self.path, *span, empty=memory.empty))
