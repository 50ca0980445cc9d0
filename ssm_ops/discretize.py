"""From h' = A h + B u to h_t = Abar h_{t-1} + Bbar u_t: the discretisations of classical state-space texts.

u_t is the input during the step. Where the input changes within it, which of its values is given decides the order too:
the one at the beginning for `forward_euler`, at the end for `backward_euler` (first order both), in the middle, or the
mean of both ends, for `bilinear` and `zero_order_hold` (second order). `oscillator.py` shows the four on an example.
"""

from __future__ import annotations

import torch
from jaxtyping import Inexact
from torch import Tensor


def zero_order_hold(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], dt: float
) -> tuple[Inexact[Tensor, "n n"], Inexact[Tensor, "n m"]]:
    """Exact where the input is constant over each step: Abar = exp(dt A), Bbar = integral of exp(s A) B over the step.

    Both from one exponential of the matrix [[A, B], [0, 0]] (Van Loan, "Computing Integrals Involving the Matrix
    Exponential", 1978), so A need not have an inverse.
    """
    n, m = B.shape
    block = torch.cat([torch.cat([A, B], dim=1), A.new_zeros(m, n + m)])
    power = torch.linalg.matrix_exp(dt * block)
    return power[:n, :n], power[:n, n:]


def bilinear(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], dt: float
) -> tuple[Inexact[Tensor, "n n"], Inexact[Tensor, "n m"]]:
    """The trapezoidal rule (Tustin): Abar = (1 - dt A / 2)^-1 (1 + dt A / 2), Bbar = (1 - dt A / 2)^-1 dt B.

    Stable wherever A is; an oscillation w becomes (2 / dt) arctan(w dt / 2). Second order.
    """
    return _generalised_bilinear(A, B, dt, 0.5)


def forward_euler(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], dt: float
) -> tuple[Inexact[Tensor, "n n"], Inexact[Tensor, "n m"]]:
    """The slope at the beginning of the step: Abar = 1 + dt A, Bbar = dt B.

    Stable only where |1 + dt rate| <= 1 for each eigenvalue of A, so never for an oscillation without damping. First
    order.
    """
    return _generalised_bilinear(A, B, dt, 0.0)


def backward_euler(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], dt: float
) -> tuple[Inexact[Tensor, "n n"], Inexact[Tensor, "n m"]]:
    """The slope at the end of the step: Abar = (1 - dt A)^-1, Bbar = (1 - dt A)^-1 dt B.

    Stable wherever A is; it damps oscillations that have no damping. First order.
    """
    return _generalised_bilinear(A, B, dt, 1.0)


def _generalised_bilinear(
    A: Inexact[Tensor, "n n"], B: Inexact[Tensor, "n m"], dt: float, end: float
) -> tuple[Inexact[Tensor, "n n"], Inexact[Tensor, "n m"]]:
    """The slope weighted by `end` at the end of the step and 1 - `end` at its beginning (Gu, Dao, Ermon, Rudra, Re,
    "HiPPO" (2020), appendix B.3, where `end` is alpha)."""
    one = torch.eye(len(A), dtype=A.dtype, device=A.device)
    left = one - end * dt * A
    return torch.linalg.solve(left, one + (1 - end) * dt * A), torch.linalg.solve(left, dt * B)
