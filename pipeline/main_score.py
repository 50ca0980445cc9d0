"""The score by which forecasts are compared: of numbers the mean squared error, of labels the share that is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MainScore:
    """An error that every frame has, so that its mean over frames has an interval; less is better.

    Attributes:
        key: In `scores.json`, as `model.mse`.
        heading: Of a table's column.
        words: Along an axis.
        power: Of the data's units that it bears.
    """

    key: str
    heading: str
    words: str
    power: int


SQUARED_ERROR = MainScore("mse", "MSE", "mean squared error", 2)
ERROR_RATE = MainScore("error_rate", "error rate", "share of wrong labels", 0)


def main_score(model: dict) -> MainScore:
    """That of a model, given what its checkpoint says of it (`description`)."""
    return SQUARED_ERROR if model["model"]["classes"] is None else ERROR_RATE


def bracketed(units: str, power: int) -> str:
    """The units or their square in brackets, as it goes behind a name; nothing for numbers without a unit."""
    if not units or not power:
        return ""
    return f" ({units})" if power == 1 else f" ({units}²)" if units.isalpha() else f" ({units})²"
