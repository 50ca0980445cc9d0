"""The convolution view: the states of a scan from zero are the inputs convolved in time with a^0, a^1, ..."""

from __future__ import annotations

import torch
from jaxtyping import Inexact
from torch import Tensor

from ssm_ops.identities import linear_convolution
from ssm_ops.transition import Transition


def convolve_in_time(
    x: Inexact[Tensor, "time channel *grid"], transition: Transition, *, boundary: tuple[str, ...]
) -> Inexact[Tensor, "time channel *grid"]:
    """The states of `scan` from zero, by an FFT along time: for checks and short sequences.

    h_t = sum_{s <= t} A^{t - s} x_s, a causal convolution; twice the frames keep it from going around. It holds the
    spectra of all frames and all powers in double precision, several times the input. Differentiable by autograd.
    Arguments and errors as for `scan`.
    """
    frames = x.shape[0]
    grid = transition.basis(tuple(x.shape[2:]), tuple(boundary), x.shape[1])
    spectra = grid.to_spectrum(x).to(torch.complex128)
    powers = torch.stack([transition.power(grid, steps) for steps in range(frames)]).to(torch.complex128)
    states = linear_convolution(spectra, powers)[:frames]
    kind = grid.spectrum_dtype(x.real.dtype)
    return grid.to_field((states if kind.is_complex else states.real).to(kind))
