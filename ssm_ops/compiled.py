"""How functions are compiled for CPUs, and the loops over time of complex states in every voxel.

`recurrence`, `adjoint` and `correlate` walk a tile of `spectral.py` without Python's lock; complex numbers come as a
float array, real and imaginary parts in turn. Voxels are walked through time in bunches whose state sits in small
arrays of its own, real and imaginary parts apart: that is what lets the compiler use vector instructions. Each has a
slow twin to be proved against: `spectral.py` does the same in torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import numpy as np
from numba import njit

BUNCH = 256
"""Voxels that are walked through time together: their state stays in the nearest cache."""


def compiled(function: Callable, *, allocates: bool = False) -> Callable:
    """`function` as machine code, kept between processes; unwrapped, because shape checkers of tests wrap it.

    Products and sums may be fused, but sums are taken in the order that is written: a slow mode needs it, and the bits
    of a frequency must not depend on which others it is walked with. Arrays are not counted, which took half the time
    of small loops, so only a function that says so may make some.
    """
    plain = inspect.unwrap(function)
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", "_nrt": allocates}
    try:
        return njit(plain, cache=True, **options)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written: compile in each process
        return njit(plain, **options)


def inlined(function: Callable) -> Callable:
    """A part of compiled functions that is not compiled by itself: each level of calls costs compilation anew."""
    return njit(nogil=True, inline="always", error_model="numpy")(inspect.unwrap(function))


@partial(compiled, allocates=True)
def recurrence(spectra, change, state):
    """In place: spectra (time, 2 frequency) become states, state (2 frequency) the last of them.

    change (1 or time, 2 frequency) is a - 1: state_t = state_{t-1} + change_t state_{t-1} + spectra_t.
    """
    hr, hi = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    cr, ci = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    for start in range(0, spectra.shape[1] // 2, BUNCH):
        size = min(BUNCH, spectra.shape[1] // 2 - start)
        for f in range(size):
            hr[f], hi[f] = state[2 * (start + f)], state[2 * (start + f) + 1]
        for t in range(spectra.shape[0]):
            if t < change.shape[0]:
                for f in range(size):
                    cr[f], ci[f] = change[t, 2 * (start + f)], change[t, 2 * (start + f) + 1]
            row = spectra[t, 2 * start : 2 * (start + size)]
            for f in range(size):
                real = (row[2 * f] + (cr[f] * hr[f] - ci[f] * hi[f])) + hr[f]
                imag = (row[2 * f + 1] + (cr[f] * hi[f] + ci[f] * hr[f])) + hi[f]
                hr[f], hi[f] = real, imag
                row[2 * f], row[2 * f + 1] = real, imag
        for f in range(size):
            state[2 * (start + f)], state[2 * (start + f) + 1] = hr[f], hi[f]


@partial(compiled, allocates=True)
def adjoint(spectra, change, state):
    """In place, backward in time: G_t = spectra_t + state_t, state_{t-1} = G_t + conj(change_t) G_t."""
    hr, hi = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    cr, ci = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    last = spectra.shape[0] - 1
    for start in range(0, spectra.shape[1] // 2, BUNCH):
        size = min(BUNCH, spectra.shape[1] // 2 - start)
        for f in range(size):
            hr[f], hi[f] = state[2 * (start + f)], state[2 * (start + f) + 1]
        for t in range(last, -1, -1):
            if t == last or change.shape[0] > 1:
                step = min(t, change.shape[0] - 1)
                for f in range(size):
                    cr[f], ci[f] = change[step, 2 * (start + f)], change[step, 2 * (start + f) + 1]
            row = spectra[t, 2 * start : 2 * (start + size)]
            for f in range(size):
                real, imag = row[2 * f] + hr[f], row[2 * f + 1] + hi[f]
                row[2 * f], row[2 * f + 1] = real, imag
                hr[f] = cr[f] * real + ci[f] * imag + real
                hi[f] = cr[f] * imag - ci[f] * real + imag
        for f in range(size):
            state[2 * (start + f)], state[2 * (start + f) + 1] = hr[f], hi[f]


@partial(compiled, allocates=True)
def correlate(spectra, before, total):
    """Adds sum_t conj(before_t) spectra_t to total (2 frequency); spectra and before (time, 2 frequency)."""
    sr, si = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    for start in range(0, spectra.shape[1] // 2, BUNCH):
        size = min(BUNCH, spectra.shape[1] // 2 - start)
        sr[:], si[:] = 0, 0
        for t in range(spectra.shape[0]):
            row, past = spectra[t, 2 * start : 2 * (start + size)], before[t, 2 * start : 2 * (start + size)]
            for f in range(size):
                sr[f] += past[2 * f] * row[2 * f] + past[2 * f + 1] * row[2 * f + 1]
                si[f] += past[2 * f] * row[2 * f + 1] - past[2 * f + 1] * row[2 * f]
        for f in range(size):
            total[2 * (start + f)] += sr[f]
            total[2 * (start + f) + 1] += si[f]
