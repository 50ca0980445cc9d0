"""Several forecasts of the same frames beside each other: their scores, and how sure the differences are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.scores import Interval, difference_interval, mean_interval
from pipeline.scoring import WHOLE, Scores

OfForecasts = dict[str, dict[str, float]]
"""Numbers by forecast and by name."""

Errors = dict[str, Float[np.ndarray, "time"]]
"""Of each forecast the main score of each frame; NaN where it has no value."""


class Compared:
    """The scores of several forecasts of the same frames. Of each frame it keeps a few numbers only.

    Args:
        main: The score that intervals are of: the mean over frames of an error, so that less is better.
        derived: Gives scores, of a frame or of all together, with those that are computed of them.
    """

    def __init__(self, main: str = "mse", derived: Callable[[Mapping[str, float]], dict[str, float]] = dict):
        self.main, self._derived = main, derived
        self._totals: dict[str, Scores] = {}
        self._whole: list[dict[str, float]] = []
        self._errors: dict[str, dict[str, list[float]]] = {}

    def add(self, scores: Mapping[str, Scores]) -> None:
        """The scores of one frame: of each forecast, the same ones every time; frames in the order of time."""
        row = {}
        for name, own in scores.items():
            self._totals[name] = self._totals[name] + own if name in self._totals else own
            for part, ratios in own.parts.items():
                values = self._derived(ratios.pooled())
                self._errors.setdefault(part, {}).setdefault(name, []).append(values[self.main])
                if part == WHOLE:
                    row |= {f"{name}.{key}": value for key, value in values.items()}
        self._whole.append(row)

    @property
    def forecasts(self) -> list[str]:
        """Their names."""
        return list(self._totals)

    def whole(self) -> dict[str, float]:
        """Scores of whole frames by plain keys, as `model.mse`; those that are finite."""
        means = self._means()
        return {f"{name}.{key}": value for name in means for key, value in means[name][WHOLE].items()}

    def parts(self) -> dict[str, OfForecasts]:
        """Of each other part that has a value the scores of each forecast; those that are finite."""
        means = self._means()
        found = {part: {name: means[name][part] for name in means} for part in self._errors if part != WHOLE}
        return {part: own for part, own in found.items() if all(own.values())}

    def intervals(self, confidence: float) -> dict[str, OfForecasts]:
        """Of each part with two frames or more the interval of each forecast's main score."""

        def of(errors: Errors) -> dict[str, Interval]:
            return {name: mean_interval(own, confidence=confidence) for name, own in errors.items()}

        return self._of_parts(of)

    def differences(self, one: str, confidence: float) -> dict[str, OfForecasts]:
        """Of each part with two frames or more the interval of the main score of `one` less that of each other
        forecast: where it lies below zero, `one` is better."""

        def of(errors: Errors) -> dict[str, Interval]:
            others = {name: own for name, own in errors.items() if name != one}
            return {name: difference_interval(errors[one], own, confidence=confidence) for name, own in others.items()}

        return self._of_parts(of)

    def by_time(self) -> pd.DataFrame:
        """Scores of whole frames: a row of each, a column such as `model.mse` of each score that any frame has."""
        return pd.DataFrame(self._whole).dropna(axis="columns", how="all")

    def _means(self) -> dict[str, OfForecasts]:
        """Of each forecast and part the scores that are finite."""
        return {
            name: {
                part: {key: value for key, value in self._derived(own).items() if np.isfinite(value)}
                for part, own in total.means().items()
            }
            for name, total in self._totals.items()
        }

    def _of_parts(self, of: Callable[[Errors], dict[str, Interval]]) -> dict[str, OfForecasts]:
        found = {}
        for part, own in self._errors.items():
            errors = {name: np.array(series) for name, series in own.items()}
            if all(np.count_nonzero(~np.isnan(series)) > 1 for series in errors.values()):
                found[part] = {name: asdict(interval) for name, interval in of(errors).items()}
        return found
