"""Errors in proportion to what there was to know: VRMSE against the truth's variance, ACC against climatology."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from pipeline.scores.errors import errors
from pipeline.scores.ratios import weighted_means

EPSILON = 1e-7
"""What The Well adds to the variance."""


def vrmse(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    epsilon: float = EPSILON,
) -> Float[np.ndarray, "channel"]:
    """Root of the mean squared error over the variance of the truth, both over one frame's space; without units.

    VRMSE = sqrt(<(x - y)^2> / (<(y - <y>)^2> + epsilon)), 1 for a forecast that is the frame's mean: Ohana et al., The
    Well, NeurIPS 2024 (Datasets and Benchmarks). (Its code divides the variance by n - 1, so that
    its values are sqrt((n - 1) / n) of these.) Over frames take the mean (`Ratios.of_scores`).

    Args:
        forecast, truth: Of any real type. Missing values count as in `errors`, in the error and in the variance; a
            channel without any value gives NaN.
        epsilon: In units of the data squared. Data of other than order 1 want another one.
    """
    mse = errors(forecast, truth).per_channel()["mse"]
    truth = truth.astype(np.float64)
    counted = ~np.isnan(truth)
    mean = weighted_means({"mean": truth}, counted).per_channel()["mean"]
    deviation = truth - mean[:, None, None, None]
    variance = weighted_means({"variance": deviation * deviation}, counted).per_channel()["variance"]
    return np.sqrt(mse / (variance + epsilon))


def anomaly_correlation(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    climatology: Real[np.ndarray, "channel depth height width"],
    weights: Float[np.ndarray, "height 1"] | None = None,
) -> Float[np.ndarray, "channel"]:
    """Anomaly correlation coefficient (ACC) of one frame, from -1 to 1.

    With x' = forecast - climatology and y' = truth - climatology: ACC = sum(w x' y') / sqrt(sum(w x'^2) sum(w y'^2)),
    the uncentred one: Rasp et al., Journal of Advances in Modeling Earth Systems 16, 2024 (WeatherBench 2).
    Over frames take the mean (`Ratios.of_scores`).

    Args:
        forecast, truth: Of any real type.
        climatology: What is expected of this frame, as `Truth.expected` gives it.
        weights: Those of `pipeline.scores.latitude_weights`; by default every voxel weighs 1.

    Returns:
        Of each channel. A voxel does not count where the truth or the climatology is NaN; NaN in the forecast alone
        gives NaN. NaN also where no voxel counts, or where one of the two has no anomaly at all.
    """
    expected = climatology.astype(np.float64)
    one, two = forecast.astype(np.float64) - expected, truth.astype(np.float64) - expected
    fields = {"both": one * two, "forecast": one * one, "truth": two * two}
    means = weighted_means(fields, ~np.isnan(two), weights).per_channel()
    spread = np.sqrt(means["forecast"]) * np.sqrt(means["truth"])
    return np.divide(means["both"], spread, out=np.full_like(spread, np.nan), where=spread > 0)
