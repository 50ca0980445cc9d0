"""The rate of the exponential average that a model is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.baselines import RATES
from pipeline.evaluation.forecasts import average_name, squared_errors
from pipeline.splits import Span
from pipeline.volume import InputError


def best_rate(prepared: Path, spans: Sequence[Span], rates: Sequence[float] = RATES) -> float:
    """The rate whose one-step forecasts of some frames have the smallest mean squared error; every frame counts alike.

    Args:
        prepared: The folder of a `preprocess` stage.
        spans: The frames, of the validation split, each span in one run.

    Raises:
        InputError: None of them has a value and a frame before it.
    """
    found = squared_errors(prepared, list(spans), {}, rates)
    means = {rate: found.get(average_name(rate), float("nan")) for rate in rates}
    if np.isnan(list(means.values())).all():
        raise InputError("no frame of the validation split can be scored, to choose a rate; give rate")
    return min(means, key=means.__getitem__)
