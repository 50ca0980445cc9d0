"""PSNR and SSIM: closed forms, missing values. (Published figures of films are in `test_scoring.py`.)"""

import sys

import numpy as np
import pytest

from pipeline.scores import psnr, ssim
from pipeline.volume import InputError


def test_psnr_by_hand():
    truth = np.zeros((3, 2, 4, 5), np.uint8)
    forecast = truth.copy()
    forecast[0], forecast[1, 0] = 51, 255
    np.testing.assert_allclose(psnr(forecast, truth, 255.0), [20 * np.log10(5), 10 * np.log10(2), np.inf], rtol=1e-14)
    holes = truth.astype(np.float64)
    holes[1, 0], holes[2] = np.nan, np.nan
    np.testing.assert_allclose(psnr(forecast, holes, 255.0), [20 * np.log10(5), np.inf, np.nan], rtol=1e-14)
    missing = forecast.astype(np.float64)
    missing[0, 0, 0, 0] = np.nan
    assert np.isnan(psnr(missing, truth, 255.0)[0])


def naive_ssim(x, y, peak):
    """Window by window, from the formula."""
    ramp = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel = np.outer(ramp, ramp) / ramp.sum() ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    result = np.empty((x.shape[0] - 10, x.shape[1] - 10))
    for i, j in np.ndindex(result.shape):
        a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
        ma, mb = (kernel * a).sum(), (kernel * b).sum()
        va, vb = (kernel * (a - ma) ** 2).sum(), (kernel * (b - mb) ** 2).sum()
        both = (kernel * (a - ma) * (b - mb)).sum()
        result[i, j] = (2 * ma * mb + c1) * (2 * both + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return result


def test_ssim_is_its_formula():
    draws = np.random.default_rng(0)
    truth = draws.random((2, 3, 13, 17))
    forecast = truth + 0.3 * draws.standard_normal(truth.shape)
    slices = [[naive_ssim(forecast[c, d], truth[c, d], 1.0).mean() for d in range(3)] for c in range(2)]
    np.testing.assert_allclose(ssim(forecast, truth, 1.0), np.mean(slices, axis=1), rtol=1e-12)
    np.testing.assert_allclose(ssim(truth, truth, 1.0), [1, 1], rtol=1e-14)


def test_windows_with_missing_truth_do_not_count():
    draws = np.random.default_rng(1)
    truth = draws.random((2, 2, 12, 24))
    forecast = truth + 0.3 * draws.standard_normal(truth.shape)
    holes, missing = truth.copy(), forecast.copy()
    holes[0, 0, 3, 15] = np.nan  # windows that begin at columns 5 to 13 hold it
    holes[0, 1] = np.nan  # no window at all
    holes[1] = np.nan
    whole = naive_ssim(forecast[0, 0], truth[0, 0], 1.0)
    found = ssim(forecast, holes, 1.0)
    np.testing.assert_allclose(found, [whole[:, :5].mean(), np.nan], rtol=1e-12)
    missing[0, 0, 3, 15] = np.nan
    missing[0, 0, 3, 17] = np.nan  # seen by column 7 to 13 only
    np.testing.assert_array_equal(ssim(missing, holes, 1.0), found)
    missing[0, 0, 3, 4] = np.nan
    assert np.isnan(ssim(missing, holes, 1.0)).all(), "a forecast that is missing is not left out"


def test_what_cannot_be_scored_is_told(monkeypatch):
    small = np.zeros((1, 1, 10, 40))
    with pytest.raises(InputError, match="frames are 10 x 40 and SSIM has windows of 11 x 11; leave it out"):
        ssim(small, small, 1.0)
    for score in (psnr, ssim):
        with pytest.raises(ValueError, match="the peak is 0.0; give the range of the data"):
            score(small, small, 0.0)
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(InputError, match=r"scikit-image, and .* is not installed; pip install 'chronovox\[images\]'"):
        ssim(small, small, 1.0)
