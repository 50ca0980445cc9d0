"""From h' = A h + B u to h_t = Abar h_{t-1} + Bbar u_t: the two discretisations of classical state-space texts."""

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

    Stable wherever A is; an oscillation w becomes (2 / dt) arctan(w dt / 2).
    """
    one = torch.eye(len(A), dtype=A.dtype, device=A.device)
    return torch.linalg.solve(one - dt / 2 * A, one + dt / 2 * A), torch.linalg.solve(one - dt / 2 * A, dt * B)
