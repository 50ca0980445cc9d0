"""Every scored frame of a series with what each forecaster had said of it, having seen all frames before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """

    def __init__(self, path: Path):
        self._path, self._seen = path, 0
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
    truth: Truth, spans: list[Span], forecasters: Mapping[str, Baseline]
) -> Iterator[tuple[int, Frame, dict[str, Frame]]]:
    """Of each frame that has one before it, in the order of time: its number, the frame, and the forecasts of it.

    Args:
        truth: The series.
        spans: Of it, in order.
        forecasters: New ones, by name. They see the series from its first frame on.
    """
    scored, stop = {frame for span in spans for frame in span.scored}, spans[-1].stop
    for first in range(0, stop, BLOCK):
        for number, frame in enumerate(truth.frames(first, min(first + BLOCK, stop)), start=first):
            if number in scored:
                yield number, frame, {name: one.forecast() for name, one in forecasters.items()}
            for one in forecasters.values():
                one.update(frame)
