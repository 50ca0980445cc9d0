"""An encoder that reads each frame by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from ssm_ops.channels import mix
from ssm_ops.mixers.heads import all_heads, each_head
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.rotary import shares, space_angles, turned

WIDER = 4
"""Numbers of a voxel inside the feed-forward network, as a multiple of the channels; as in the paper."""


class FrameEncoder(nn.Module):
    """One layer of an encoder on the voxels of each frame: all look at all, then each by itself.

        e = x + W_o softmax(q . k / sqrt(d)) v,   (q, k, v) = W norm(x)
        out = e + W_2 relu(W_1 norm(e) + b_1) + b_2

    The encoder of Vaswani et al., "Attention Is All You Need" (2017), section 3.1, with layer norms before the parts
    instead of behind the sums and none at the end, so that sizes pass. Places in space are rotary, see `rotary.py`.
    O(N^2 inner) time and O(N (inner + channels)) memory a frame of N voxels, inner = heads x states.

    Args:
        channels: Of the frames that come and of those that leave.
        states: Numbers of a query, of a key and of a value in each head.
        heads: How many.
    """

    def __init__(self, channels: int, states: int, heads: int):
        super().__init__()
        self.heads, inner = heads, heads * states
        self.asked = nn.Parameter(torch.randn(3 * inner, channels) / math.sqrt(channels))
        self.found = nn.Parameter(torch.randn(channels, inner) / math.sqrt(inner))
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.wide, self.narrow = nn.Linear(channels, WIDER * channels), nn.Linear(WIDER * channels, channels)

    def forward(self, x: Frames, boundary: tuple[str, ...]) -> Frames:
        asked = mix(self.asked, _each_voxel(self.first, x)).chunk(3, 1)
        query, key, value = (each_head(part, self.heads) for part in asked)
        pairs = shares(key.shape[-1] // 2, len(boundary))
        angles = space_angles(x.shape[2:], boundary, pairs, key)
        tokens = (part.flatten(2, -2) for part in (turned(query, angles), turned(key, angles), value))
        seen = scaled_dot_product_attention(*tokens).reshape(value.shape)
        x = x + mix(self.found, all_heads(seen))
        return x + _each_voxel(lambda voxels: self.narrow(relu(self.wide(self.second(voxels)))), x)


def _each_voxel(function: Callable[[Tensor], Tensor], x: Frames) -> Frames:
    """A function of the channels, last, applied to each voxel."""
    return function(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])
