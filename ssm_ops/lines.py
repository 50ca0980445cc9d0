"""Transforms along one axis for sixteen columns at once, compiled for CPUs.

A block holds n rows of `LANES` complex numbers in a flat array `work`, all real parts first. A Fourier transform
(Stockham's, decimation in frequency; Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, section
1.7) goes back and forth between two halves of the array, one factor of n after the other: 8, 4, 2, 3 and 5 written out,
any other prime by products with its cosines and sines. A cosine or sine transform is a product with its matrix, of
which the mirror symmetry spares half. Why not a library's: see the log in DESIGN.md.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, load, spread, store, variable

NONE, FOURIER, MIRROR = 0, 1, 2
WRITTEN_OUT = (8, 4, 5, 3, 2)
TOGETHER = 4
"""Rows of a matrix product that are summed side by side."""


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
            table += [_together(np.cos(angle)), _together(np.sin(angle))]
        tables.append(np.concatenate(table))
        length //= factor
    return tables


def _mirror_matrices(kind: str, size: int) -> list[np.ndarray]:
    """The transform's even and odd rows on the first half of positions, and the two transposes for the way back."""
    basis, half = mirror_basis(kind, size), (size + 1) // 2
    even, odd = basis[0::2, :half], basis[1::2, : size // 2]
    return [_together(matrix) for matrix in (even, odd, even.T, odd.T)]


def _together(matrix: np.ndarray) -> np.ndarray:
    """A matrix in the order of `_product`: bunches of `TOGETHER` rows, column by column; zero rows fill the last."""
    rows = -(-len(matrix) // TOGETHER) * TOGETHER
    padded = np.zeros((rows, matrix.shape[1]))
    padded[: len(matrix)] = matrix
    return padded.reshape(rows // TOGETHER, TOGETHER, matrix.shape[1]).transpose(0, 2, 1).ravel()


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
            _by_8(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 4:
            _by_4(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 2:
            _by_2(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 3:
            _by_3(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        elif factor == 5:
            _by_5(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i])
        else:
            _by_prime(work, re, im, to_re, to_im, length, apart, plan.table, plan.places[i], factor, 4 * rows)
        here, there = there, here
        length //= factor
        apart *= factor
    return here


@inlined
def _put(work, to_re, to_im, re, im, table, place):
    """Stores re + i im times the twiddle at `place`."""
    cos, sin = spread(table[place]), spread(table[place + 1])
    store(work, to_re, re * cos - im * sin)
    store(work, to_im, re * sin + im * cos)


@inlined
def _two(ar, ai, br, bi):
    return ar + br, ai + bi, ar - br, ai - bi


@inlined
def _four(ar, ai, br, bi, cr, ci, dr, di):
    sr, si, tr, ti = _two(ar, ai, cr, ci)
    ur, ui, vr, vi = _two(br, bi, dr, di)
    return sr + ur, si + ui, tr + vi, ti - vr, sr - ur, si - ui, tr - vi, ti + vr


@compiled
def _by_2(work, re, im, to_re, to_im, length, apart, table, place):
    far = length // 2 * apart
    for p in range(length // 2):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, 2 * p * apart + q
            ar, ai, br, bi = _two(
                load(work, re + i), load(work, im + i), load(work, re + i + far), load(work, im + i + far)
            )
            store(work, to_re + o, ar)
            store(work, to_im + o, ai)
            _put(work, to_re + o + apart, to_im + o + apart, br, bi, table, place + 2 * p)


@compiled
def _by_3(work, re, im, to_re, to_im, length, apart, table, place):
    far = length // 3 * apart
    half, root = spread(table.dtype.type(0.5)), spread(table.dtype.type(math.sqrt(0.75)))
    for p in range(length // 3):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, 3 * p * apart + q
            ar, ai = load(work, re + i), load(work, im + i)
            i += far
            br, bi = load(work, re + i), load(work, im + i)
            i += far
            cr, ci = load(work, re + i), load(work, im + i)
            sr, si, dr, di = _two(br, bi, cr, ci)
            mr, mi = ar - half * sr, ai - half * si
            dr, di = root * dr, root * di
            store(work, to_re + o, ar + sr)
            store(work, to_im + o, ai + si)
            _put(work, to_re + o + apart, to_im + o + apart, mr + di, mi - dr, table, place + 4 * p)
            o += apart
            _put(work, to_re + o + apart, to_im + o + apart, mr - di, mi + dr, table, place + 4 * p + 2)


@compiled
def _by_4(work, re, im, to_re, to_im, length, apart, table, place):
    far = length // 4 * apart
    for p in range(length // 4):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, 4 * p * apart + q
            ar, ai = load(work, re + i), load(work, im + i)
            i += far
            br, bi = load(work, re + i), load(work, im + i)
            i += far
            cr, ci = load(work, re + i), load(work, im + i)
            i += far
            ar, ai, br, bi, cr, ci, dr, di = _four(ar, ai, br, bi, cr, ci, load(work, re + i), load(work, im + i))
            store(work, to_re + o, ar)
            store(work, to_im + o, ai)
            if p == 0:  # its twiddles are 1
                store(work, to_re + o + apart, br)
                store(work, to_im + o + apart, bi)
                store(work, to_re + o + 2 * apart, cr)
                store(work, to_im + o + 2 * apart, ci)
                store(work, to_re + o + 3 * apart, dr)
                store(work, to_im + o + 3 * apart, di)
            else:
                at = place + 6 * p
                _put(work, to_re + o + apart, to_im + o + apart, br, bi, table, at)
                _put(work, to_re + o + 2 * apart, to_im + o + 2 * apart, cr, ci, table, at + 2)
                _put(work, to_re + o + 3 * apart, to_im + o + 3 * apart, dr, di, table, at + 4)


@compiled
def _by_5(work, re, im, to_re, to_im, length, apart, table, place):
    far = length // 5 * apart
    c1, c2 = spread(table.dtype.type(math.cos(0.4 * math.pi))), spread(table.dtype.type(math.cos(0.8 * math.pi)))
    s1, s2 = spread(table.dtype.type(math.sin(0.4 * math.pi))), spread(table.dtype.type(math.sin(0.8 * math.pi)))
    for p in range(length // 5):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, 5 * p * apart + q
            ar, ai = load(work, re + i), load(work, im + i)
            i += far
            br, bi = load(work, re + i), load(work, im + i)
            i += far
            cr, ci = load(work, re + i), load(work, im + i)
            i += far
            cr, ci, dr, di = _two(cr, ci, load(work, re + i), load(work, im + i))
            i += far
            br, bi, er, ei = _two(br, bi, load(work, re + i), load(work, im + i))
            store(work, to_re + o, ar + (br + cr))
            store(work, to_im + o, ai + (bi + ci))
            mr, mi = ar + (c1 * br + c2 * cr), ai + (c1 * bi + c2 * ci)
            nr, ni = s1 * er + s2 * dr, s1 * ei + s2 * di
            at = place + 8 * p
            _put(work, to_re + o + apart, to_im + o + apart, mr + ni, mi - nr, table, at)
            _put(work, to_re + o + 4 * apart, to_im + o + 4 * apart, mr - ni, mi + nr, table, at + 6)
            mr, mi = ar + (c2 * br + c1 * cr), ai + (c2 * bi + c1 * ci)
            nr, ni = s2 * er - s1 * dr, s2 * ei - s1 * di
            _put(work, to_re + o + 2 * apart, to_im + o + 2 * apart, mr + ni, mi - nr, table, at + 2)
            _put(work, to_re + o + 3 * apart, to_im + o + 3 * apart, mr - ni, mi + nr, table, at + 4)


@compiled
def _by_8(work, re, im, to_re, to_im, length, apart, table, place):
    far = length // 8 * apart
    diagonal = spread(table.dtype.type(math.sqrt(0.5)))
    for p in range(length // 8):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, 8 * p * apart + q
            ar, ai = load(work, re + i), load(work, im + i)
            i += far
            br, bi = load(work, re + i), load(work, im + i)
            i += far
            cr, ci = load(work, re + i), load(work, im + i)
            i += far
            dr, di = load(work, re + i), load(work, im + i)
            i += far
            er, ei = load(work, re + i), load(work, im + i)
            i += far
            fr, fi = load(work, re + i), load(work, im + i)
            i += far
            gr, gi = load(work, re + i), load(work, im + i)
            i += far
            ar, ai, cr, ci, er, ei, gr, gi = _four(ar, ai, cr, ci, er, ei, gr, gi)
            br, bi, dr, di, fr, fi, hr, hi = _four(br, bi, dr, di, fr, fi, load(work, re + i), load(work, im + i))
            dr, di = diagonal * (dr + di), diagonal * (di - dr)
            hr, hi = diagonal * (hi - hr), diagonal * (hr + hi)
            store(work, to_re + o, ar + br)
            store(work, to_im + o, ai + bi)
            if p == 0:  # its twiddles are 1
                o += apart
                store(work, to_re + o, cr + dr)
                store(work, to_im + o, ci + di)
                o += apart
                store(work, to_re + o, er + fi)
                store(work, to_im + o, ei - fr)
                o += apart
                store(work, to_re + o, gr + hr)
                store(work, to_im + o, gi - hi)
                o += apart
                store(work, to_re + o, ar - br)
                store(work, to_im + o, ai - bi)
                o += apart
                store(work, to_re + o, cr - dr)
                store(work, to_im + o, ci - di)
                o += apart
                store(work, to_re + o, er - fi)
                store(work, to_im + o, ei + fr)
                o += apart
                store(work, to_re + o, gr - hr)
                store(work, to_im + o, gi + hi)
            else:
                at = place + 14 * p
                o += apart
                _put(work, to_re + o, to_im + o, cr + dr, ci + di, table, at)
                o += apart
                _put(work, to_re + o, to_im + o, er + fi, ei - fr, table, at + 2)
                o += apart
                _put(work, to_re + o, to_im + o, gr + hr, gi - hi, table, at + 4)
                o += apart
                _put(work, to_re + o, to_im + o, ar - br, ai - bi, table, at + 6)
                o += apart
                _put(work, to_re + o, to_im + o, cr - dr, ci - di, table, at + 8)
                o += apart
                _put(work, to_re + o, to_im + o, er - fi, ei + fr, table, at + 10)
                o += apart
                _put(work, to_re + o, to_im + o, gr - hr, gi + hi, table, at + 12)


@compiled
def _by_prime(work, re, im, to_re, to_im, length, apart, table, place, prime, spare):
    """Pairs x_j + x_-j meet the cosines, x_j - x_-j the sines, in `work` from `spare` on."""
    half, groups = prime // 2, length // prime
    bunches = -(-half // TOGETHER) * TOGETHER
    block, far = half * LANES, groups * apart
    sums, differences, even = spare, spare + 2 * block, spare + 4 * block
    odd = even + 2 * bunches * LANES
    cosines = place + 2 * groups * (prime - 1)
    for p in range(groups):
        for q in range(0, apart, LANES):
            i, o = p * apart + q, prime * p * apart + q
            first_re, first_im = load(work, re + i), load(work, im + i)
            total_re, total_im = first_re, first_im
            for j in range(half):
                front, back = i + (j + 1) * far, i + (prime - 1 - j) * far
                sr, si, dr, di = _two(
                    load(work, re + front), load(work, im + front), load(work, re + back), load(work, im + back)
                )
                total_re, total_im = total_re + sr, total_im + si
                at = j * LANES
                store(work, sums + at, sr)
                store(work, sums + block + at, si)
                store(work, differences + at, dr)
                store(work, differences + block + at, di)
            store(work, to_re + o, total_re)
            store(work, to_im + o, total_im)
            _product(work, sums, sums + block, variable(LANES), even, bunches, table, cosines, half)
            _product(
                work,
                differences,
                differences + block,
                variable(LANES),
                odd,
                bunches,
                table,
                cosines + bunches * half,
                half,
            )
            for k in range(half):
                er, ei = load(work, even + k * LANES), load(work, even + (bunches + k) * LANES)
                dr, di = load(work, odd + k * LANES), load(work, odd + (bunches + k) * LANES)
                er, ei = first_re + er, first_im + ei
                at = place + 2 * p * (prime - 1)
                front, back = o + (k + 1) * apart, o + (prime - 1 - k) * apart
                _put(work, to_re + front, to_im + front, er + di, ei - dr, table, at + 2 * k)
                _put(work, to_re + back, to_im + back, er - di, ei + dr, table, at + 2 * (prime - 2 - k))


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
        _product(work, re, im, variable(2 * LANES), even, halves, table, places[2], half)
        _product(work, re + LANES, im + LANES, variable(2 * LANES), odd, rests, table, places[3], rest)
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
    _product(work, there, there + im, variable(LANES), even, halves, table, places[0], half)
    _product(work, last, last + im, variable(-LANES), odd, rests, table, places[1], rest)
    for part in range(2):
        for k in range(half):
            store(work, (part * size + 2 * k) * LANES, load(work, even + (part * halves + k) * LANES))
        for k in range(rest):
            store(work, (part * size + 2 * k + 1) * LANES, load(work, odd + (part * rests + k) * LANES))
    return 0


@compiled
def _product(work, re, im, step, target, rows, table, place, columns):
    """Rows of a matrix (in the order of `_together`) times a block whose rows are `step` apart; imaginary parts of the
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
