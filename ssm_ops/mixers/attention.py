"""Softmax attention over all voxels of the last frames, with a cache of keys and values."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ssm_ops.channels import mix
from ssm_ops.mixers.frame_encoder import FrameEncoder
from ssm_ops.mixers.heads import Tokens, all_heads, each_head
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.rotary import line_angles, shares, space_angles, turned

SCORES = 2**20
"""About how many pairs of voxels go into one call of attention, unless those of a single frame are more."""


class Attention(Mixer):
    """Every voxel of a frame asks all voxels of the last `span` frames, its own frame among them.

        y = W_o softmax(q . k / sqrt(d)) v,   q = W_q x_t,   (k, v) = W_m x_s of all voxels, t - span < s <= t

    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, "Attention Is All You Need" (2017), equation
    1 and multi-head attention: each head has queries, keys and values of its own, of d = `states` numbers, for which
    the paper takes channels / heads; below, inner = heads x states. Causal by frame: within a frame all voxels see each
    other. Places in time and space are rotary (see `rotary.py`), instead of waves added to the input, so that outputs
    do not depend on the number of a frame; a periodic axis is a circle, any other a line, whatever its boundary. What
    the paper has around it, sum with the input and feed-forward network, is the block's.

    With an encoder keys and values are made of what it makes of each frame by itself: `encoder-decoder`. Vaswani et al.
    encode one whole sequence and then make another, word by word: each new word looks at the words made so far, and
    by cross-attention at the whole of the encoded sequence. Here frames stream in, and each makes one frame. So the
    encoder cannot see across frames, which would be to see what comes later; cross-attention looks at the encoded
    frames of the last `span`, not at all; the queries are made of the present frame, unencoded; and there is no
    attention of outputs to earlier outputs.

    The carry (span - 1, 2 inner + 1, *grid) holds keys (not yet turned), values, and a one where the frame was real.

    Of T frames of N voxels training takes O(T span N^2 inner) time: as many frames as have about `SCORES` scores go
    into one call of `scaled_dot_product_attention`, at most `span` of them and at least one. So a loop runs over such
    pieces, none of which waits for another. A mask has at most twice as many entries, and a single frame needs none;
    scores are not held where torch has a fused kernel, as on CPUs: O(T N inner) memory. A step takes
    O(span N^2 inner) time and reads a cache of O(span N inner).

    Args:
        channels: Of the input and of the output.
        states: Numbers of a query, of a key and of a value in each head. Where they are fewer than two for time and two
            for each axis of space, not all axes have places.
        heads: How many.
        span: Frames that a voxel sees, the present one among them.
        encoder: Makes of frames and boundary frames of as many channels, each by itself.
    """

    def __init__(
        self, channels: int, states: int, *, heads: int = 1, span: int = 16, encoder: FrameEncoder | None = None
    ):
        super().__init__()
        self.heads, self.span, self.inner = heads, span, heads * states
        self.query = nn.Parameter(torch.randn(self.inner, channels) / math.sqrt(channels))
        self.memory = nn.Parameter(torch.randn(2 * self.inner, channels) / math.sqrt(channels))
        self.output = nn.Parameter(torch.randn(channels, self.inner) / math.sqrt(self.inner))
        self.encoder = encoder

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "before cached *grid"]
    ) -> tuple[Frames, Float[Tensor, "before cached *grid"]]:
        new = mix(self.memory, x if self.encoder is None else self.encoder(x, boundary))
        cache = torch.cat([carry, torch.cat([new, torch.ones_like(new[:, :1])], 1)])
        empty = int((carry[:, -1].flatten(1)[:, 0] < 0.5).sum())  # always the first ones
        key, value = (each_head(part, self.heads) for part in cache[empty:, :-1].chunk(2, 1))
        query = each_head(mix(self.query, x), self.heads)

        in_time, *in_space = shares(key.shape[-1] // 2, 1 + len(boundary))
        time = line_angles(key.shape[1], in_time, key).reshape(-1, *[1] * len(boundary), in_time)
        space = space_angles(x.shape[2:], boundary, in_space, key)
        query, key = turned(query, [time[-len(x) :], *space]), turned(key, [time, *space])
        y = mix(self.output, all_heads(within_span(query, key, value, self.span)))
        return y, cache[len(x) :].clone()  # the frames that leave are not held

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (self.span - 1, 2 * self.inner + 1, *shape), self.kind


def within_span(
    query: Tokens,
    key: Float[Tensor, "head known *grid width"],
    value: Float[Tensor, "head known *grid width"],
    span: int,
) -> Tokens:
    """What each voxel finds in the `span` frames up to its own; the frames of `query` are the last of those known."""
    time, shape = query.shape[1], query.shape[2:]
    before, voxels = key.shape[1] - time, math.prod(shape[:-1])
    piece = max(1, min(span, SCORES // (span * voxels**2)))
    found = []
    for first in range(before, before + time, piece):
        stop, oldest = min(first + piece, before + time), max(0, first - span + 1)
        asks, asked = torch.arange(first, stop)[:, None], torch.arange(oldest, stop)
        seen = (asks - span < asked) & (asked <= asks)
        mask = None
        if not seen.all():
            mask = (
                seen[:, None, :, None].expand(-1, voxels, -1, voxels).reshape(len(asks) * voxels, -1).to(query.device)
            )
        own, *past = query[:, first - before : stop - before], key[:, oldest:stop], value[:, oldest:stop]
        y = scaled_dot_product_attention(*(part.flatten(1, -2)[None] for part in (own, *past)), attn_mask=mask)
        found.append(y[0].unflatten(1, own.shape[1:-1]))
    return torch.cat(found, 1)
