"""Transforms along one axis for sixteen columns at once, compiled for CPUs.

A block holds n rows of `LANES` complex numbers in a flat array `work`, all real parts first. A Fourier transform
(Stockham's, decimation in frequency; Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, section
1.7) goes back and forth between two halves of the array, one factor of n after the other (`radices.py`). A cosine or
sine transform is a product with its matrix (`products.py`), of which the mirror symmetry spares half. Why not a
library's: see the log in DESIGN.md.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, load, store, variable
from ssm_ops.products import TOGETHER, product, together
from ssm_ops.radices import WRITTEN_OUT, by_2, by_3, by_4, by_5, by_8, by_prime

NONE, FOURIER, MIRROR = 0, 1, 2


class Plan(NamedTuple):
    """How an axis is transformed, with tables in the precision of the data.

    Attributes:
        kind: `NONE`, `FOURIER` or `MIRROR`.
        size: Entries of the axis.
        factors: Of a Fourier transform, in the order in which they are applied.
        places: Where the twiddles of each factor begin in `table`; for a mirror, where the four matrices do.
        table: Twiddles and matrices.
    """

    kind: int
    size: int
    factors: np.ndarray
    places: np.ndarray
    table: np.ndarray


@lru_cache(maxsize=64)
def plan(kind: str, size: int, dtype: str) -> Plan:
    """The plan of an axis with the boundary `kind`, or `none`; a padded axis is periodic on its ring."""
    if kind == "none" or (kind == "reflect" and size == 1):
        return Plan(NONE, size, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(1, dtype))
    fourier = kind in ("periodic", "padded")
    factors = _factors(size) if fourier else []
    tables = _twiddles(size, factors) if fourier else _mirror_matrices(kind, size)
    places = np.cumsum([0, *(len(table) for table in tables)])[:-1]
    table = np.concatenate([*tables, np.zeros(1)]).astype(dtype)
    return Plan(FOURIER if fourier else MIRROR, size, np.array(factors, np.int64), places.astype(np.int64), table)


def mirror_basis(kind: str, size: int) -> np.ndarray:
    """The orthonormal DCT-II (`reflect`) or DST-I (`dirichlet`) matrix, (frequency, position), float64."""
    k, i = np.arange(size)[:, None], np.arange(size)
    if kind == "reflect":
        basis = np.cos(np.pi / (2 * size) * (k * (2 * i + 1) % (4 * size))) * math.sqrt(2 / size)
        basis[0] /= math.sqrt(2)
        return basis
    turn = size + 1
    return np.sin(np.pi / turn * ((k + 1) * (i + 1) % (2 * turn))) * math.sqrt(2 / turn)


def _factors(size: int) -> list[int]:
    found = []
    for factor in WRITTEN_OUT:
        while size % factor == 0:
            found.append(factor)
            size //= factor
    prime = 7
    while size > 1:
        if size % prime == 0:
            found.append(prime)
            size //= prime
        else:
            prime += 2
    if 8 in found and 2 in found:  # two fours are faster than an eight and a two
        found.remove(8)
        found.remove(2)
        found = [4, 4, *found]
    return sorted(found, key=lambda factor: factor not in WRITTEN_OUT)


def _twiddles(size: int, factors: list[int]) -> list[np.ndarray]:
    """For each factor: exp(-2 pi i p k / length) for all p and 0 < k < factor; behind them a large prime's matrices."""
    tables, length = [], size
    for factor in factors:
        p, k = np.arange(length // factor)[:, None], np.arange(1, factor)
        angle = 2 * np.pi * (p * k % length) / length
        table = [np.stack([np.cos(angle), -np.sin(angle)], axis=-1).ravel()]
        if factor not in WRITTEN_OUT:
            k = np.arange(1, factor // 2 + 1)
            angle = 2 * np.pi * (k[:, None] * k % factor) / factor
            table += [together(np.cos(angle)), together(np.sin(angle))]
        tables.append(np.concatenate(table))
        length //= factor
    return tables


def _mirror_matrices(kind: str, size: int) -> list[np.ndarray]:
    """The transform's even and odd rows on the first half of positions, and the two transposes for the way back."""
    basis, half = mirror_basis(kind, size), (size + 1) // 2
    even, odd = basis[0::2, :half], basis[1::2, : size // 2]
    return [together(matrix) for matrix in (even, odd, even.T, odd.T)]


def work_size(*plans: Plan) -> int:
    """Numbers that `work` must hold for the largest of some axes: two blocks of each part, and as
    much for products, whose last bunch of rows may be half empty."""
    return (8 * max(plan.size for plan in plans) + 6 * TOGETHER) * LANES


@compiled
def transform(work, inverse, plan):
    """Transforms the block at 0 and gives where in `work` the result is; Fourier's inverse lacks 1 / size."""
    if plan.kind == FOURIER:
        return fourier(work, inverse, plan)
    if plan.kind == MIRROR:
        return mirror(work, inverse, plan)
    return 0


@inlined
def fourier(work, inverse, plan):
    """The Fourier transform of the block at 0, imaginary parts at size * LANES; gives where the result is.

    `inverse` without the factor 1 / size.
    """
    rows = plan.size * LANES
    here, there = variable(0), 2 * rows
    real, imaginary = (rows, 0) if inverse else (0, rows)  # exchanging the parts conjugates the waves
    length, apart = plan.size, variable(LANES)
    for i in range(plan.factors.shape[0]):
        factor = plan.factors[i]
        re, im, to_re, to_im = here + real, here + imaginary, there + real, there + imaginary
        if factor == 8:
            by_8(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 4:
            by_4(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 2:
            by_2(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 3:
            by_3(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 5:
            by_5(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        else:
            by_prime(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i], factor, 4 * rows)
        here, there = there, here
        length //= factor
        apart *= factor
    return here


@inlined
def mirror(work, inverse, plan):
    """The cosine or sine transform of the block at 0, of real and imaginary parts alike; gives where the result is."""
    size = plan.size
    half, rest = (size + 1) // 2, size // 2
    halves, rests = -(-half // TOGETHER) * TOGETHER, -(-rest // TOGETHER) * TOGETHER
    re, im, there = variable(0), size * LANES, 2 * size * LANES
    even = 2 * there
    odd = even + 2 * halves * LANES
    table, places = plan.table, plan.places
    if inverse:
        product(work, re, im, variable(2 * LANES), even, halves, table, places[2], half)
        product(work, re + LANES, im + LANES, variable(2 * LANES), odd, rests, table, places[3], rest)
        for part in range(2):
            to, e, o = there + part * size * LANES, even + part * halves * LANES, odd + part * rests * LANES
            for j in range(rest):
                x, y = load(work, e + j * LANES), load(work, o + j * LANES)
                store(work, to + j * LANES, x + y)
                store(work, to + (size - 1 - j) * LANES, x - y)
            if half > rest:
                store(work, to + rest * LANES, load(work, e + rest * LANES))
        return there
    for part in range(2):
        for j in range(rest):
            at, back = (part * size + j) * LANES, (part * size + size - 1 - j) * LANES
            x, y = load(work, at), load(work, back)
            store(work, there + at, x + y)
            store(work, there + back, x - y)
        if half > rest:
            at = (part * size + rest) * LANES
            store(work, there + at, load(work, at))
    last = there + (size - 1) * LANES  # differences stand in reverse, from the last row on
    product(work, there, there + im, variable(LANES), even, halves, table, places[0], half)
    product(work, last, last + im, variable(-LANES), odd, rests, table, places[1], rest)
    for part in range(2):
        for k in range(half):
            store(work, (part * size + 2 * k) * LANES, load(work, even + (part * halves + k) * LANES))
        for k in range(rest):
            store(work, (part * size + 2 * k + 1) * LANES, load(work, odd + (part * rests + k) * LANES))
    return 0
