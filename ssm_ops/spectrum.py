"""Real fields on a grid and their spectra, with the boundary of each axis built into the basis.

`periodic` axes use the Fourier basis; `reflect` axes (no flux through the border) the cosines of the half-sample even
extension, the DCT-II, numpy's "symmetric" padding; `dirichlet` axes (zero at the virtual points just outside) the sines
of the odd extension, the DST-I. In these bases a convolution that respects the boundary is a product, at every step and
not only at the first (Strang, "The Discrete Cosine Transform", SIAM Review 41, 1999). A `padded` axis has open ends:
its state lives on a periodic ring, longer than the field by a guard band into which things may leave.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from ssm_ops.lines import mirror_basis

BOUNDARIES = ("periodic", "reflect", "dirichlet", "padded")
"""What may lie at the ends of an axis: its other end, a mirror without flux, zero, or nothing (a guard band of the
state)."""
MIRRORS = ("reflect", "dirichlet")
"""Boundaries that only kernels symmetric along the axis respect."""


@dataclass(frozen=True)
class Grid:
    """The spatial grid of a field: the size and the boundary of each of its 1 to 3 axes.

    Spectra are real when every axis reflects or is dirichlet; otherwise complex, with one Fourier axis, `half_axis`,
    holding only its non-negative frequencies (real fields make the others redundant).

    Args:
        shape: Voxels along each axis.
        boundary: One of `BOUNDARIES` for each axis; `padded:24` is a guard band of 24 voxels, plain `padded` one of
            at least the axis's own size, rounded up to a size with fast transforms.

    Raises:
        ValueError: The two do not have one entry an axis, an axis has no voxel, or a boundary is unknown.
    """

    shape: tuple[int, ...]
    boundary: tuple[str, ...]

    def __post_init__(self):
        if not 1 <= len(self.shape) <= 3 or len(self.boundary) != len(self.shape):
            raise ValueError(
                f"grid of shape {self.shape} has boundary {self.boundary}; give 1 to 3 axes and one boundary for each"
            )
        if min(self.shape) < 1:
            raise ValueError(f"grid of shape {self.shape} has an axis without voxels; give each axis 1 or more")
        for axis, name in enumerate(self.boundary):
            kind, _, guard = name.partition(":")
            if kind not in BOUNDARIES or (guard and (kind != "padded" or not guard.isdigit())):
                raise ValueError(
                    f"boundary {name!r} of axis {axis} is unknown; use one of {', '.join(BOUNDARIES)}, or padded:24 "
                    "for a guard band of 24 voxels"
                )

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The boundary of each axis without the width of its guard band."""
        return tuple(name.partition(":")[0] for name in self.boundary)

    @cached_property
    def ring(self) -> tuple[int, ...]:
        """The shape on which states live: `shape`, with the guard band of each padded axis behind its last voxel."""
        return tuple(_ring(size, name) for size, name in zip(self.shape, self.boundary, strict=True))

    @property
    def cropped(self) -> bool:
        """Whether fields lack a part of the state: the guard band of a padded axis."""
        return self.ring != self.shape

    @cached_property
    def uncropped(self) -> Grid:
        """The ring as a grid of its own: the same spectra, and fields that hold all of the state."""
        return Grid(self.ring, tuple("periodic" if kind == "padded" else kind for kind in self.kinds))

    @cached_property
    def fourier(self) -> tuple[int, ...]:
        """The axes with a Fourier basis, periodic or padded, counted from the end (-1 is the last)."""
        return tuple(i for i in range(-len(self.shape), 0) if self.kinds[i] not in MIRRORS)

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """The axes with a cosine or sine basis, of more than one voxel, counted from the end."""
        return tuple(i for i in self.mirrors if self.shape[i] > 1)

    @cached_property
    def mirrors(self) -> tuple[int, ...]:
        """All axes with a cosine or sine basis, counted from the end."""
        return tuple(i for i in range(-len(self.shape), 0) if self.kinds[i] in MIRRORS)

    @property
    def half_axis(self) -> int | None:
        """The Fourier axis that keeps non-negative frequencies only: the last."""
        return self.fourier[-1] if self.fourier else None

    @cached_property
    def spectrum_shape(self) -> tuple[int, ...]:
        """The shape of a spectrum."""
        sizes = list(self.ring)
        if self.half_axis is not None:
            sizes[self.half_axis] = sizes[self.half_axis] // 2 + 1
        return tuple(sizes)

    def spectrum_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """The type of the spectrum of a real field of type `dtype`."""
        return dtype.to_complex() if self.fourier else dtype

    def to_spectrum(self, field: Float[Tensor, "*lead"]) -> Shaped[Tensor, "*spectrum"]:
        """The spectrum over the last axes of a real field; leading axes are free. Orthonormal on cosine and sine axes.

        Always a new tensor: scans overwrite it.
        """
        if not self.fourier and not self.mirrored:
            return field.clone(memory_format=torch.contiguous_format)
        for axis in self.mirrored:
            field = _along(_basis(self.kinds[axis], self.shape[axis], field.dtype, field.device), field, axis)
        if not self.fourier:
            return field.contiguous()
        return torch.fft.rfftn(field, s=[self.ring[i] for i in self.fourier], dim=self.fourier).contiguous()

    def to_field(
        self, spectrum: Shaped[Tensor, "*spectrum"], out: Float[Tensor, "*lead"] | None = None
    ) -> Float[Tensor, "*lead"]:
        """The real field of a spectrum: the inverse of `to_spectrum`, written into `out` where it is given.

        The spectrum may be overwritten.
        """
        field = spectrum if self.fourier or self.mirrored or out is not None else spectrum.clone()
        if self.fourier:
            sizes = [self.ring[i] for i in self.fourier]
            if out is not None and not self.cropped and not self.mirrored:
                return torch.fft.irfftn(field, s=sizes, dim=self.fourier, out=out)
            field = torch.fft.irfftn(field, s=sizes, dim=self.fourier)
            field = field[(..., *[slice(size) for size in self.shape])]
        for axis in self.mirrored:
            field = _along(_basis(self.kinds[axis], self.shape[axis], field.dtype, field.device).mT, field, axis)
        return field if out is None else out.copy_(field)

    def wavenumbers(self, axis: int, device: torch.device | None = None) -> Float[Tensor, "frequency"]:
        """The wavenumbers of an axis (from the end, -1 is the last) in radians a voxel, float64, as in the spectrum."""
        size = self.ring[axis]
        k = torch.arange(size, dtype=torch.float64, device=device)
        if self.kinds[axis] == "reflect":
            return math.pi / size * k
        if self.kinds[axis] == "dirichlet":
            return math.pi / (size + 1) * (k + 1)
        frequencies = torch.fft.rfftfreq if axis == self.half_axis else torch.fft.fftfreq
        return 2 * math.pi * frequencies(size, dtype=torch.float64, device=device)

    def shaped(self, line: Shaped[Tensor, "frequency"], axis: int) -> Shaped[Tensor, "*spectrum"]:
        """Values along one axis (from the end), shaped to be broadcast against a spectrum."""
        return line.reshape(-1, *[1] * (-1 - axis))

    def squared_wavenumber(self, device: torch.device | None = None) -> Float[Tensor, "*spectrum"]:
        """|w|^2 at every frequency of the spectrum, float64, radians^2 a voxel^2."""
        lines = [self.shaped(self.wavenumbers(axis, device).square(), axis) for axis in range(-len(self.shape), 0)]
        return sum(lines[1:], lines[0])

    def adjoint_weight(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "*spectrum"]:
        """How the gradient to a spectrum follows from the spectrum of a gradient: the factor of each frequency.

        The adjoint of `to_field` is this weight times `to_spectrum`: 1 over the Fourier transform's length, twice that
        for the frequencies that also stand for their negative.
        """
        if self.half_axis is None:
            return torch.ones((), dtype=dtype, device=device)
        weight = torch.full((self.spectrum_shape[self.half_axis],), 2.0, dtype=dtype, device=device)
        weight[0] = 1
        if self.ring[self.half_axis] % 2 == 0:
            weight[-1] = 1
        return self.shaped(weight / math.prod(self.ring[i] for i in self.fourier), self.half_axis)


