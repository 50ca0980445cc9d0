"""Products of a small real matrix with a block of sixteen columns, compiled for CPUs."""

from __future__ import annotations

import numpy as np

from ssm_ops.compiled import compiled
from ssm_ops.lanes import LANES, load, spread, store

TOGETHER = 4
"""Rows of a matrix product that are summed side by side."""


def together(matrix: np.ndarray) -> np.ndarray:
    """A matrix in the order of `product`: bunches of `TOGETHER` rows, column by column; zero rows fill the last."""
    rows = -(-len(matrix) // TOGETHER) * TOGETHER
    padded = np.zeros((rows, matrix.shape[1]))
    padded[: len(matrix)] = matrix
    return padded.reshape(rows // TOGETHER, TOGETHER, matrix.shape[1]).transpose(0, 2, 1).ravel()


@compiled
def product(work, re, im, step, target, rows, table, place, columns):
    """Rows of a matrix (in the order of `together`) times a block whose rows are `step` apart; imaginary parts of the
    result stand `rows` rows behind the real ones."""
    for k in range(0, rows, TOGETHER):
        ar = ai = br = bi = cr = ci = dr = di = spread(table.dtype.type(0))
        for j in range(columns):
            at = place + k * columns + j * TOGETHER
            x, y = load(work, re + j * step), load(work, im + j * step)
            a, b, c, d = spread(table[at]), spread(table[at + 1]), spread(table[at + 2]), spread(table[at + 3])
            ar, ai = ar + a * x, ai + a * y
            br, bi = br + b * x, bi + b * y
            cr, ci = cr + c * x, ci + c * y
            dr, di = dr + d * x, di + d * y
        at = target + k * LANES
        store(work, at, ar)
        store(work, at + LANES, br)
        store(work, at + 2 * LANES, cr)
        store(work, at + 3 * LANES, dr)
        at += rows * LANES
        store(work, at, ai)
        store(work, at + LANES, bi)
        store(work, at + 2 * LANES, ci)
        store(work, at + 3 * LANES, di)
