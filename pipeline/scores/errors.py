"""Errors of forecast frames that add up over frames: MSE, MAE and bias of each channel, plain and by latitude."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Real

from pipeline.scores.ratios import Ratios, weighted_means

Values = TypeVar("Values", float, Float[np.ndarray, "channel"])

SQUARED = re.compile("(?<!r)mse")
"""Names of mean squared errors; not those of roots."""


def latitude_weights(latitude: Real[np.ndarray, "height"]) -> Float[np.ndarray, "height 1"]:
    """cos(latitude in degrees), scaled to mean 1: each row counts as the area it covers on the sphere."""
    weights = np.cos(np.deg2rad(latitude.astype(np.float64)))
    return (weights / weights.mean())[:, None]


def errors(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    weights: Float[np.ndarray, "height 1"] | None = None,
) -> Ratios:
    """The errors of one frame, to be added to those of others.

    `mse` = mean((forecast - truth)^2), `mae` = mean(|forecast - truth|), `bias` = mean(forecast - truth), computed in
    float64, in the data's units (mse: squared). With `weights` also `mse_latitude_weighted` and so on, which are
    sum(w e) / sum(w) (Rasp et al., Journal of Advances in Modeling Earth Systems 16, 2024: WeatherBench 2). Over
    several frames every voxel counts alike; for means over frames give `pooled()` or `per_channel()` of each to
    `Ratios.of_scores`, as `pipeline.scoring` does. Where each frame has all its values the two are the same. For the
    RMSE see `with_roots`.

    Args:
        forecast, truth: Frames of any real type. A voxel whose truth is NaN does not count. A forecast that is NaN
            where the truth has a value makes the channel's errors NaN: it is never left out silently.
        weights: Those of `latitude_weights`.
    """
    truth = truth.astype(np.float64)
    error = forecast.astype(np.float64) - truth
    counted = ~np.isnan(truth)
    fields = {"mse": error * error, "mae": np.abs(error), "bias": error}
    found = weighted_means(fields, counted)
    if weights is None:
        return found
    weighted = weighted_means({f"{name}_latitude_weighted": field for name, field in fields.items()}, counted, weights)
    return Ratios({**found.parts, **weighted.parts})


def with_roots(scores: Mapping[str, Values]) -> dict[str, Values]:
    """The scores and of each mean squared error (`mse` in its name) the root (`rmse`), in the data's units. What is a
    root already (`rmse`, `vrmse`) has none.

    Take it of sums over all frames: the root of a mean is not the mean of roots.
    """
    roots = {name.replace("mse", "rmse"): np.sqrt(value) for name, value in scores.items() if SQUARED.search(name)}
    return {**scores, **{name: root if isinstance(root, np.ndarray) else float(root) for name, root in roots.items()}}
