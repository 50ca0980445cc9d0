"""Attention whose weights are products of features: all of the past in one matrix a head."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from ssm_ops.channels import mix
from ssm_ops.mixers.heads import all_heads, each_head
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.rotary import shares, space_angles, turned


class LinearAttention(Mixer):
    """Every voxel of a frame asks all voxels of its own and of all earlier frames, by way of sums over them.

        S_t = S_{t-1} + sum over voxels of R phi(k) v^T,   z_t = z_{t-1} + sum over voxels of phi(k)
        y = W_o (R phi(q))^T S_t / (phi(q) . z_t),         (q, k, v) = W x_t,   phi = elu + 1

    Katharopoulos, Vyas, Pappas, Fleuret, "Transformers are RNNs: Fast Autoregressive Transformers with Linear
    Attention" (2020); each head has `states` numbers of a query, a key and a value, for which the paper takes
    channels / heads. Causal by frame: within a frame all voxels see each other. R turns features by their places in
    space, in the sums but not in what they are divided by, as Su et al., "RoFormer" (2021), propose for linear
    attention (see `rotary.py`); without it voxels could be exchanged and nothing would tell. Time has no places: all
    that was counts alike, and nothing is forgotten. The network that the paper has around it is the block's.

    The carry (heads, states, states + 1) holds S and z side by side; it has no grid. Features, sums and the division
    are in the precision of the weights under autocast too.

    Of T frames of N voxels a run takes O(T N heads states^2) time, O(T heads states (N + states)) memory, and all
    frames at once: sums over a frame, then cumulative sums over frames. A step takes O(N heads states^2) time.

    Args:
        channels: Of the input and of the output.
        states: Numbers of a query, of a key and of a value in each head.
        heads: How many.
    """

    def __init__(self, channels: int, states: int, *, heads: int = 1):
        super().__init__()
        self.heads, self.states, inner = heads, states, heads * states
        self.asked = nn.Parameter(torch.randn(3 * inner, channels) / math.sqrt(channels))
        self.output = nn.Parameter(torch.randn(channels, inner) / math.sqrt(inner))

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "head state more"]
    ) -> tuple[Frames, Float[Tensor, "head state more"]]:
        query, key, value = (each_head(part, self.heads).to(self.kind) for part in mix(self.asked, x).chunk(3, 1))
        query, key = features(query), features(key)
        angles = space_angles(x.shape[2:], boundary, shares(self.states // 2, len(boundary)), key)
        placed_query, placed_key, query, key, value = (
            part.flatten(2, -2) for part in (turned(query, angles), turned(key, angles), query, key, value)
        )
        with torch.autocast(x.device.type, enabled=False):
            new = torch.cat([placed_key.mT @ value, key.sum(2)[..., None]], -1)
            sums = carry[:, None] + new.cumsum(1)
            found = placed_query @ sums[..., :-1] / (query @ sums[..., -1:])
        y = all_heads(found.unflatten(2, x.shape[2:]))
        return mix(self.output, y), sums[:, -1].clone()  # the sums before the last are not held

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (self.heads, self.states, self.states + 1), self.kind


def features(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """phi = elu + 1, as exp(x) where x is negative: no difference of large numbers, never zero before exp is."""
    return relu(x) + torch.exp(x.clamp(max=0))
