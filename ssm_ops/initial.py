"""Where the rates of transitions start: the spectra of the literature.

Rates are per unit of time for `Pointwise` (h' = rate h); only one of each conjugate pair is given, so that the real
part of the states, doubled, is the real signal. Diffusivities are for `Propagator`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def s4d_lin(states: int) -> Complex[Tensor, "states"]:
    """-1/2 + i pi n, n = 0, 1, ...: the frequencies of a Fourier series on one unit of time.

    Gu, Gupta, Goel, Re, "On the Parameterization and Initialization of Diagonal State Space Models" (2022), equation 9.
    """
    return torch.complex(torch.full((states,), -0.5).double(), math.pi * torch.arange(states).double())


def s4d_inv(states: int) -> Complex[Tensor, "states"]:
    """-1/2 + i (N / pi) (N / (2 n + 1) - 1), N = 2 `states`: close to the spectrum of HiPPO-LegS.

    Gu et al. (2022), equation 8, with N the size of the whole state, conjugates counted.
    """
    n, size = torch.arange(states).double(), 2 * states
    return torch.complex(torch.full((states,), -0.5).double(), size / math.pi * (size / (2 * n + 1) - 1))


def s4d_real(states: int) -> Float[Tensor, "states"]:
    """-(n + 1): the diagonal of HiPPO-LegS, decays alone (Gu et al. 2022, section 4)."""
    return -torch.arange(1, states + 1).double()


def hippo_legs(size: int) -> Float[Tensor, "size size"]:
    """The matrix of HiPPO-LegS: the state holds the Legendre coefficients of all of the past, stretched to [0, 1].

    A_nk = -sqrt(2n + 1) sqrt(2k + 1) for n > k, -(n + 1) for n = k, 0 above.
    Gu, Dao, Ermon, Rudra, Re, "HiPPO: Recurrent Memory with Optimal Polynomial Projections" (2020), theorem 2.
    """
    root = torch.sqrt(2 * torch.arange(size).double() + 1)
    return -torch.tril(torch.outer(root, root), -1) - torch.diag(torch.arange(1, size + 1).double())


def s4d_legs(states: int) -> Complex[Tensor, "states"]:
    """The spectrum of the normal part of HiPPO-LegS, upper half: -1/2 + i w, the largest w first (`legs_modes`)."""
    return legs_modes(states)[0]


def legs_modes(states: int) -> tuple[Complex[Tensor, "states"], Complex[Tensor, "size states"]]:
    """Rates and modes of the normal part of HiPPO-LegS of 2 `states` coefficients, one of each conjugate pair.

    With p_n = sqrt(n + 1/2), A + p p^T is -1/2 plus a skew-symmetric matrix: its rates are -1/2 + i w, its modes
    orthonormal. The largest w come first, the modes are the columns. So A = V (diag(rates) - P P*) V* with P = V* p,
    taken over both of each pair (Gu, Goel, Re, "Efficiently Modeling Long Sequences with Structured State Spaces"
    (2022), theorem 1 and appendix C.1; Gupta, Gu, Berant, "Diagonal State Spaces" (2022)).
    """
    size = 2 * states
    p = torch.sqrt(torch.arange(size).double() + 0.5)
    skew = hippo_legs(size) + torch.outer(p, p) + 0.5 * torch.eye(size).double()
    frequencies, modes = torch.linalg.eigh(-1j * skew)
    frequencies, modes = frequencies.flip(0)[:states], modes.flip(1)[:, :states]
    return torch.complex(torch.full((states,), -0.5).double(), frequencies), modes


def heat_scales(channels: int, narrowest: int | float, widest: int | float) -> Float[Tensor, "channels"]:
    """Diffusivities (voxels^2 per unit of time) that blur by Gaussians of widths on a logarithmic grid, in voxels.

    The heat equation c' = -diffusivity |w|^2 c blurs by a Gaussian of standard deviation sqrt(2 diffusivity) in a unit
    of time; its decays -diffusivity |w|^2 are the diagonal spectrum of WHippo in the Fourier and the cosine basis.

    Raises:
        ValueError: The widths are not positive or not in order.
    """
    if not 0 < narrowest <= widest:
        raise ValueError(f"widths from {narrowest} to {widest} voxels; give positive widths, the narrower first")
    widths = torch.logspace(math.log10(narrowest), math.log10(widest), channels, dtype=torch.float64)
    return widths.square() / 2
