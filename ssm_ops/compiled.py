"""The loops of the spectral path that run compiled on CPUs (numba): without Python's lock, on numpy views.

`recurrence`, `adjoint` and `correlate` walk the spectra of a tile; a complex spectrum comes as a float array, real and
imaginary parts in turn. Frequencies are walked through time in bunches whose state sits in small arrays of its own,
real and imaginary parts apart: that is what lets the compiler use vector instructions (0.5 against 2.1 us for a 64 x 64
frame). Each has a slow twin to be proved against: `spectral.py` does the same in torch. `fold` and `unfold` stand
around the matrix products of `spectrum.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
from numba import njit

BUNCH = 256
"""Frequencies that are walked through time together: their state stays in the nearest cache."""


def compiled(function: Callable, math: frozenset[str] = frozenset({"contract"})) -> Callable:
    """`function` as machine code, kept between processes; unwrapped, because shape checkers of tests wrap it.

    Products and sums may be fused, but sums are taken in the order that is written: a slow mode needs it, and the bits
    of a frequency must not depend on which others it is walked with.
    """
    return njit(nogil=True, fastmath=set(math), cache=True)(inspect.unwrap(function))


def compiled_sums(function: Callable) -> Callable:
    """`compiled` for sums over voxels, in any order: vector instructions add several at a time."""
    return compiled(function, frozenset({"contract", "reassoc", "nsz"}))


@compiled
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


@compiled
def real_recurrence(spectra, change, state):
    """`recurrence` for real spectra (time, frequency)."""
    h, c = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    for start in range(0, spectra.shape[1], BUNCH):
        size = min(BUNCH, spectra.shape[1] - start)
        for f in range(size):
            h[f] = state[start + f]
        for t in range(spectra.shape[0]):
            if t < change.shape[0]:
                for f in range(size):
                    c[f] = change[t, start + f]
            row = spectra[t, start : start + size]
            for f in range(size):
                now = (row[f] + c[f] * h[f]) + h[f]
                h[f] = now
                row[f] = now
        for f in range(size):
            state[start + f] = h[f]


@compiled
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


@compiled
def real_adjoint(spectra, change, state):
    """`adjoint` for real spectra (time, frequency)."""
    h, c = np.empty(BUNCH, spectra.dtype), np.empty(BUNCH, spectra.dtype)
    last = spectra.shape[0] - 1
    for start in range(0, spectra.shape[1], BUNCH):
        size = min(BUNCH, spectra.shape[1] - start)
        for f in range(size):
            h[f] = state[start + f]
        for t in range(last, -1, -1):
            if t == last or change.shape[0] > 1:
                step = min(t, change.shape[0] - 1)
                for f in range(size):
                    c[f] = change[step, start + f]
            row = spectra[t, start : start + size]
            for f in range(size):
                now = row[f] + h[f]
                row[f] = now
                h[f] = c[f] * now + now
        for f in range(size):
            state[start + f] = h[f]


@compiled
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


@compiled
def real_correlate(spectra, before, total):
    """`correlate` for real spectra (time, frequency)."""
    s = np.empty(BUNCH, spectra.dtype)
    for start in range(0, spectra.shape[1], BUNCH):
        size = min(BUNCH, spectra.shape[1] - start)
        s[:] = 0
        for t in range(spectra.shape[0]):
            row, past = spectra[t, start : start + size], before[t, start : start + size]
            for f in range(size):
                s[f] += past[f] * row[f]
        for f in range(size):
            total[start + f] += s[f]


@compiled
def fold(signal, even, odd):
    """Of signal (batch, n, m): x_j + x_-j into even (half, batch, m), x_j - x_-j into odd (rest, batch, m)."""
    batch, n, m = signal.shape
    for b in range(batch):
        for j in range(even.shape[0]):
            first, last, plus = signal[b, j], signal[b, (n - j) % n], even[j, b]
            if 0 < j <= odd.shape[0]:
                minus = odd[j - 1, b]
                for i in range(m):
                    plus[i] = first[i] + last[i]
                    minus[i] = first[i] - last[i]
            else:
                for i in range(m):
                    plus[i] = first[i]


@compiled
def unfold(even, odd, sign, scale, result):
    """Into result (batch, k, m), real and imaginary parts in turn: scale (even_k + sign i odd_k), at -k with -sign."""
    batch, n, m = result.shape
    for b in range(batch):
        for k in range(even.shape[0]):
            plus, first, last = even[k, b], result[b, k], result[b, (n - k) % n]
            if 0 < k <= odd.shape[0]:
                minus = odd[k - 1, b]
                for i in range(m // 2):
                    real, imag = -sign * minus[2 * i + 1], sign * minus[2 * i]
                    first[2 * i], first[2 * i + 1] = scale * (plus[2 * i] + real), scale * (plus[2 * i + 1] + imag)
                    last[2 * i], last[2 * i + 1] = scale * (plus[2 * i] - real), scale * (plus[2 * i + 1] - imag)
            else:
                for i in range(m):
                    first[i] = scale * plus[i]
