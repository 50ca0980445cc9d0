"""Forecasts of any horizon: each forecast is read as the next frame, or a gap is, in memory that does not grow with the
horizon."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.model import Forecaster, gap
from ssm_ops.carry import Carry


class Standing(NamedTuple):
    """Where a forecast stands: all that it takes to go on.

    Attributes:
        frame: The frame that is read next, normalised, with its masks; or a gap.
        carries: What the frames before it left; `None` where there are none.
        step: The time from the frame before to it, see `pipeline.elapsed`; `None` is 1.
    """

    frame: Float[Tensor, "read depth height width"]
    carries: list[Carry] | None
    step: Float[Tensor, "1"] | None = None


def read_next(
    model: Forecaster,
    forecast: Float[Tensor, "channel depth height width"],
    seen: Float[Tensor, "read depth height width"],
) -> Float[Tensor, "read depth height width"]:
    """What is read in place of the frame that was forecast: the forecast, with the masks of the last frame seen, which
    are not forecast; or a gap, as the model's settings say."""
    return gap(seen) if model.settings.gaps else torch.cat([forecast, seen[len(forecast) :]])


def with_gaps(
    frames: Float[Tensor, "*windows time read depth height width"], horizon: int
) -> Float[Tensor, "*windows time read depth height width"]:
    """The frames of windows of which the last `horizon` were not seen; of a horizon of 1 all that are read were."""
    if horizon == 1:
        return frames
    seen, ahead = frames.split([frames.shape[-5] - horizon, horizon], dim=-5)
    return torch.cat([seen, gap(ahead)], dim=-5)


def roll(
    model: Forecaster, standing: Standing, steps: Iterable[Float[Tensor, "1"] | None] = itertools.repeat(None)
) -> Iterator[tuple[Float[Tensor, "channel depth height width"], Standing]]:
    """Forecasts and where each leaves the model, one a step and without end unless `steps` have one.

    The k-th is the forecast k frames beyond the frame of `standing`, which is read first. From each the same goes on:
    `roll(model, standing)` after n steps, begun again with what came out, gives the same bits. Frames go through the
    model one at a time, so the bits do not depend on a cut either. Nothing is kept of what came out; under autograd
    the graph grows with the steps, and gradients reach the first frame, its carries and the weights.

    Args:
        model: Whose forecasts.
        standing: From where.
        steps: The time from each frame to the one that is forecast from it; `None` is 1.
    """
    for step in steps:
        (forecast,), carries = model(standing.frame[None], standing.carries, standing.step)
        standing = Standing(read_next(model, forecast, standing.frame), carries, step)
        yield forecast, standing
