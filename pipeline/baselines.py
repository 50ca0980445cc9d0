"""Forecasts without a model: what any model has to beat. Each sees one frame at a time and forecasts the next.

What is missing (NaN) changes nothing; a voxel that never had a value is forecast as NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

Frame = Float[np.ndarray, "channel depth height width"]

RATES = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Of exponential averages, those that are tried."""


@runtime_checkable
class Baseline(Protocol):
    """`update(frame)` with every frame in turn; `forecast()` is then the forecast of the next."""

    def update(self, frame: Frame) -> None: ...

    def forecast(self) -> Frame: ...


class Persistence:
    """The next frame is the last one; a voxel without a value has its last known one."""

    def __init__(self) -> None:
        self._last = None

    def update(self, frame: Frame) -> None:
        missing = np.isnan(frame)
        self._last = frame if self._last is None or not missing.any() else np.where(missing, self._last, frame)

    def forecast(self) -> Frame:
        return self._last


class TrainingMean:
    """Every frame is a mean of training frames.

    Args:
        expected: That mean, by the number of a frame: of all of them, or of those of the frame's phase of the year.
        first: The number of the first frame that is seen.
    """

    def __init__(self, expected: Callable[[int], Frame], first: int = 0):
        self._expected, self._next = expected, first

    def update(self, frame: Frame) -> None:
        del frame
        self._next += 1

    def forecast(self) -> Frame:
        return self._expected(self._next)


class ExponentialAverage:
    """s_t = s_{t-1} + rate (x_t - s_{t-1}), starting at the first value of a voxel; the next frame is s_t."""

    def __init__(self, rate: float):
        self._rate, self._average = rate, None

    def update(self, frame: Frame) -> None:
        if self._average is None:
            self._average = frame
            return
        average = self._average + self._rate * (frame - self._average)
        if np.isnan(average).any():
            average = np.where(np.isnan(frame), self._average, np.where(np.isnan(self._average), frame, average))
        self._average = average

    def forecast(self) -> Frame:
        return self._average


class OrExpected:
    """A baseline; a voxel of which it has met no value yet has what is expected of the frame.

    Args:
        baseline: A new one.
        expected: By the number of a frame.
    """

    def __init__(self, baseline: Baseline, expected: Callable[[int], Frame]):
        self._baseline, self._expected, self._next = baseline, expected, 0

    def update(self, frame: Frame) -> None:
        self._baseline.update(frame)
        self._next += 1

    def forecast(self) -> Frame:
        forecast = self._baseline.forecast()
        missing = np.isnan(forecast)
        return np.where(missing, self._expected(self._next), forecast) if missing.any() else forecast
