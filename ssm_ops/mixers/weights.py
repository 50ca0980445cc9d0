"""Weights as they are drawn: by the rules of Xavier, He, or orthogonal; of matrices and of kernels in space."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

GATE_INITIALS = ("orthogonal", "xavier", "he")
"""How the weights of gates start; the default first."""


def kernel_sizes(taps: int | None, axes: int) -> tuple[int, ...]:
    """The size of a kernel along each axis, 3 where none is told.

    Raises:
        ValueError: It is even, so that the kernel has no voxel in its middle.
    """
    taps = 3 if taps is None else taps
    if taps % 2 == 0:
        raise ValueError(f"taps is {taps}, and a kernel in space has a voxel in its middle; give an odd number")
    return (taps,) * axes


def drawn(rule: str, out: int, channels: int, sizes: tuple[int, ...] = ()) -> Float[Tensor, "out channel *taps"]:
    """New weights, a matrix or with `sizes` a kernel of as many taps along each axis, from torch's generator.

    `xavier`: normal, variance 2 / (inputs + outputs), taps counted with both (Glorot and Bengio, 2010); `he`: normal,
    variance 2 / inputs (He et al., 2015); `orthogonal`: rows, or columns where they are fewer, of length 1 and at
    right angles (Saxe et al., 2014), a row holding all taps.
    """
    rules = {"xavier": nn.init.xavier_normal_, "he": nn.init.kaiming_normal_, "orthogonal": nn.init.orthogonal_}
    return rules[rule](torch.empty(out, channels, *sizes))


def drawn_gates(
    initial: str, gates: int, hidden: int, channels: int, sizes: tuple[int, ...] = ()
) -> tuple[Float[Tensor, "gated channel *taps"], Float[Tensor, "gated hidden *taps"]]:
    """The weights that gates give their input and the hidden state before, each gate drawn for itself.

    `xavier` and `he` are the rule of both; with `orthogonal` those of the state are orthogonal, those of the input
    Xavier's.
    """
    of_input = "xavier" if initial == "orthogonal" else initial
    return (
        torch.cat([drawn(of_input, hidden, channels, sizes) for _ in range(gates)]),
        torch.cat([drawn(initial, hidden, hidden, sizes) for _ in range(gates)]),
    )
