"""The mean squared errors in the scores of an evaluation, by part of the frames and by forecast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.scoring import WHOLE

MODEL = "model"
VALIDATION = "validation"
PLAIN = re.compile(rf"({VALIDATION}\.)?(\w+)\.mse")


def errors_of(scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The mean squared errors in a `scores.json`, by part and forecast."""
    found: dict[str, dict[str, float]] = {WHOLE: {}, VALIDATION: {}}
    for key, value in scores.items():
        if plain := PLAIN.fullmatch(key):
            found[VALIDATION if plain[1] else WHOLE][plain[2]] = value
    for part, forecasts in scores["parts"].items():
        found[part] = {name: own["mse"] for name, own in forecasts.items() if "mse" in own}
    return found
