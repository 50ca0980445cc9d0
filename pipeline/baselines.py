"""Forecasts without a model: what any model has to beat. Each sees one frame at a time and forecasts the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Frame = Float[np.ndarray, "channel depth height width"]


@runtime_checkable
class Baseline(Protocol):
    """`update(frame)` with every frame in turn; `forecast()` is then the forecast of the next."""

    def update(self, frame: Frame) -> None: ...

    def forecast(self) -> Frame: ...


class Persistence:
    """The next frame is the last one."""

    def update(self, frame: Frame) -> None:
        self._last = frame

    def forecast(self) -> Frame:
        return self._last


class TrainingMean:
    """Every frame is the mean of the training frames; of those of its phase of the year, if the data are anomalies.

    Args:
        expected: That mean, by the number of a frame.
    """

    def __init__(self, expected: Callable[[int], Frame]):
        self._expected, self._next = expected, 0

    def update(self, frame: Frame) -> None:
        del frame
        self._next += 1

    def forecast(self) -> Frame:
        return self._expected(self._next)


class ExponentialAverage:
    """s_t = s_{t-1} + rate (x_t - s_{t-1}), starting at the first frame; the next frame is s_t."""

    def __init__(self, rate: float):
        self._rate, self._average = rate, None

    def update(self, frame: Frame) -> None:
        self._average = frame if self._average is None else self._average + self._rate * (frame - self._average)

    def forecast(self) -> Frame:
        return self._average
