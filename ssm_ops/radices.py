"""The butterflies of a Fourier transform: one factor of its length, for sixteen columns at once, compiled for CPUs.

The factors 8, 4, 2, 3 and 5 are written out, any other prime is a product with its cosines and sines. Each `by_...`
takes the entries that are length / factor from one another, transforms them and stores them side by side, times their
twiddles. Entries are `apart` numbers from one to the next; parts begin at `re` and `im` in `work`, those of the result
at `to_re` and `to_im`, the twiddles at `place` in `table`.
"""

from __future__ import annotations

import math

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, load, spread, store, variable
from ssm_ops.products import TOGETHER, product

WRITTEN_OUT = (8, 4, 5, 3, 2)
"""Factors with code of their own, in the order in which a size is divided by them."""


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
def by_2(work, re, im, to_re, to_im, length, apart, table, place):
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
def by_3(work, re, im, to_re, to_im, length, apart, table, place):
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
def by_4(work, re, im, to_re, to_im, length, apart, table, place):
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
def by_5(work, re, im, to_re, to_im, length, apart, table, place):
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
def by_8(work, re, im, to_re, to_im, length, apart, table, place):
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
def by_prime(work, re, im, to_re, to_im, length, apart, table, place, prime, spare):
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
            product(work, sums, sums + block, variable(LANES), even, bunches, table, cosines, half)
            product(
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
