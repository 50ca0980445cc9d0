"""Hyena: long convolutions in time with filters that a small network makes, and gates between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.channels import mix
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.short import short_convolution

ORDER = 2
"""Long convolutions, each with a gate behind it."""
TAPS = 3
"""Frames of the short convolutions, as in the paper."""
WAVES = 4
"""Waves that tell the network where in the filter it is: 1 to 4 a span."""
WIDTH = 16
"""Numbers inside the network."""
FREQUENCY = 10.0
"""Of the sines inside the network: what goes into them is multiplied by it."""
ENDS = (1.5, 0.3)
"""Where, in spans, the windows of the first and of the last channel have fallen to a hundredth."""

Histories = Float[Tensor, "kept state *grid"]


class Hyena(Mixer):
    """Convolutions as long as the memory, and products with what comes in, in every voxel.

        z^1 = v,   z^{n+1}_t = x^n_t (h^n * z^n)_t for n = 1, 2,   y = W_out z^3

    Poli, Massaroli, Nguyen, Fu, Dao, Baccus, Bengio, Ermon, Re, "Hyena Hierarchy: Towards Larger Convolutional
    Language Models" (2023), the recurrence of order 2: v, x^1, x^2 are projections W_in norm(x_t), each number
    convolved with 3 taps of its own; the filters h^n are implicit, see `Filters`. The authors' program makes one
    long convolution fewer of the same order, the first. Their filters are as long as the sequence; here they end
    after `span` frames, so that the memory is finite and no cut of time changes an output. The norm is that of the
    root mean square of a voxel's channels, which the paper's models have in front of the operator: without it
    outputs grow as the cube of inputs. Voxels share all weights and do not see each other.

    A run is convolved by Fourier transforms, so an output feels later frames of its run by round-off; a voxel that is
    not finite in one frame is so in all of the run. A single frame is a sum over what is kept. Convolutions are in the
    precision of the weights under autocast too.

    The carry (6 + 2 (span - 1), states, *grid) holds the last two frames of the three projections, then the last
    span - 1 frames of z^1 and of z^2.

    Of T frames of N voxels a run takes O(L N states log L + T N states channels) time, O(L N states) memory, L = T +
    span: all frames at once. A step takes O(N states (span + channels)) time and O(N states span) memory.

    Args:
        channels: Of the input and of the output.
        states: Numbers of v, of x^1, and of x^2.
        span: Frames that a filter reaches, the present one among them.
    """

    def __init__(self, channels: int, states: int, *, span: int = 16):
        super().__init__()
        self.states, self.span = states, span
        parts = (ORDER + 1) * states
        self.norm = nn.RMSNorm(channels, eps=1e-5)
        self.entering = nn.Parameter(torch.randn(parts, channels) / math.sqrt(channels))
        self.short = nn.Parameter(torch.randn(parts, TAPS) / math.sqrt(TAPS))
        self.filters = Filters(states, span)
        self.leaving = nn.Parameter(torch.randn(channels, states) / math.sqrt(states))

    def through(self, x: Frames, boundary: tuple[str, ...], carry: Histories) -> tuple[Frames, Histories]:
        return self._made(x, carry, by_transform)

    def one(
        self, x: Float[Tensor, "channel *grid"], boundary: tuple[str, ...], carry: Histories
    ) -> tuple[Float[Tensor, "channel *grid"], Histories]:
        (y,), carry = self._made(x[None], carry, last_only)
        return y, carry

    def _made(self, x: Frames, carry: Histories, convolved: Callable[[Tensor, Tensor], Tensor]):
        before, *histories = carry.split([(TAPS - 1) * (ORDER + 1), *[self.span - 1] * ORDER])
        before = before.unflatten(0, (TAPS - 1, ORDER + 1)).flatten(1, 2)
        entering = mix(self.entering, self.norm(x.to(self.kind).movedim(1, -1)).movedim(-1, 1))
        parts, before = short_convolution(entering.to(self.kind), before, self.short)
        z, *gates = parts.chunk(ORDER + 1, 1)
        left = [before.unflatten(1, (ORDER + 1, self.states)).flatten(0, 1)]
        for gate, taps, history in zip(gates, self.filters(), histories, strict=True):
            known = torch.cat([history, z])
            z = gate * convolved(known, taps.reshape(*taps.shape, *[1] * (x.ndim - 2)))
            left.append(known[len(x) :])
        return mix(self.leaving, z), torch.cat(left)

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return ((TAPS - 1) * (ORDER + 1) + ORDER * (self.span - 1), self.states, *shape), self.kind


class Filters(nn.Module):
    """Filters made of the age of what they meet: h(t) = exp(-alpha t) net(t) / s, for t = 0 .. span - 1.

    The network has two layers of sines and gets t / span and a few waves of it (positional features). Channels have
    alphas laid out evenly, all fixed; s makes the squares of a window sum to one, so that a new filter passes about the
    size of its input. The paper shifts its windows away from zero, which is left out.

    Args:
        channels: Filters of each of the convolutions.
        span: How long they are.
    """

    def __init__(self, channels: int, span: int):
        super().__init__()
        self.channels, self.span = channels, span
        self.first, self.second = nn.Linear(1 + 2 * WAVES, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.last = nn.Parameter(torch.randn(ORDER * channels, WIDTH) * math.sqrt(2 / WIDTH))

    def forward(self) -> Float[Tensor, "order age channel"]:
        """The filters, the tap of the present frame first."""
        form = {"dtype": self.last.dtype, "device": self.last.device}
        age = torch.arange(self.span, **form)[:, None] / self.span
        waves = 2 * math.pi * torch.arange(1, WAVES + 1, **form) * age
        alpha = math.log(100) / torch.linspace(*ENDS, self.channels, **form)
        window = torch.exp(-alpha * age)
        with torch.autocast(age.device.type, enabled=False):
            inside = torch.sin(FREQUENCY * self.first(torch.cat([age, waves.cos(), waves.sin()], 1)))
            inside = torch.sin(FREQUENCY * self.second(inside))
            free = (inside @ self.last.T).unflatten(1, (ORDER, self.channels)).transpose(0, 1)
        return window / window.square().sum(0).sqrt() * free


def by_transform(
    known: Float[Tensor, "known state *grid"], taps: Float[Tensor, "span state *ones"]
) -> Float[Tensor, "time state *grid"]:
    """The convolution wherever all taps meet a frame.

    The transform is circular, and as long as what is known or longer: what comes round meets the first frames alone.
    Frames lie side by side for it: at strides of a power of two, as frames of 64 x 64 have, it took twice as long.
    """
    first, frames = len(taps) - 1, len(known)
    size = 2 ** math.ceil(math.log2(frames))
    known, taps = (every.movedim(0, -1).contiguous() for every in (known, taps))
    spectrum = torch.fft.rfft(known, size) * torch.fft.rfft(taps, size)
    return torch.fft.irfft(spectrum, size)[..., first:frames].movedim(-1, 0)


def last_only(
    known: Float[Tensor, "span state *grid"], taps: Float[Tensor, "span state *ones"]
) -> Float[Tensor, "1 state *grid"]:
    """The convolution where there are as many frames as taps."""
    return (known * taps.flip(0)).sum(0, keepdim=True)
