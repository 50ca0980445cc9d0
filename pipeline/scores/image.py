"""Likeness of frames as images: PSNR and SSIM of each channel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Real

from pipeline.scores.errors import errors
from pipeline.volume import InputError

SIGMA = 1.5
WINDOW = 11
REACH = WINDOW // 2


def psnr(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    peak: float,
) -> Float[np.ndarray, "channel"]:
    """Peak signal-to-noise ratio of one frame in dB, 10 log10(peak^2 / MSE); infinite where the two are equal.

    The MSE of each channel is over its depth, height and width (ITU-T J.340 has it of a whole film). The usual figure
    of a film is the mean over its frames (`Ratios.of_scores`); that is not the PSNR of the mean MSE.

    Args:
        forecast, truth: Of any real type. Missing values count as in `errors`: NaN in the truth does not, NaN in the
            forecast alone gives NaN. A channel without any value gives NaN.
        peak: The range of the data in its units, as 255 for 8 bits.
    """
    _refuse_peak(peak)
    mse = errors(forecast, truth).per_channel()["mse"]
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / mse)


def ssim(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    peak: float,
) -> Float[np.ndarray, "channel"]:
    """Structural similarity of one frame, 1 where the two are equal: of each channel the mean over its depth slices.

    SSIM = (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2)), C1 = (0.01 peak)^2,
    C2 = (0.03 peak)^2, in windows of 11 x 11 (height, width) with Gaussian weights of deviation 1.5 whose moments are
    the population's, averaged over the windows that lie within the slice: Wang, Bovik, Sheikh and Simoncelli, IEEE
    Transactions on Image Processing 13, 2004, equation 13, section III.C. Computed by scikit-image in float64.

    Args:
        forecast, truth: Of any real type. A window in which the truth misses a value (NaN) does not count; a forecast
            that is NaN in one that counts gives NaN. A slice without any window that counts is left out, a channel
            without any gives NaN.
        peak: The range of the data in its units, as 255 for 8 bits.

    Raises:
        InputError: Height or width is below 11, or scikit-image is not installed.
    """
    _refuse_peak(peak)
    structural_similarity = scikit_image()
    height, width = truth.shape[2:]
    if min(height, width) < WINDOW:
        raise InputError(
            f"frames are {height} x {width} and SSIM has windows of {WINDOW} x {WINDOW}; leave it out for these"
        )
    missing = np.isnan(truth)
    one, two = (np.where(missing, 0.0, frame).astype(np.float64) for frame in (forecast, truth))
    result = np.full(len(truth), np.nan)
    for channel in range(len(truth)):
        slices = []
        for x, y, gaps in zip(one[channel], two[channel], missing[channel], strict=True):
            counted = ~_touched(gaps)
            if counted.any():
                _, field = structural_similarity(
                    x, y, data_range=peak, full=True, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False
                )
                slices.append(field[REACH:-REACH, REACH:-REACH][counted].mean())
        if slices:
            result[channel] = np.mean(slices)
    return result


def scikit_image() -> Callable:
    """What computes SSIM.

    Raises:
        InputError: It is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise InputError(
            f"SSIM is computed by scikit-image, and {error.name} is not installed; pip install 'chronovox[images]'"
        ) from error
    return structural_similarity


def _touched(voxels: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "rows columns"]:
    """Which of the windows within a slice hold one of these voxels."""
    if not voxels.any():
        return np.zeros((voxels.shape[0] - 2 * REACH, voxels.shape[1] - 2 * REACH), bool)
    for axis in (0, 1):
        voxels = np.lib.stride_tricks.sliding_window_view(voxels, WINDOW, axis).any(axis=-1)
    return voxels


def _refuse_peak(peak: float) -> None:
    if not peak > 0:
        raise ValueError(f"the peak is {peak}; give the range of the data, a number above 0")
