"""Intervals of mean scores: how often they hold the truth, their blocks, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.scores import default_block, difference_interval, mean_interval
from pipeline.volume import InputError


def autoregressions(correlation, length, count, seed=0):
    """Series x_t = correlation x_(t-1) + noise of mean 0, one a row, from their stationary state."""
    noise = np.random.default_rng(seed).standard_normal((100 + length, count))
    for earlier, later in pairwise(noise):
        later += correlation * earlier
    return noise[100:].T


def coverage(series, **settings):
    found = [mean_interval(one, resamples=400, seed=number, **settings) for number, one in enumerate(series)]
    return np.mean([interval.low <= 0 <= interval.high for interval in found])


def test_intervals_hold_the_mean_as_often_as_said():
    """600 trials: a coverage of 0.95 comes out within 0.018 of it at two deviations."""
    persistent = autoregressions(0.5, 200, 600)
    assert 0.90 <= coverage(persistent) <= 0.965
    assert coverage(persistent, block=1) < 0.80, "as if frames were independent: far too sure"
    assert 0.93 <= coverage(autoregressions(0.0, 200, 600)) <= 0.97
    assert 0.75 <= coverage(persistent, confidence=0.8) <= 0.84


def test_differences_of_pairs():
    """What is common to both forecasts, as hard weeks are, does not widen the interval of their difference."""
    common = 100 * autoregressions(0.9, 300, 1)[0]
    better, worse = autoregressions(0.3, 300, 2, seed=1)
    found = difference_interval(common + worse + 1, common + better)
    assert 0 < found.low < 1 < found.high < 1.5
    alone = mean_interval(common + worse + 1)
    assert alone.high - alone.low > 20 * (found.high - found.low)
    assert found == mean_interval((common + worse + 1) - (common + better))


def test_an_interval_is_found_again():
    series = autoregressions(0.5, 60, 1)[0]
    one = mean_interval(series, seed=3)
    assert one == mean_interval(series, seed=3)
    assert one != mean_interval(series, seed=4)
    moved = mean_interval(series + 1000, seed=3, block=one.block)
    assert (moved.low, moved.high) == pytest.approx((one.low + 1000, one.high + 1000), abs=1e-9)
    assert one.low < one.mean < one.high
    assert one.mean == pytest.approx(series.mean())


def test_resamples_written_out():
    """Blocks laid end to end and cut to the series' length, from the same draws; a skewed series with a trend."""
    series = np.random.default_rng(6).exponential(size=11) ** 2 + np.arange(11)
    found = mean_interval(series, block=4, resamples=50, confidence=0.8, seed=2)
    starts = np.random.Generator(np.random.PCG64(2)).integers(0, 8, size=(50, 3))
    means = [np.concatenate([series[s : s + 4] for s in row])[:11].mean() for row in starts]
    blocks = np.array([series[s : s + 4] for s in range(8)])
    expected = (2 * blocks.sum(axis=1).mean() + blocks[:, :3].sum(axis=1).mean()) / 11
    deviations = (np.array(means) - expected) * np.sqrt(11 / 7)
    wanted = series.mean() - np.quantile(deviations, [0.9, 0.1])
    np.testing.assert_allclose([found.low, found.high], wanted, rtol=1e-12)


def test_independent_blocks_are_the_classical_interval():
    series = np.random.default_rng(5).standard_normal(400)
    found = mean_interval(series, block=1, resamples=20000)
    reach = 1.96 * series.std(ddof=1) / 20
    assert (found.low, found.high) == pytest.approx((series.mean() - reach, series.mean() + reach), abs=0.03 * reach)


def test_the_default_block_grows_with_persistence():
    lengths = [default_block(autoregressions(r, 500, 1, seed=2)[0]) for r in (-0.5, 0.0, 0.5, 0.9)]
    assert lengths[0] == 1
    assert lengths == sorted(lengths)
    assert lengths[1] <= 3 < 10 <= lengths[2] < lengths[3] <= 250
    assert default_block(np.ones(10)) == 1
    wave = np.sin(np.arange(100) / 30)
    assert default_block(wave) <= 50
    r = ((wave - wave.mean())[1:] * (wave - wave.mean())[:-1]).sum() / ((wave - wave.mean()) ** 2).sum()
    length, power = default_block(wave), 2 / 3 * (1 - (1 - r) / (1 + r))
    assert length >= (100 - length + 1) ** power
    assert length - 1 < (100 - length + 2) ** power


def test_frames_without_a_score_are_left_out():
    series, others = autoregressions(0.5, 41, 2)
    gaps, other_gaps = series.copy(), others.copy()
    gaps[7], other_gaps[30] = np.nan, np.nan
    assert mean_interval(gaps) == mean_interval(np.delete(series, 7))
    assert difference_interval(gaps, other_gaps) == mean_interval(np.delete(series - others, [7, 30]))
    assert mean_interval(gaps).count == 40
    assert default_block(gaps) == default_block(np.delete(series, 7)) > 1
    assert default_block(np.full(3, np.nan)) == 1
    flat = mean_interval(np.full(5, 2.0))
    assert (flat.mean, flat.low, flat.high) == (2, 2, 2)


def test_what_has_no_interval_is_refused():
    with pytest.raises(InputError, match="1 scores have a value, and their mean's interval wants 2 or more"):
        mean_interval(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="blocks of 6 scores do not suit a series of 10 .*; give from 1 to 5"):
        mean_interval(np.arange(10), block=6)
    with pytest.raises(InputError, match="the one has 3 scores, the other 4; compare forecasts on the same frames"):
        difference_interval(np.arange(3), np.arange(4))
    with pytest.raises(InputError, match="1 of 3 scores are infinite .*; take another score"):
        mean_interval(np.array([1.0, np.inf, 2.0]))
    with pytest.raises(InputError, match="1 of 3 scores are infinite .*; take another score"):
        difference_interval(np.array([1.0, np.inf, 2.0]), np.array([1.0, np.inf, 2.0]))
    with pytest.raises(ValueError, match="confidence is 95.0, resamples 2000; give one between 0 and 1"):
        mean_interval(np.arange(10), confidence=95.0)
