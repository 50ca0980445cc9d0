"""WHippo: the state is the coefficients of an image in a basis, while the image is blurred by a Gaussian that widens.

An image f on [0, 1]^2, blurred by a Gaussian of variance s, obeys the heat equation df/ds = (f_yy + f_xx) / 2, so its
coefficients C_mn = integral of f p_m(y) p_n(x) obey C' = A C + C A^T, with A of one axis:

| basis | beyond the border | A_mn per unit of variance |
| --- | --- | --- |
| `fourier`: 1, sqrt(2) cos(2 pi k x), sqrt(2) sin(2 pi k x) | the image again | -(2 pi k)^2 / 2, diagonal |
| `cosine`: 1, sqrt(2) cos(pi k x) | the image mirrored (Neumann) | -(pi k)^2 / 2, diagonal |
| `legendre`: sqrt(2n + 1) P_n(1 - 2 x) | the image mirrored (Neumann) | -sqrt((2m + 1) (2n + 1)) l (l + 1) |

with l the smaller of m and n, and 0 where m + n is odd.

Sines and cosines are eigenfunctions of the second derivative, so A is diagonal and negative, and exact whatever the
size. Of Legendre polynomials: where the slope at the border is zero, partial integration gives
integral of f'' p_m = -integral of f' p_m', and with f = sum_n c_n p_n, A_mn = -(1 / 2) integral of p_m' p_n' (the
Galerkin method with its natural boundary). With P_m and P_n on [-1, 1], m + n even and m the smaller,
integral of P_m' P_n' = [P_m' P_n] = m (m + 1), since P_m'' has a degree below n; of odd m + n the ends cancel. An axis
in [0, 1] makes it 2 sqrt(2m + 1) sqrt(2n + 1) m (m + 1). What the basis leaves out comes back into what it keeps, so
this is exact in the limit of its size alone.

Variances are in squares of the side of the image: s = (sigma / voxels)^2 for a standard deviation of `sigma` voxels. A
`Propagator` of diffusivity sigma^2 / 2 blurs by as much in a step of its state: `initial.heat_scales` starts one with
this diagonal spectrum.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops.hippo import hippo_basis
from ssm_ops.powers import Number

BASES = ("fourier", "cosine", "legendre")


def whippo_basis(basis: str, size: int, x: Float[Tensor, "x"]) -> Float[Tensor, "size x"]:
    """The basis of one axis at some places of [0, 1], orthonormal, float64.

    Args:
        basis: `fourier`, `cosine` or `legendre`.
        size: Functions; of `fourier` odd, a constant and pairs of a cosine and a sine.
        x: Places.

    Raises:
        ValueError: The basis is unknown, the size does not fit it, or a place is outside [0, 1].
    """
    _check(basis, size)
    if basis == "cosine":
        if bool(((x < 0) | (x > 1)).any()):
            raise ValueError(f"places from {x.min():g} to {x.max():g}, and the image is on [0, 1]; give these")
        waves = torch.cos(math.pi * torch.outer(torch.arange(size).double(), x.double()))
        return torch.cat([waves[:1], math.sqrt(2) * waves[1:]])
    return hippo_basis({"fourier": "fout", "legendre": "legt"}[basis], size, x)


def whippo_matrix(basis: str, size: int) -> Float[Tensor, "size size"]:
    """A of one axis, per unit of variance, float64; see the table of this module.

    Raises:
        ValueError: The basis is unknown, or the size does not fit it.
    """
    _check(basis, size)
    number = torch.arange(size).double()
    if basis == "legendre":
        root, least = torch.sqrt(2 * number + 1), torch.minimum(number[:, None], number)
        even = (number[:, None] + number) % 2 == 0
        return -torch.outer(root, root) * least * (least + 1) * even
    wave = math.pi * number if basis == "cosine" else 2 * math.pi * torch.ceil(number / 2)
    return torch.diag(-wave.square() / 2)


def whippo_blur(
    coefficients: Float[Tensor, "*batch rows columns"], basis: str, variance: Number
) -> Float[Tensor, "*batch rows columns"]:
    """The coefficients of images after a blur, C(s) = exp(s A) C exp(s A)^T, float64.

    Differentiable by autograd in the coefficients.

    Args:
        coefficients: C, of as many functions along each axis as it has rows and columns.
        basis: `fourier`, `cosine` or `legendre`, along both axes.
        variance: s of the Gaussian, along each axis; not negative.

    Raises:
        ValueError: The basis is unknown, a size does not fit it, or the variance is negative.
    """
    if variance < 0:
        raise ValueError(f"variance is {variance}; nothing makes an image sharper, give 0 or more")
    rows, columns = (torch.linalg.matrix_exp(variance * whippo_matrix(basis, size)) for size in coefficients.shape[-2:])
    return rows @ coefficients.double() @ columns.mT


def _check(basis: str, size: int) -> None:
    if basis not in BASES:
        raise ValueError(f"basis is {basis!r}; give one of {', '.join(BASES)}")
    if size < 1:
        raise ValueError(f"size is {size}; give at least 1")
    if basis == "fourier" and size % 2 == 0:
        raise ValueError(f"size is {size}, and fourier is a constant and pairs; give an odd number, as {size + 1}")
