"""Errors of frames add up to the same bits however the frames were grouped, and to what the whole has."""

import math
import pickle
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scores import Ratios, errors, latitude_weights, with_roots
from pipeline.scores.exact import ExactSum, exact

WEIGHTS = latitude_weights(np.array([-60.0, 0.0, 45.0]))
FRAMES = 12


def frames(missing=0.3):
    """Twelve pairs of two channels, of sizes that round when added, with holes in the truth."""
    draws = np.random.default_rng(0)
    scale = 10.0 ** draws.integers(-8, 8, (FRAMES, 1, 1, 1, 1))
    truth = draws.standard_normal((FRAMES, 2, 2, 3, 4)) * scale
    forecast = truth + draws.standard_normal(truth.shape) * scale
    truth[draws.random(truth.shape) < missing] = np.nan
    return forecast, truth


def total(order, cuts):
    """All frames, added within groups and then group to group."""
    forecast, truth = frames()
    parts = [errors(forecast[number], truth[number], WEIGHTS) for number in order]
    edges = [0, *sorted(cuts), FRAMES]
    groups = [reduce(add, parts[a:b]) for a, b in pairwise(edges) if a < b]
    return reduce(add, groups)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(FRAMES)), cuts=st.sets(st.integers(1, FRAMES - 1)))
def test_bits_do_not_depend_on_groups_or_order(order, cuts):
    one, other = total(range(FRAMES), []), total(order, cuts)
    assert one == other
    for name, values in one.per_channel().items():
        np.testing.assert_array_equal(other.per_channel()[name], values)
    assert one.pooled() == other.pooled()
    assert pickle.loads(pickle.dumps(one)) == other, "sums of another worker"


def test_plain_sums_would_depend_on_it():
    """The frames above do round: what is proved exact is not exact by itself."""
    forecast, truth = frames()
    sums = [np.nansum((f - t) ** 2) for f, t in zip(forecast, truth, strict=True)]
    assert sum(sums[:5]) + sum(sums[5:]) != sum(sums[::-1])


def test_sums_are_those_of_the_whole():
    forecast, truth = frames()
    error, counted = forecast - truth, ~np.isnan(truth)
    shares = np.where(counted, WEIGHTS, 0.0)
    found = with_roots(total(range(FRAMES), []).per_channel())
    axes = (0, 2, 3, 4)
    for suffix, weights in (("", counted * 1.0), ("_latitude_weighted", shares)):
        for name, field in (("mse", error**2), ("mae", np.abs(error)), ("bias", error)):
            wanted = np.nansum(weights * field, axis=axes) / weights.sum(axis=axes)
            np.testing.assert_allclose(found[name + suffix], wanted, rtol=1e-12)
        np.testing.assert_allclose(found["rmse" + suffix] ** 2, found["mse" + suffix], rtol=1e-14)


def test_a_known_frame():
    forecast = np.array([[[[1.0, -1.0], [2.0, 2.0]]], [[[0.0, 0.0], [0.0, 3.0]]]])
    found = errors(forecast, np.zeros_like(forecast), latitude_weights(np.array([0.0, 60.0]))).per_channel()
    wanted = {"mse": [2.5, 2.25], "mae": [1.5, 0.75], "bias": [1.0, 0.75]}
    wanted |= {"mse_latitude_weighted": [2.0, 1.5], "mae_latitude_weighted": [4 / 3, 0.5]}
    wanted |= {"bias_latitude_weighted": [2 / 3, 0.5]}
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15)


def test_memory_order_and_type_do_not_matter():
    forecast, truth = frames()
    plain = errors(forecast[0], truth[0], WEIGHTS)
    assert errors(np.asfortranarray(forecast[0]), np.asfortranarray(truth[0]), WEIGHTS) == plain
    whole = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    found = errors(whole[..., ::-1], whole).per_channel()
    assert (found["mse"], found["mae"], found["bias"]) == (5.0, 2.0, 0.0), "unsigned numbers must not wrap"


def test_what_has_no_truth_does_not_count():
    forecast, truth = np.array([[[[1.0, 7.0, 3.0]]]]), np.array([[[[0.0, np.nan, 0.0]]]])
    assert errors(forecast, truth).per_channel()["mse"] == 5.0
    forecast[..., 1] = np.nan
    assert errors(forecast, truth).per_channel()["mse"] == 5.0
    forecast[..., 0] = np.nan
    assert np.isnan(errors(forecast, truth).per_channel()["mse"]), "a forecast that is missing is not left out"
    nothing = errors(forecast, np.full_like(truth, np.nan))
    assert all(np.isnan(values).all() for values in nothing.per_channel().values())
    assert (nothing + errors(np.ones_like(truth), np.zeros_like(truth))).pooled() == {"mse": 1, "mae": 1, "bias": 1}


def test_means_of_scores_leave_out_frames_without_any():
    scores = [np.array([1.0, np.nan]), np.array([np.nan, np.nan]), np.array([4.0, np.nan])]
    found = reduce(add, [Ratios.of_scores({"psnr": one}) for one in scores])
    np.testing.assert_array_equal(found.per_channel()["psnr"], [2.5, np.nan])
    infinite = found + Ratios.of_scores({"psnr": np.array([np.inf, 1.0])})
    np.testing.assert_array_equal(infinite.per_channel()["psnr"], [np.inf, 1.0])


def test_unlike_scores_do_not_add_up():
    one = Ratios.of_scores({"psnr": np.array([1.0])})
    with pytest.raises(ValueError, match=r"\['psnr'\] and \['ssim'\] do not add up"):
        one + Ratios.of_scores({"ssim": np.array([1.0])})
    with pytest.raises(ValueError, match="of 1 and of 2 channels do not add up"):
        one + Ratios.of_scores({"psnr": np.array([1.0, 2.0])})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), max_size=9))
def test_a_sum_is_the_true_one_rounded_once(values):
    found = sum(exact(np.array(values, np.float64)), ExactSum()).over(ExactSum.of(1.0))
    assert found == float(sum(map(Fraction, values), Fraction(0))) == math.fsum(values)


def test_sums_beyond_the_finite():
    one, infinite = ExactSum.of(1.0), ExactSum.of(math.inf)
    assert (one + infinite).over(one) == math.inf
    assert math.isnan((infinite + ExactSum.of(-math.inf)).over(one))
    assert math.isnan((one + ExactSum.of(math.nan)).over(one))
    assert math.isnan(one.over(ExactSum()))
