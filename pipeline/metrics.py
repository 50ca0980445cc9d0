"""Errors of a forecast frame, plain and weighted by latitude."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def latitude_weights(latitude: Float[np.ndarray, "height"]) -> Float[np.ndarray, "height 1"]:
    """cos(latitude in degrees), scaled to mean 1: each row counts as the area it covers on the sphere."""
    weights = np.cos(np.deg2rad(latitude.astype(np.float64)))
    return (weights / weights.mean())[:, None]


def frame_errors(
    forecast: Float[np.ndarray, "channel depth height width"],
    truth: Float[np.ndarray, "channel depth height width"],
    weights: Float[np.ndarray, "height 1"] | None,
) -> dict[str, float]:
    """Mean squared and mean absolute error of one frame, float64; with `weights` also the weighted ones.

    They are over the voxels where the truth has a value (is not NaN), which share the weights; NaN where none has.
    """
    error = forecast.astype(np.float64) - truth.astype(np.float64)
    valued = ~np.isnan(truth)
    if not valued.all():
        if weights is not None:
            weights = np.broadcast_to(weights, error.shape)[valued]
            weights = weights / weights.mean() if valued.any() else weights
        error = error[valued]
    result = {"mse": mean(error**2), "mae": mean(np.abs(error))}
    if weights is not None:
        result["mse_latitude_weighted"] = mean(weights * error**2)
        result["mae_latitude_weighted"] = mean(weights * np.abs(error))
    return result


def mean(values: Float[np.ndarray, "..."]) -> float:
    """The mean; NaN of nothing."""
    return float(np.mean(values)) if values.size else float("nan")


def over_frames(errors: dict[str, Float[np.ndarray, "time"]]) -> dict[str, float]:
    """Scores of a period from the errors of its frames: means, and the root of the mean squared error. Frames without
    any value (NaN) are left out."""
    scores = {name: mean(values[~np.isnan(values)]) for name, values in errors.items()}
    return scores | {name.replace("mse", "rmse"): float(np.sqrt(scores[name])) for name in errors if "mse" in name}
