"""The definition: the recurrence in pixel space, float64, one step after the other. Slow, obvious, and never tricked.

Every fast path is proved against this file. Numpy only; no FFT, no torch, nothing shared with what it judges.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def axis_matrix(size: int, boundary: str, diffusivity: float) -> np.ndarray:
    """The (size, size) matrix of one step of exp(-diffusivity w^2) along one axis, summed mode by mode.

    periodic: A[i, j] = 1/n sum_k exp(-D w_k^2) cos(w_k (i - j)),       w_k = 2 pi k / n, -n/2 < k <= n/2
    reflect:  A[i, j] = sum_k s_k exp(-D w_k^2) cos(w_k (i + 1/2)) cos(w_k (j + 1/2)), w_k = pi k / n, 0 <= k < n,
              s_0 = 1/n, s_k = 2/n
    """
    position = np.arange(size, dtype=np.float64)
    matrix = np.zeros((size, size))
    for k in range(size):
        if boundary == "periodic":
            wavenumber = 2 * np.pi * (k if k <= size // 2 else k - size) / size
            mode = np.cos(wavenumber * (position[:, None] - position[None, :])) / size
        elif boundary == "reflect":
            wavenumber = np.pi * k / size
            wave = np.cos(wavenumber * (position + 0.5))
            mode = np.outer(wave, wave) * (1 if k == 0 else 2) / size
        else:
            raise ValueError(f"boundary {boundary!r} has no reference; use periodic or reflect")
        matrix += np.exp(-diffusivity * wavenumber**2) * mode
    return matrix


def step(state: np.ndarray, decay: np.ndarray, diffusivity: np.ndarray, boundary: tuple[str, ...]) -> np.ndarray:
    """A * state for a state of shape (channel, *grid): one axis after the other, one channel after the other."""
    result = np.empty_like(state, dtype=np.float64)
    for channel in range(state.shape[0]):
        field = state[channel].astype(np.float64)
        for axis, name in enumerate(boundary):
            matrix = axis_matrix(field.shape[axis], name, float(diffusivity[channel]))
            field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
        result[channel] = np.exp(-float(decay[channel])) * field
    return result


def recurrence(
    inputs: np.ndarray,
    decay: np.ndarray,
    diffusivity: np.ndarray,
    boundary: tuple[str, ...],
    state: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """The states h_t = A * h_{t-1} + x_t, one by one, for inputs of shape (time, channel, *grid)."""
    state = np.zeros(inputs.shape[1:]) if state is None else state
    for x in inputs:
        state = step(state, decay, diffusivity, boundary) + x.astype(np.float64)
        yield state
