"""Short causal convolutions in time, each channel of each voxel for itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops.mixers.mixer import Frames


def short_convolution(
    x: Frames, before: Float[Tensor, "known channel *grid"], weight: Float[Tensor, "channel taps"]
) -> tuple[Frames, Float[Tensor, "known channel *grid"]]:
    """y_t = sum over i of weight_i x_{t-i}, and the frames that the next run has before it.

    Args:
        x: A run of frames.
        before: The taps - 1 frames before it.
        weight: That of the present frame first.
    """
    known, taps = torch.cat([before, x]), weight.shape[1]
    weights = weight.T.reshape(taps, -1, *[1] * (x.ndim - 2))
    y = sum(weights[i] * known[taps - 1 - i : taps - 1 - i + len(x)] for i in range(taps))
    return y, known[len(x) :]
