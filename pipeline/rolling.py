"""Forecasts of any horizon: each forecast is read as the next frame, in memory that does not grow with the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.model import Forecaster
from ssm_ops.carry import Carry


class Standing(NamedTuple):
    """Where a forecast stands: all that it takes to go on.

    Attributes:
        frame: The frame that is read next, normalised, with its masks.
        carries: What the frames before it left; `None` where there are none.
    """

    frame: Float[Tensor, "read depth height width"]
    carries: list[Carry] | None


def fed_back(
    forecast: Float[Tensor, "channel depth height width"], seen: Float[Tensor, "read depth height width"]
) -> Float[Tensor, "read depth height width"]:
    """A forecast as the frame that is read next: masks are not forecast, so they are those of the last frame seen."""
    return torch.cat([forecast, seen[len(forecast) :]])


def roll(model: Forecaster, standing: Standing) -> Iterator[Standing]:
    """Forecasts without end, one a step: the first `model.volume_channels` channels of the frames that come out.

    The k-th is the forecast k frames beyond the frame of `standing`, which is read first. From each the same goes on:
    `roll(model, standing)` after n steps, begun again with what came out, gives the same bits. Frames go through the
    model one at a time, so the bits do not depend on a cut either. Nothing is kept of what came out; under autograd
    the graph grows with the steps, and gradients reach the first frame, its carries and the weights.
    """
    while True:
        (forecast,), carries = model(standing.frame[None], standing.carries)
        standing = Standing(fed_back(forecast, standing.frame), carries)
        yield standing
