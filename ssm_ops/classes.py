"""Frequency classes: which frequencies of a carry are worth sending, and how far they reach.

With |a(w)| what one frame leaves of a frequency and |a(w)|^L what a shard of L frames leaves, a tolerance divides

    silent   |a| < tolerance           nothing is sent: even the next frame would hardly feel it
    near     |a|^L < tolerance         the neighbour's own final state is the carry: nothing from before it gets through
    far      the others                the chain

What is left out of the state at a frequency is at most tolerance times a carry there: a silent one's first frame loses
a c, a near one's carry loses a^L times the one before, and both decay from there; the next border forgets it. So by
Parseval's identity the root mean square over space of the error of any frame is at most `BOUND` times the tolerance
times that of the largest state at a border of shards (the square root of 2, because silent and near frequencies may
look at different borders). Dropping a near frequency's carry altogether would not do: the early frames of the next
shard feel it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Inexact
from torch import Tensor

from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.transition import Number, Transition

BOUND = 2**0.5
"""See above."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of the frequencies of some channels.

    Args:
        transition: What one unit of time does.
        grid: The grid of its spectra.
        channels: How many.
        tolerance: 0 sends everything.
        shortest: The shortest step of time.
    """

    transition: Transition
    grid: Grid | Voxels
    channels: int
    tolerance: float = 0.0
    shortest: float = 1.0

    @cached_property
    def _sent(self) -> np.ndarray | None:
        """Which entries of a carry (channel, *spectrum), flat, are sent; `None` for all."""
        if self.tolerance == 0:
            return None
        kept = self._power(self.shortest).abs() >= self.tolerance
        return None if bool(kept.all()) else np.flatnonzero(kept.cpu().numpy())

    @property
    def sent(self) -> int:
        """Numbers of a carry that are sent."""
        return self.channels * math.prod(self.grid.spectrum_shape) if self._sent is None else len(self._sent)

    def counts(self, span: Number) -> dict[str, int]:
        """How many frequencies of a carry are in each class, for shards that span so much time."""
        one, all_of_it = self._power(self.shortest).abs(), self._power(span).abs()
        silent, near = one < self.tolerance, all_of_it < self.tolerance
        found = {"silent": silent, "near": near & ~silent, "far": ~(near | silent)}
        return {name: int(which.sum()) for name, which in found.items()}

    def promise(self, span: Number) -> str:
        """What the tolerance costs at most, and spares, in words."""
        counts = self.counts(span)
        return (
            f"carry tolerance {self.tolerance:g}: rms error of any frame at most {BOUND * self.tolerance:.2g} of the "
            f"largest rms of a state at a border; of {sum(counts.values())} frequencies {counts['far']} need the "
            f"chain, {counts['near']} their neighbour's summary, {counts['silent']} no message"
        )

    def pack(self, carry: np.ndarray) -> np.ndarray:
        """What is sent of a carry."""
        return carry if self._sent is None else carry.reshape(-1)[self._sent]

    def unpack(self, sent: np.ndarray) -> np.ndarray:
        """The carry (channel, *spectrum) of what was sent, zeros elsewhere."""
        if self._sent is None:
            return sent
        carry = np.zeros((self.channels, *self.grid.spectrum_shape), sent.dtype)
        carry.reshape(-1)[self._sent] = sent
        return carry

    def power(self, span: Number | Inexact[Tensor, "channel"], dtype: torch.dtype) -> np.ndarray:
        """What a shard leaves of what was sent; nothing of near frequencies."""
        power = self._power(span)
        if self.tolerance > 0:
            power = torch.where(power.abs() < self.tolerance, 0, power)
        return self.pack(power.to(dtype).cpu().numpy())

    def _power(self, span: Number | Tensor) -> Tensor:
        power = self.transition.power(self.grid, span)
        return power.expand(self.channels, *self.grid.spectrum_shape)