@dataclass(frozen=True)
class Voxels:
    """The basis of transitions that leave every voxel to itself: no transform, complex states."""

    shape: tuple[int, ...]

    cropped = False

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        return self.shape

    def spectrum_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return dtype.to_complex()

    def to_spectrum(self, field: Inexact[Tensor, "*lead"]) -> Inexact[Tensor, "*lead"]:
        return field.resolve_conj().to(field.dtype.to_complex(), copy=True, memory_format=torch.contiguous_format)

    def to_field(
        self, spectrum: Inexact[Tensor, "*lead"], out: Inexact[Tensor, "*lead"] | None = None
    ) -> Inexact[Tensor, "*lead"]:
        return spectrum.clone() if out is None else out.copy_(spectrum)

    def adjoint_weight(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, ""]:
        return torch.ones((), dtype=dtype, device=device)


def _ring(size: int, name: str) -> int:
    kind, _, guard = name.partition(":")
    if kind != "padded":
        return size
    if guard:
        return size + int(guard)
    return next(n for n in range(2 * size, 4 * size + 1) if _largest_prime(n) <= 5)


def _largest_prime(size: int) -> int:
    largest, factor = 1, 2
    while size > 1:
        if size % factor == 0:
            size, largest = size // factor, factor
        else:
            factor += 1
    return largest


@lru_cache(maxsize=64)
def _basis(kind: str, size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "frequency position"]:
    return torch.from_numpy(mirror_basis(kind, size)).to(dtype=dtype, device=device)


def _along(matrix: Float[Tensor, "n n"], field: Float[Tensor, "*lead"], axis: int) -> Float[Tensor, "*lead"]:
    """The product of `matrix` with every line of `field` along `axis` (from the end), also under autocast in the
    field's precision."""
    device = field.device.type
    known = torch.amp.is_autocast_available(device)  # not of tensors without numbers
    with torch.autocast(device, enabled=False) if known else nullcontext():
        if axis == -1:
            return field @ matrix.mT
        return (matrix @ field.flatten(axis + 1)).reshape(field.shape) if axis < -2 else matrix @ field
