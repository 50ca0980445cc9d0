"""Causal attention over all patches of all frames: what a user would train today who wants to forget nothing."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from pipeline.network.decoder import Decoder
from pipeline.network.encoder import Neighbours
from tests.benchmarks.convlstm import REFLECT

Tokens = Float[Tensor, "time place width"]


class Attention(nn.Module):
    """Makes a frame of each frame and those before it: patches, layers of attention, patches made frames again.

    The decoder of Vaswani et al., "Attention Is All You Need" (2017), with norms first: each patch looks at all patches
    of its own frame and of all frames before it, in one head; waves tell its place in the sequence of all patches
    (section 3.5 there).

    Args:
        channels: Of the frames.
        width: Numbers of a token.
        layers: How many there are.
        patch: Voxels of a patch along each axis; encoder and decoder are those of our model.
        fused: Scores are never held: they are computed again in the backward pass (Dao et al., "FlashAttention: Fast
            and Memory-Efficient Exact Attention with IO-Awareness" (2022), as torch has it for CPUs). Otherwise they
            are, as before.
    """

    def __init__(self, channels: int, width: int, *, layers: int, patch: int, fused: bool):
        super().__init__()
        self.encoder = Neighbours(channels, width, REFLECT, patch)
        self.layers = nn.ModuleList(Layer(width, fused) for _ in range(layers))
        self.decoder = Decoder(width, channels, REFLECT, patch)

    def forward(self, frames: Float[Tensor, "time channel height width"]) -> Float[Tensor, "time channel height width"]:
        stream = self.encoder(frames)
        tokens = stream.flatten(2).transpose(1, 2)
        tokens = tokens + places(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.decoder.to_frames(tokens.transpose(1, 2).reshape(stream.shape), tuple(frames.shape[2:]))


class Layer(nn.Module):
    """Attention, then a network on each token of twice the width between; both added to the tokens."""

    def __init__(self, width: int, fused: bool):
        super().__init__()
        self.backend = SDPBackend.FLASH_ATTENTION if fused else SDPBackend.MATH
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tokens) -> Tokens:
        with sdpa_kernel(self.backend):
            tokens = tokens + self.mixed(until_now(*self.asked(self.first(tokens)).chunk(3, dim=2)))
        return tokens + self.network(self.second(tokens))


def until_now(query: Tokens, key: Tokens, value: Tokens) -> Tokens:
    """What each token finds in its own frame and those before it: frame by frame, so that no mask is held."""
    places = query.shape[1]
    keys, values = key.flatten(0, 1)[None, None], value.flatten(0, 1)[None, None]
    found = []
    for time, own in enumerate(query.unbind(0), start=1):
        known = slice(time * places)
        found.append(scaled_dot_product_attention(own[None, None], keys[:, :, known], values[:, :, known])[0, 0])
    return torch.stack(found)


def places(tokens: Tokens) -> Tokens:
    """Waves of the number of each token in the sequence."""
    time, place, width = tokens.shape
    number = torch.arange(time * place, dtype=tokens.dtype)[:, None]
    rates = torch.exp(torch.linspace(0, -9.2, -(-width // 2), dtype=tokens.dtype))  # wavelengths up to 10000 x 2 pi
    waves = torch.cat([torch.sin(number * rates), torch.cos(number * rates)], dim=1)
    return waves[:, :width].unflatten(0, (time, place))
