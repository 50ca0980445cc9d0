"""How much of a frame's variance lies at which scale: its power spectrum, summed over all directions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real


def radial_spectrum(
    frame: Real[np.ndarray, "channel depth height width"], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[Float[np.ndarray, "bins"], Float[np.ndarray, "channel bins"]]:
    """Isotropic power spectrum of one frame; over all bins it sums to the mean square of the frame (Parseval).

    With X the discrete Fourier transform over depth, height and width and n the number of voxels, bin b holds the sum
    of |X(k)|^2 / n^2 over the wavenumbers with b - 1/2 <= |k| / step < b + 1/2 (shells, as in the energy spectra of
    turbulence: Pope, Turbulent Flows, 2000, section 6.5). `step` is the largest among the axes of 1 / (voxels *
    spacing), so that every shell meets every axis up to its Nyquist wavenumber; axes of one voxel say nothing, and a
    frame of depth 1 is one of two dimensions. Corners of the spectrum, beyond the Nyquist wavenumbers of single axes,
    have bins as well.
    The frame counts as periodic: what jumps at its border appears as power at small scales, unless the caller tapers.

    Args:
        frame: Of any real type. A channel that misses a value (NaN) has no spectrum: all its bins are NaN.
        spacing: Of the voxels along depth, height and width, in any unit of length, above 0.

    Returns:
        The bins' wavenumbers, b * step in cycles per unit of length, and of each channel the power in each bin, in the
        data's units squared. Bin 0 holds the square of the mean, and what is slower than half a step along a long axis.
    """
    if len(spacing) != 3 or not all(one > 0 for one in spacing):
        raise ValueError(f"the spacing is {spacing}; give three numbers above 0: of depth, height and width")
    shape = frame.shape[1:]
    step = max((1 / (n * d) for n, d in zip(shape, spacing, strict=True) if n > 1), default=1.0)
    axes = [np.fft.fftfreq(n, d) / step for n, d in zip(shape[:2], spacing[:2], strict=True)]
    axes.append(np.fft.rfftfreq(shape[2], spacing[2]) / step)
    depth, height, width = np.meshgrid(*axes, indexing="ij")
    bins = np.floor(np.sqrt(depth**2 + height**2 + width**2) + 0.5).astype(np.int64)

    twice = np.full(bins.shape[2], 2.0)  # a real transform holds one of two conjugate wavenumbers
    twice[0] = 1.0
    if shape[2] % 2 == 0:
        twice[-1] = 1.0
    power = np.empty((len(frame), int(bins.max()) + 1))
    for channel, field in enumerate(frame.astype(np.float64)):
        if np.isnan(field).any():
            power[channel] = np.nan
            continue
        squares = np.abs(np.fft.rfftn(field) / field.size) ** 2 * twice
        power[channel] = np.bincount(bins.ravel(), squares.ravel(), minlength=power.shape[1])
    return np.arange(power.shape[1]) * step, power
