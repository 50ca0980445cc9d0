"""How sure a mean score is: confidence intervals by the moving-block bootstrap, for scores like those before them.

Runs of consecutive scores are drawn with replacement until there are as many as in the series, so that what follows
what stays within a run (Künsch, Annals of Statistics 17, 1989; Liu and Singh, in Exploring the Limits of Bootstrap,
1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from pipeline.volume import InputError


@dataclass(frozen=True)
class Interval:
    """A mean and what it may be.

    Attributes:
        mean: Of the scores.
        low, high: The ends of the interval, in the scores' units.
        block: The length of the blocks, in scores.
        count: Scores that had a value.
    """

    mean: float
    low: float
    high: float
    block: int
    count: int


def default_block(scores: Real[np.ndarray, "time"]) -> int:
    """The length of blocks that suits a series as persistent as this one.

    The least whole L with L >= (n - L + 1)^((2/3) (1 - n'/n)), where n'/n = (1 - r) / (1 + r) is the share of
    independent scores in a first-order autoregression whose lag-1 correlation is r, that of the scores (0 where it is
    negative): Wilks, Journal of Climate 10, 1997. At most half the series. NaN is left out, as by `mean_interval`.
    """
    scores = scores[~np.isnan(scores)].astype(np.float64)
    if not len(scores):
        return 1
    count, deviations = len(scores), scores - np.mean(scores)
    squares = float(np.sum(deviations**2))
    r = max(float(np.sum(deviations[1:] * deviations[:-1])) / squares, 0.0) if squares else 0.0
    exponent = 2 / 3 * (1 - (1 - r) / (1 + r))
    most = max(count // 2, 1)
    return next((length for length in range(1, most) if length >= (count - length + 1) ** exponent), most)


def mean_interval(
    scores: Real[np.ndarray, "time"],
    *,
    block: int | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Confidence interval of the mean of a series of scores.

    With m the mean, m* those of resamples and E m* their expectation (which is not m: scores near the ends are in fewer
    blocks; Lahiri, in Exploring the Limits of Bootstrap, 1992), it is [m - q(1 - a/2), m - q(a/2)], q the quantiles of
    (m* - E m*) sqrt(n / (n - L)) and a = 1 - confidence (the basic interval). The root makes up for blocks of L that
    vary about the mean of their own series of n; for L = 1 it is the usual n / (n - 1). The same arguments give the
    same bits. It is too short for short or persistent series: of 95 % intervals of 200 scores of a first-order
    autoregression 95, 92 and 87 % held the true mean for r = 0, 0.5 and 0.8 (1500 trials each).

    Args:
        scores: One of each frame, in the order of time, of one series. NaN (a frame without any value) is left out
            and the series closed up over it.
        block: Scores in a block, from 1 (independent scores) to half the series; by default that of `default_block`.
        confidence: Between 0 and 1.
        resamples: How many; the ends rest on the outer (1 - confidence) / 2 of them.
        seed: Of the draws.

    Raises:
        InputError: Fewer than two scores, a score that is infinite, or a block that does not suit them.
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence is {confidence}, resamples {resamples}; give one between 0 and 1, and 1 or more")
    _refuse_infinite(scores)
    scores = scores[~np.isnan(scores)].astype(np.float64)
    count = len(scores)
    if count < 2:
        raise InputError(f"{count} scores have a value, and their mean's interval wants 2 or more; score more frames")
    if block is None:
        block = default_block(scores)
    if not 1 <= block <= count // 2:
        raise InputError(
            f"blocks of {block} scores do not suit a series of {count} (without gaps); give from 1 to {count // 2}"
        )
    mean = float(np.mean(scores))
    draws = np.random.Generator(np.random.PCG64(seed))
    deviations = _resampled(scores - mean, block, resamples, draws) * np.sqrt(count / (count - block))
    tail = (1 - confidence) / 2
    least, most = (float(quantile) for quantile in np.quantile(deviations, [tail, 1 - tail]))
    return Interval(mean, mean - most, mean - least, block, count)


def difference_interval(
    scores: Real[np.ndarray, "time"],
    others: Real[np.ndarray, "other_time"],
    *,
    block: int | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Confidence interval of the mean of `scores` - `others`, two forecasts' scores on the same frames: `mean_interval`
    of their differences, so that what was hard for both does not count. A frame where either is NaN is left out.

    Raises:
        InputError: As `mean_interval`, or series of different lengths.
    """
    if len(scores) != len(others):
        raise InputError(
            f"the one has {len(scores)} scores, the other {len(others)}; compare forecasts on the same frames"
        )
    _refuse_infinite(scores)
    _refuse_infinite(others)
    differences = scores.astype(np.float64) - others.astype(np.float64)
    return mean_interval(differences, block=block, confidence=confidence, resamples=resamples, seed=seed)


def _refuse_infinite(scores: Real[np.ndarray, "time"]) -> None:
    if infinite := int(np.count_nonzero(np.isinf(scores))):
        raise InputError(
            f"{infinite} of {len(scores)} scores are infinite (as PSNR is where forecast and truth are equal), and the "
            "mean has no interval; take another score"
        )


def _resampled(
    scores: Real[np.ndarray, "time"], block: int, resamples: int, draws: np.random.Generator
) -> Real[np.ndarray, "resamples"]:
    """Means of resamples less their expectation; the last block of each is cut to the series' length."""
    count = len(scores)
    blocks = -(-count // block)
    last = count - (blocks - 1) * block
    windows = np.lib.stride_tricks.sliding_window_view(scores, block)
    whole, cut = windows.sum(axis=1), windows[:, :last].sum(axis=1)
    starts = draws.integers(0, len(windows), size=(resamples, blocks))
    totals = whole[starts[:, :-1]].sum(axis=1) + cut[starts[:, -1]]
    return (totals - (blocks - 1) * whole.mean() - cut.mean()) / count
