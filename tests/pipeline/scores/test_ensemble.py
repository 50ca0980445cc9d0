"""CRPS against its double sum and the Gaussian closed form; spread and skill of an honest ensemble."""

import math
from functools import reduce
from operator import add
from statistics import NormalDist

import numpy as np
import pytest

from pipeline.scores import crps_of_voxels, ensemble_scores, latitude_weights, spread_and_skill

NORMAL = NormalDist()


def gaussian_crps(mean, deviation, truth):
    """Gneiting et al., Monthly Weather Review 133, 2005, equation 5."""
    z = (truth - mean) / deviation
    return deviation * (z * (2 * NORMAL.cdf(z) - 1) + 2 * NORMAL.pdf(z) - 1 / math.sqrt(math.pi))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("fair", [False, True])
def test_crps_is_the_double_sum(count, fair):
    draws = np.random.default_rng(count)
    members, truth = draws.standard_normal((count, 2, 1, 3, 4)) + 300, draws.standard_normal((2, 1, 3, 4)) + 300
    if fair and count == 1:
        with pytest.raises(ValueError, match="an ensemble of 1 members has no such score; give 2 or more"):
            crps_of_voxels(members, truth, fair=True)
        return
    pairs = np.abs(members[:, None] - members[None]).sum(axis=(0, 1))
    naive = np.abs(members - truth).mean(axis=0) - pairs / (2 * count * (count - 1 if fair else count))
    np.testing.assert_allclose(crps_of_voxels(members, truth, fair), naive, atol=2e-13)


def voxel(*values):
    return np.array(values, np.float64).reshape(-1, 1, 1, 1, 1)


@pytest.mark.parametrize("truth", [-2.0, 0.1, 1.5])
def test_crps_of_a_gaussian(truth):
    quantiles = [NormalDist(0.5, 2.0).inv_cdf((i + 0.5) / 4000) for i in range(4000)]
    found = crps_of_voxels(voxel(*quantiles), voxel(truth)[0], fair=False).item()
    assert found == pytest.approx(gaussian_crps(0.5, 2.0, truth), abs=1e-3)


def test_the_fair_one_does_not_depend_on_the_size():
    """The mean over many ensembles of two or five is the Gaussian's; the plain one's is too large by E|x - x'| / 2m."""
    draws, truth = np.random.default_rng(0), 0.7
    for count in (2, 5):
        members = draws.standard_normal((count, 1, 1, 200, 200))
        targets = np.full((1, 1, 200, 200), truth)
        fair, plain = (crps_of_voxels(members, targets, fair=kind) for kind in (True, False))
        error = fair.std() / 200
        assert fair.mean() == pytest.approx(gaussian_crps(0, 1, truth), abs=4 * error)
        assert error < 0.005
        excess = 1 / (math.sqrt(math.pi) * count)
        assert plain.mean() - gaussian_crps(0, 1, truth) == pytest.approx(excess, abs=4 * error)


@pytest.mark.parametrize("count", [2, 10])
def test_an_honest_ensemble_has_ratio_one(count):
    """Truth and members are drawn alike; without the factor the ratio of two members would be 0.82."""
    draws = np.random.default_rng(1)
    parts = []
    for _ in range(20):
        signal = draws.standard_normal((2, 1, 30, 40))
        drawn = signal + [[[[1.0]]], [[[5.0]]]] * draws.standard_normal((count + 1, 2, 1, 30, 40))
        parts.append(ensemble_scores(drawn[1:], drawn[0]))
    found = reduce(add, parts).per_channel()
    result = spread_and_skill(found["variance"], found["ensemble_mean_mse"], count)
    np.testing.assert_allclose(result["spread"], [1, 5], rtol=0.02)
    np.testing.assert_allclose(result["skill"], np.sqrt(1 + 1 / count) * np.array([1, 5]), rtol=0.02)
    np.testing.assert_allclose(result["spread_skill_ratio"], [1, 1], rtol=0.02)
    excess = np.array([1, 5]) / (np.sqrt(np.pi) * count)
    np.testing.assert_allclose(found["crps"] - found["crps_fair"], excess, rtol=0.02)
    again = reduce(add, parts[7:] + parts[:7])
    assert again == reduce(add, parts)


def test_scores_by_hand():
    members = np.array([[1.0, 0.0], [3.0, 0.0]]).reshape(2, 1, 1, 2, 1)
    truth = np.zeros((1, 1, 2, 1))
    found = ensemble_scores(members, truth, latitude_weights(np.array([0.0, 60.0]))).per_channel()
    wanted = {"crps": 1.5, "crps_fair": 1.0, "variance": 2.0, "ensemble_mean_mse": 4.0}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {name: value * 2 / 3 for name, value in wanted.items()}
    )


def test_missing_values():
    members, truth = np.random.default_rng(2).standard_normal((3, 1, 1, 2, 4)), np.zeros((1, 1, 2, 4))
    truth[..., 0, :], members[1, :, :, 0, 0] = np.nan, np.nan
    found = ensemble_scores(members, truth)
    assert found.pooled() == pytest.approx(ensemble_scores(members[..., 1:, :], truth[..., 1:, :]).pooled(), rel=1e-14)
    members[2, 0, 0, 1, 1] = np.nan
    assert all(np.isnan(value).all() for value in ensemble_scores(members, truth).per_channel().values())
    assert np.isnan(crps_of_voxels(members, truth, fair=True)).sum() == 5
    with pytest.raises(ValueError, match="an ensemble of 1 members has no such score; give 2 or more"):
        ensemble_scores(members[:1], truth)
    ratio = spread_and_skill(np.array([1.0, np.nan]), np.array([0.0, np.nan]), 2)["spread_skill_ratio"]
    np.testing.assert_array_equal(ratio, [np.nan, np.nan])
