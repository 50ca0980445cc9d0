"""The rate of the exponential average that a model is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.baselines import Baseline, ExponentialAverage, OrExpected
from pipeline.dataset import Truth
from pipeline.hindcast import hindcast
from pipeline.scores import errors
from pipeline.scoring import mean_of_known
from pipeline.splits import Span, by_series
from pipeline.volume import InputError

RATES = tuple(round(0.05 * k, 2) for k in range(1, 20))


def best_rate(prepared: Path, spans: Sequence[Span], rates: Sequence[float] = RATES) -> float:
    """The rate whose one-step forecasts of some frames have the smallest mean squared error; every frame counts alike.

    Args:
        prepared: The folder of a `preprocess` stage.
        spans: The frames, of the validation split, each span in one run.

    Raises:
        InputError: None of them has a value and a frame before it.
    """
    found: dict[float, list[float]] = {rate: [] for rate in rates}
    for series, own in by_series(spans).items():
        truth = Truth(prepared, series)

        def averages(_: int, truth: Truth = truth) -> dict[str, Baseline]:
            return {str(rate): OrExpected(ExponentialAverage(rate), truth.expected) for rate in rates}

        for _, frame, forecasts in hindcast(truth, own, averages):
            for rate in rates:
                found[rate].append(errors(forecasts[str(rate)], frame).pooled()["mse"])
    means = {rate: mean_of_known(np.array(own)) for rate, own in found.items()}
    if np.isnan(list(means.values())).all():
        raise InputError("no frame of the validation split can be scored, to choose a rate; give rate")
    return min(means, key=means.__getitem__)
