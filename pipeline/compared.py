"""Several forecasts of the same frames beside each other: their scores, and how sure the differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.scores import Interval, difference_interval, mean_interval
from pipeline.scoring import WHOLE, Scores

OfForecasts = dict[str, dict[str, float]]
"""Numbers by forecast and by name."""


class Compared:
    """The scores of several forecasts of some frames.

    Args:
        frames: Of each forecast its scores of each frame; of all forecasts the same frames, in the order of time.
    """

    def __init__(self, frames: Mapping[str, Sequence[Scores]]):
        self._frames = frames
        self._means = {name: reduce(add, own).means() for name, own in frames.items()}
        self._parts = list(next(iter(self._means.values())))

    def whole(self) -> dict[str, float]:
        """Scores of whole frames by plain keys, as `model.mse`; those that are finite."""
        return {f"{name}.{key}": value for name, own in self.of(WHOLE).items() for key, value in own.items()}

    def parts(self) -> dict[str, OfForecasts]:
        """Of each other part that has a value the scores of each forecast; those that are finite."""
        found = {part: self.of(part) for part in self._parts if part != WHOLE}
        return {part: own for part, own in found.items() if all(own.values())}

    def intervals(self, confidence: float) -> dict[str, OfForecasts]:
        """Of each part with two frames or more the interval of each forecast's mean squared error."""

        def of(errors: dict[str, np.ndarray]) -> dict[str, Interval]:
            return {name: mean_interval(own, confidence=confidence) for name, own in errors.items()}

        return self._of_parts(of)

    def differences(self, one: str, confidence: float) -> dict[str, OfForecasts]:
        """Of each part with two frames or more the interval of the mean squared error of `one` less that of each other
        forecast: where it lies below zero, `one` is better."""

        def of(errors: dict[str, np.ndarray]) -> dict[str, Interval]:
            others = {name: own for name, own in errors.items() if name != one}
            return {name: difference_interval(errors[one], own, confidence=confidence) for name, own in others.items()}

        return self._of_parts(of)

    def by_time(self) -> pd.DataFrame:
        """Scores of whole frames: a row of each, a column such as `model.mse` of each score that any frame has."""
        columns = {}
        for name, own in self._frames.items():
            scores = [frame.parts[WHOLE].pooled() for frame in own]
            columns |= {f"{name}.{key}": [one[key] for one in scores] for key in scores[0]}
        return pd.DataFrame(columns).dropna(axis="columns", how="all")

    def of(self, part: str) -> OfForecasts:
        return {
            name: {key: value for key, value in own[part].items() if np.isfinite(value)}
            for name, own in self._means.items()
        }

    def _of_parts(self, of: Callable[[dict[str, np.ndarray]], dict[str, Interval]]) -> dict[str, OfForecasts]:
        found = {}
        for part in self._parts:
            errors = {name: squared_errors(own, part) for name, own in self._frames.items()}
            if all(np.count_nonzero(~np.isnan(own)) > 1 for own in errors.values()):
                found[part] = {name: asdict(interval) for name, interval in of(errors).items()}
        return found


def squared_errors(frames: Sequence[Scores], part: str) -> Float[np.ndarray, "time"]:
    """The mean squared error of a part of each frame; NaN where it has no value."""
    return np.array([frame.parts[part].pooled()["mse"] for frame in frames])
