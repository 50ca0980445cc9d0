"""Every scored frame of a series with what each forecaster had said of it, having seen all before it in its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np

from pipeline.baselines import Baseline, Frame
from pipeline.dataset import Truth
from pipeline.splits import Span
from pipeline.storage import store

BLOCK = 16
"""Frames read at a time."""


class StoredForecast:
    """A forecaster whose forecasts were made before: element t - 1 of a volume is for frame t.

    Args:
        path: The volume.
        first: The number of the first frame that is seen.
    """

    def __init__(self, path: Path, first: int = 0):
        self._path, self._seen = path, first
        self._first, self._frames = 0, None

    def update(self, frame: Frame) -> None:
        del frame
        self._seen += 1

    def forecast(self) -> Frame:
        wanted = self._seen - 1
        if self._frames is None or wanted >= self._first + len(self._frames):
            self._first, self._frames = wanted, store.read_frames(self._path, None, wanted, wanted + BLOCK)
        return self._frames[wanted - self._first].astype(np.float64)


def hindcast(
    truth: Truth, spans: list[Span], forecasters: Callable[[int], Mapping[str, Baseline]]
) -> Iterator[tuple[int, Frame, dict[str, Frame]]]:
    """Of each frame that has one before it, in the order of time: its number, the frame, and the forecasts of it.

    Args:
        truth: The series.
        spans: Of it, in order, each in one run.
        forecasters: Makes new ones, by name, given the number of the first frame that they are shown, that of a run.
    """
    for begun, group in groupby(spans, key=lambda span: span.first):
        told, own = forecasters(begun), list(group)
        scored, stop = {frame for span in own for frame in span.scored}, own[-1].stop
        for first in range(begun, stop, BLOCK):
            for number, frame in enumerate(truth.frames(first, min(first + BLOCK, stop)), start=first):
                if number in scored:
                    yield number, frame, {name: one.forecast() for name, one in told.items()}
                for one in told.values():
                    one.update(frame)
