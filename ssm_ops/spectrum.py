"""Real fields on a grid and their spectra, with the boundary of each axis built into the basis.

`periodic` axes use the Fourier basis; `reflect` axes (no flux through the border) the cosine basis of the half-sample
even extension, the DCT-II, numpy's "symmetric" padding. In these bases a convolution that respects the boundary is a
product, at every step and not only at the first (Strang, "The Discrete Cosine Transform", SIAM Review 41, 1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

BOUNDARIES = ("periodic", "reflect")


@lru_cache(maxsize=32)
def cosine_basis(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "frequency position"]:
    """The orthonormal DCT-II matrix: rows cos(pi k (i + 1/2) / n), scaled to unit length."""
    k = torch.arange(size, dtype=torch.float64)[:, None]
    i = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi * k * (i + 0.5) / size) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype=dtype, device=device)


@dataclass(frozen=True)
class Grid:
    """The spatial grid of a field: the size and the boundary of each of its 1 to 3 axes.

    Spectra are real when every axis reflects; otherwise complex, with the last periodic axis holding only its
    non-negative frequencies (real fields make the others redundant).

    Args:
        shape: Voxels along each axis.
        boundary: One of `BOUNDARIES` for each axis.

    Raises:
        ValueError: The two do not have one entry an axis, or a boundary is unknown.
    """

    shape: tuple[int, ...]
    boundary: tuple[str, ...]

    def __post_init__(self):
        if not 1 <= len(self.shape) <= 3 or len(self.boundary) != len(self.shape):
            raise ValueError(
                f"grid of shape {self.shape} has boundary {self.boundary}; give 1 to 3 axes and one boundary for each"
            )
        for axis, name in enumerate(self.boundary):
            if name not in BOUNDARIES:
                raise ValueError(f"boundary {name!r} of axis {axis} is unknown; use one of {', '.join(BOUNDARIES)}")

    @cached_property
    def periodic(self) -> tuple[int, ...]:
        """The periodic axes, counted from the end (-1 is the last)."""
        return tuple(i - len(self.shape) for i, name in enumerate(self.boundary) if name == "periodic")

    @cached_property
    def reflecting(self) -> tuple[int, ...]:
        """The reflecting axes of more than one voxel, counted from the end (one voxel is its own cosine spectrum)."""
        axes = range(-len(self.shape), 0)
        return tuple(i for i in axes if self.boundary[i] == "reflect" and self.shape[i] > 1)

    def to_spectrum(self, field: Float[Tensor, "*lead"]) -> Shaped[Tensor, "*spectrum"]:
        """The spectrum over the last axes of a real field; leading axes are free. Orthonormal on cosine axes.

        Always a new tensor: scans overwrite it.
        """
        if not self.periodic and not self.reflecting:
            return field.clone()
        for axis in self.reflecting:
            field = _along(cosine_basis(self.shape[axis], field.dtype, field.device), field, axis)
        return torch.fft.rfftn(field, dim=self.periodic) if self.periodic else field

    def to_field(self, spectrum: Shaped[Tensor, "*spectrum"]) -> Float[Tensor, "*lead"]:
        """The real field of a spectrum: the inverse of `to_spectrum`."""
        field = spectrum if self.periodic or self.reflecting else spectrum.clone()
        if self.periodic:
            field = torch.fft.irfftn(spectrum, s=[self.shape[i] for i in self.periodic], dim=self.periodic)
        for axis in self.reflecting:
            field = _along(cosine_basis(self.shape[axis], field.dtype, field.device).T, field, axis)
        return field

    def wavenumbers(self, axis: int, device: torch.device | None = None) -> Float[Tensor, "frequency"]:
        """The wavenumbers of an axis (from the end, -1 is the last) in radians a voxel, float64, as in the spectrum."""
        size = self.shape[axis]
        if self.boundary[axis] == "reflect":
            return math.pi / size * torch.arange(size, dtype=torch.float64, device=device)
        frequencies = torch.fft.rfftfreq if axis == self.periodic[-1] else torch.fft.fftfreq
        return 2 * math.pi * frequencies(size, dtype=torch.float64, device=device)

    def squared_wavenumber(self, device: torch.device | None = None) -> Float[Tensor, "*spectrum"]:
        """|w|^2 at every frequency of the spectrum, float64, radians^2 a voxel^2."""
        total = torch.zeros((), dtype=torch.float64, device=device)
        for axis in range(-len(self.shape), 0):
            w = self.wavenumbers(axis, device)
            total = total + (w * w).reshape(-1, *[1] * (-1 - axis))
        return total


def _along(matrix: Tensor, field: Tensor, axis: int) -> Tensor:
    """The product of `matrix` with every line of `field` along `axis` (from the end)."""
    if axis == -1:
        return field @ matrix.T
    if axis == -2:
        return matrix @ field
    return (field.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
