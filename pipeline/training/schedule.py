"""The learning rate of a step: a function of the step, and of how often training went back."""

from __future__ import annotations

import math

from pipeline.training.settings import TrainSettings


def learning_rate(settings: TrainSettings, step: int, rollbacks: int = 0) -> float:
    """Linear warm-up, then a cosine to zero; times `backoff` for each time that training went back."""
    warm = min(1.0, (step + 1) / max(settings.warm_up, 1))
    rate = settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return rate * settings.backoff**rollbacks
