"""The definition: the recurrence in pixel space, float64, one step after the other. Slow, obvious, and never tricked.

Every fast path is proved against this file. Numpy only; no FFT, no torch, nothing shared with what it judges.
Boundaries are `periodic`, `reflect` and `dirichlet`; a padded axis is a longer periodic one (`on_ring`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def recurrence(
    inputs: np.ndarray,
    advance: Callable[[np.ndarray, int], np.ndarray],
    state: np.ndarray | None = None,
    *,
    forgets: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """The states h_t = advance(h_{t-1}, t) + x_t, one by one, for inputs of shape (time, channel, *grid).

    Where `forgets` (time, channel) is True, h_t = x_t: an infinite time has passed, and whatever was before is gone.
    """
    state = np.zeros(inputs.shape[1:]) if state is None else state
    for t, x in enumerate(inputs):
        state = advance(state, t)
        if forgets is not None:
            state = np.where(forgets[t].reshape(-1, *[1] * (x.ndim - 1)), 0, state)
        state = state + x
        yield state


def propagate(
    state: np.ndarray,
    boundary: tuple[str, ...],
    *,
    decay: np.ndarray,
    diffusivity: np.ndarray,
    velocity: np.ndarray | None = None,
    correction: np.ndarray | None = None,
    dt: np.ndarray | None = None,
) -> np.ndarray:
    """exp(dt g) applied to a state (channel, *grid): one channel and one axis after the other.

    decay, diffusivity, dt (channel,); velocity (channel, axes); correction (channel, *K).
    """
    result = np.empty(state.shape)
    for channel in range(state.shape[0]):
        time = 1.0 if dt is None else float(dt[channel])
        field = state[channel].astype(np.float64)
        for axis, name in enumerate(boundary):
            drift = 0.0 if velocity is None else float(velocity[channel, axis])
            matrix = axis_matrix(field.shape[axis], name, time * float(diffusivity[channel]), time * drift)
            field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
        if correction is not None:
            field = walk(field, time * correction[channel].astype(np.float64), boundary)
        result[channel] = np.exp(-time * float(decay[channel])) * field
    return result


def axis_matrix(size: int, boundary: str, diffusivity: float, velocity: float = 0.0) -> np.ndarray:
    """The (size, size) matrix of exp(-diffusivity w^2 - i velocity w) along one axis, summed mode by mode.

    periodic:  A[i, j] = 1/n sum_k exp(-D w_k^2) cos(w_k (i - j - velocity)),      w_k = 2 pi k / n, -n/2 < k <= n/2,
               the velocity left out where k = n/2
    reflect:   A[i, j] = sum_k s_k exp(-D w_k^2) cos(w_k (i + 1/2)) cos(w_k (j + 1/2)), w_k = pi k / n, 0 <= k < n,
               s_0 = 1/n, s_k = 2/n
    dirichlet: A[i, j] = 2/(n + 1) sum_k exp(-D w_k^2) sin(w_k (i + 1)) sin(w_k (j + 1)), w_k = pi k / (n + 1),
               1 <= k <= n
    """
    position = np.arange(size, dtype=np.float64)
    matrix = np.zeros((size, size))
    for k in range(size):
        if boundary == "periodic":
            wavenumber = 2 * np.pi * (k if k <= size // 2 else k - size) / size
            shift = 0.0 if 2 * k == size else velocity
            mode = np.cos(wavenumber * (position[:, None] - position[None, :] - shift)) / size
        elif boundary == "reflect":
            wavenumber = np.pi * k / size
            wave = np.cos(wavenumber * (position + 0.5))
            mode = np.outer(wave, wave) * (1 if k == 0 else 2) / size
        elif boundary == "dirichlet":
            wavenumber = np.pi * (k + 1) / (size + 1)
            wave = np.sin(wavenumber * (position + 1))
            mode = np.outer(wave, wave) * 2 / (size + 1)
        else:
            raise ValueError(f"boundary {boundary!r} has no reference; use periodic, reflect or dirichlet")
        matrix += np.exp(-diffusivity * wavenumber**2) * mode
    return matrix


def convolve(field: np.ndarray, taps: np.ndarray, boundary: tuple[str, ...]) -> np.ndarray:
    """sum_j taps_j field_{i - j} of one channel, j counted from the tap of index K // 2: tap by tap, shift by shift."""
    result = np.zeros(field.shape)
    for place in np.ndindex(*taps.shape):
        shifted = field.astype(np.float64)
        for axis, (at, size, name) in enumerate(zip(place, taps.shape, boundary, strict=True)):
            shifted = shift(shifted, at - size // 2, axis, name)
        result += taps[place] * shifted
    return result


def shift(field: np.ndarray, by: int, axis: int, boundary: str) -> np.ndarray:
    """field_{i - by} along one axis, cells outside by the boundary's rule, found by walking there cell by cell."""
    field = np.moveaxis(field, axis, 0)
    return np.moveaxis(np.stack([_cell(field, i - by, boundary) for i in range(len(field))]), 0, axis)


def _cell(field, i, boundary):
    size, sign = len(field), 1
    while not 0 <= i < size:
        if boundary == "periodic":
            i = i + size if i < 0 else i - size
        elif boundary == "reflect":  # the mirror stands half a voxel outside
            i = -1 - i if i < 0 else 2 * size - 1 - i
        elif i in (-1, size):  # dirichlet: zero at the virtual voxel just outside
            return np.zeros(field.shape[1:])
        else:
            i, sign = (-2 - i if i < 0 else 2 * size - i), -sign
    return sign * field[i]


def walk(field: np.ndarray, rates: np.ndarray, boundary: tuple[str, ...]) -> np.ndarray:
    """exp(L) of a field, L h = rates * h - (sum |rates|) h: small steps, each a Taylor series of 25 terms."""
    total = np.abs(rates).sum()
    steps = max(1, int(np.ceil(2 * total)))
    for _ in range(steps):
        term = field.astype(np.float64)
        field = term.copy()
        for n in range(1, 26):
            term = (convolve(term, rates, boundary) - total * term) / (n * steps)
            field += term
    return field


def on_ring(fields: np.ndarray, guards: tuple[int, ...]) -> np.ndarray:
    """Fields with `guards` cells of zero behind the last voxel of each of the last axes."""
    widths = [(0, 0)] * (fields.ndim - len(guards)) + [(0, guard) for guard in guards]
    return np.pad(fields, widths)
