"""VRMSE and ACC against closed forms, and what missing values do to them."""

import numpy as np
import pytest

from pipeline.scores import anomaly_correlation, latitude_weights, vrmse

DRAWS = np.random.default_rng(0)
TRUTH = DRAWS.standard_normal((2, 2, 3, 4))
CLIMATOLOGY = DRAWS.standard_normal((2, 2, 3, 4))
WEIGHTS = latitude_weights(np.array([-60.0, 0.0, 45.0]))


def test_the_mean_has_vrmse_one():
    mean = np.broadcast_to(TRUTH.mean(axis=(1, 2, 3), keepdims=True), TRUTH.shape)
    np.testing.assert_allclose(vrmse(mean, TRUTH, epsilon=0.0), [1, 1], rtol=1e-14)
    np.testing.assert_array_equal(vrmse(TRUTH, TRUTH), [0, 0])
    np.testing.assert_allclose(vrmse(10 * TRUTH + 2, 10 * TRUTH, epsilon=0.0), 0.2 / TRUTH.std(axis=(1, 2, 3)))
    flat = np.zeros_like(TRUTH)
    np.testing.assert_allclose(vrmse(flat + 3, flat), [3 / 1e-7**0.5] * 2)


def test_vrmse_of_what_has_a_value():
    forecast, holes = TRUTH + CLIMATOLOGY, TRUTH.copy()
    holes[0, 0], holes[1] = np.nan, np.nan
    wanted = np.sqrt((CLIMATOLOGY[0, 1] ** 2).mean() / TRUTH[0, 1].var())
    np.testing.assert_allclose(vrmse(forecast, holes, epsilon=0.0), [wanted, np.nan], rtol=1e-13)
    forecast[0, 1, 0, 0] = np.nan
    assert np.isnan(vrmse(forecast, holes)).all()


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_anomaly_correlation(weights):
    anomaly = TRUTH - CLIMATOLOGY
    for scale, wanted in ((1.0, 1), (0.01, 1), (-2.0, -1)):
        found = anomaly_correlation(CLIMATOLOGY + scale * anomaly, TRUTH, CLIMATOLOGY, weights)
        np.testing.assert_allclose(found, [wanted, wanted], rtol=1e-12)
    forecast = TRUTH + DRAWS.standard_normal(TRUTH.shape)
    w = np.broadcast_to(1.0 if weights is None else weights, TRUTH.shape)
    x, axes = forecast - CLIMATOLOGY, (1, 2, 3)
    sums = [(w * a * b).sum(axis=axes) for a, b in ((x, anomaly), (x, x), (anomaly, anomaly))]
    found = anomaly_correlation(forecast, TRUTH, CLIMATOLOGY, weights)
    np.testing.assert_allclose(found, sums[0] / np.sqrt(sums[1] * sums[2]), rtol=1e-12)


def test_anomaly_correlation_of_what_has_a_value():
    forecast, holes, unknown = TRUTH**2, TRUTH.copy(), CLIMATOLOGY.copy()
    holes[:, 0, 0, :2], unknown[:, 0, 0, 2:] = np.nan, np.nan
    forecast_there = forecast.copy()
    forecast_there[:, 0, 0] = np.nan
    found = anomaly_correlation(forecast_there, holes, unknown)
    x, y = ((f - CLIMATOLOGY).reshape(2, -1)[:, 4:] for f in (forecast, TRUTH))
    np.testing.assert_allclose(found, (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1)), rtol=1e-12)
    assert np.isnan(anomaly_correlation(forecast_there, TRUTH, CLIMATOLOGY)).all()
    assert np.isnan(anomaly_correlation(CLIMATOLOGY, TRUTH, CLIMATOLOGY)).all(), "no anomaly, no correlation"
    assert np.isnan(anomaly_correlation(TRUTH, np.full_like(TRUTH, np.nan), CLIMATOLOGY)).all()
