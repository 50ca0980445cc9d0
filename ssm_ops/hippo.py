"""HiPPO: a linear recurrence whose state is the projection of its past input onto a basis.

The projection has a measure: how much each age of the past counts. The basis p_0, p_1, ... is orthonormal in it, and
the state is c_n(t) = integral of u(t - age) p_n(age) over the measure. It obeys c' = A c + B u:

| measure | what counts of the past | basis | unit of age and of time |
| --- | --- | --- | --- |
| `legs` | all since the beginning, evenly | Legendre | the time t since then: t c' = A c + B u |
| `legt` | a window, evenly | Legendre | the window |
| `fout` | a window, evenly | Fourier | the window |
| `lagt` | exp(-age) | Laguerre | the time in which the weight falls to 1 / e |

Scaled Legendre and translated Laguerre are exact: A is triangular, and the coefficients that the state holds do not
need those that it leaves out. The two windows are not, for what leaves a window, u(t - 1), is not known any more; it is
taken from the state itself, and so is exact where the basis can hold the window.

Gu, Dao, Ermon, Rudra, Re, "HiPPO: Recurrent Memory with Optimal Polynomial Projections" (2020), theorems 1 (LegT,
LagT) and 2 (LegS); Gu, Johnson, Timalsina, Rudra, Re, "How to Train Your HiPPO" (2022) (FouT, and LegT in this
scaling). Signs and scalings are those of c' = A c + B u with an orthonormal basis.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops.discretize import zero_order_hold
from ssm_ops.initial import hippo_legs
from ssm_ops.powers import Number

MEASURES = ("legs", "legt", "lagt", "fout")


def hippo_matrices(measure: str, size: int) -> tuple[Float[Tensor, "size size"], Float[Tensor, "size 1"]]:
    """A and B of c' = A c + B u, float64, in the measure's unit of time; `legs`: of t c' = A c + B u.

    Integrating the definition of c by parts gives p_n(0) u(t) for what enters, minus p_n(1) u(t - 1) for what leaves a
    window, and the derivatives of the basis, which are sums of the basis.

    - `legs`: A_nk = -sqrt(2n + 1) sqrt(2k + 1) for n > k, -(n + 1) for n = k, 0 above; B_n = sqrt(2n + 1).
    - `legt`: A_nk = -sqrt(2n + 1) sqrt(2k + 1) times 1 for n >= k and (-1)^(n - k) above; B_n = sqrt(2n + 1). With
      u(t - 1) = sum_k c_k p_k(1), the input leaves as a Pade approximant of the delay.
    - `lagt`: A_nk = -1 for n >= k, 0 above; B_n = 1.
    - `fout`: the order is 1, cos 1, sin 1, cos 2, sin 2, ..; p = B / 2 is the basis at age 0, (1, sqrt 2, 0, sqrt 2,
      0, ..). A = W - 2 p p^T, where W turns the pair of frequency k by 2 pi k. At the ends of its window a Fourier
      series is the mean of both, sum_k c_k p_k = (u(t) + u(t - 1)) / 2, which gives u(t - 1).

    As rates that do not change with time (c' = A c + B u, as in S4) the matrices of `legs` project onto Legendre
    polynomials of exp(-age), over the measure exp(-age).

    Args:
        measure: `legs`, `legt`, `lagt` or `fout`.
        size: Coefficients in the state; for `fout` odd, a constant and pairs of a cosine and a sine.

    Raises:
        ValueError: The measure is unknown, or the size does not fit it.
    """
    _check(measure, size)
    root = torch.sqrt(2 * torch.arange(size).double() + 1)
    if measure == "legs":
        return hippo_legs(size), root[:, None]
    if measure == "legt":
        sign = (-1.0) ** torch.arange(size).double()
        outer = torch.outer(root, root)
        return -outer.tril() - (torch.outer(sign, sign) * outer).triu(1), root[:, None]
    if measure == "lagt":
        return -torch.ones(size, size).double().tril(), torch.ones(size, 1).double()
    now = hippo_basis("fout", size, torch.zeros(1).double())
    turn = torch.zeros(size - 1).double()
    turn[1::2] = 2 * math.pi * torch.arange(1, size // 2 + 1).double()
    return torch.diag(turn, -1) - torch.diag(turn, 1) - 2 * now @ now.mT, 2 * now


def hippo_basis(measure: str, size: int, age: Float[Tensor, "age"]) -> Float[Tensor, "size age"]:
    """The basis p_n at some ages, float64: 0 is now, 1 the end of the window, or for `legs` the beginning of time.

    Legendre: sqrt(2n + 1) P_n(1 - 2 age). Laguerre: L_n(age). Fourier: 1, sqrt(2) cos(2 pi k age), sqrt(2) sin(2 pi k
    age).

    Args:
        measure: `legs`, `legt`, `lagt` or `fout`.
        size: Functions of the basis.
        age: In the measure's unit, within [0, 1]; for `lagt` not negative.

    Raises:
        ValueError: The measure is unknown, the size does not fit it, or an age is one that the measure does not count.
    """
    _check(measure, size)
    age = age.double()
    if bool((age < 0).any()) or (measure != "lagt" and bool((age > 1).any())):
        allowed = "at least 0" if measure == "lagt" else "from 0 to 1"
        raise ValueError(f"ages from {age.min():g} to {age.max():g}, and {measure} knows those {allowed}; give these")
    if measure == "fout":
        turn = 2 * math.pi * torch.outer(torch.arange(1, size // 2 + 1).double(), age)
        pairs = torch.stack([torch.cos(turn), torch.sin(turn)], dim=1).flatten(0, 1)
        return torch.cat([torch.ones_like(age)[None], math.sqrt(2) * pairs])
    before, now, polynomials = torch.zeros_like(age), torch.ones_like(age), []
    for n in range(size):
        polynomials.append(now)
        rising = 2 * n + 1 - age if measure == "lagt" else (2 * n + 1) * (1 - 2 * age)
        before, now = now, (rising * now - n * before) / (n + 1)
    scale = torch.ones(size) if measure == "lagt" else torch.sqrt(2 * torch.arange(size).double() + 1)
    return scale.double()[:, None] * torch.stack(polynomials)


def hippo_states(
    u: Float[Tensor, "time *batch"], measure: str, size: int, *, window: Number | None = None
) -> Float[Tensor, "time *batch size"]:
    """The state after each frame of a signal that is constant over each frame and zero before the first; float64.

    By `zero_order_hold`, exact for such a signal. `legs` is held in the logarithm of time, in which its rates do not
    change: frame t (from 0) lasts log((t + 1) / t), the first one for ever, so that the state after it is the constant
    u_0. Differentiable by autograd. To go on later, take one step of `zero_order_hold` yourself.

    Args:
        u: The signal, a value a frame and batch entry.
        measure: `legs`, `legt`, `lagt` or `fout`.
        size: Coefficients in the state.
        window: Frames in the measure's unit of time; none for `legs`, which has no unit.

    Raises:
        ValueError: The measure is unknown, the size does not fit it, or a window is missing, not positive, or one too
            many.
    """
    A, B = hippo_matrices(measure, size)
    if (window is None) != (measure == "legs") or (window is not None and not window > 0):
        wanted = "has no window; leave it out" if measure == "legs" else "has one; give a positive number of frames"
        raise ValueError(f"window is {window}, and {measure} {wanted}")
    advance, push = (
        (torch.zeros_like(A), -torch.linalg.solve(A, B)) if window is None else zero_order_hold(A, B, 1 / window)
    )
    state, states = u.new_zeros(*u.shape[1:], size).double(), []
    for t, value in enumerate(u.double()):
        if window is None and t:
            advance, push = zero_order_hold(A, B, math.log1p(1 / t))
        state = state @ advance.mT + value[..., None] * push[:, 0]
        states.append(state)
    return torch.stack(states)


def hippo_reconstruct(
    state: Float[Tensor, "*batch size"], measure: str, age: Float[Tensor, "age"]
) -> Float[Tensor, "*batch age"]:
    """The past that a state holds, sum_n c_n p_n(age): of its basis the nearest to the signal in the measure.

    The error over the measure (root of the mean square) falls with the size N as the basis allows. Legendre: faster
    than any power of N for a smooth signal, about N^(-1/2) where it jumps, N^(-3/2) where it has a kink. Fourier: the
    same, but the two ends of the window count as neighbours, and where they differ, that is a jump. Laguerre: N^(-1/4)
    and N^(-3/4). Gu et al. (2020), proposition 6, bounds it for `legs` by t L / sqrt(N) (slopes of at most L) and by
    t^k N^(1/2 - k) (k bounded derivatives), up to constants.

    A window's state also holds what rings on from before it: the slowest rate of `legt` is -3.7 a window at size 5 and
    -8.8 at 33, that of `fout` -1.3 and -0.7, so that a jump is heard there for several windows.

    Args:
        state: As from `hippo_states`.
        measure: The measure of the state.
        age: As for `hippo_basis`.

    Raises:
        ValueError: As by `hippo_basis`.
    """
    return state.double() @ hippo_basis(measure, state.shape[-1], age)


def _check(measure: str, size: int) -> None:
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}; give one of {', '.join(MEASURES)}")
    if size < 1:
        raise ValueError(f"size is {size}; give at least 1")
    if measure == "fout" and size % 2 == 0:
        raise ValueError(f"size is {size}, and fout is a constant and pairs; give an odd number, as {size + 1}")
