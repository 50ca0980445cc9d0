"""The recurrence in pixel space, compiled for CPUs: time inside, one channel a thread, the state in cache.

`walk` computes out_t = in_t + taps * out_{t-1} for one channel of one sample, forward or backward in time; backward it
can sum the gradients to the taps on its way. The state sits in a buffer with halo cells around it, filled by the
boundary's rule before each step, so that the inner loops never ask where they are. Frames are (depth, height, width) in
flat arrays; missing axes have size 1 and one tap. Taps are in correlation order: out_i = sum_j taps_j state_{i+j-left}.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, load, read, spread, store, write, zeros

BLOCK = 4 * LANES
"""Columns whose sums share a tap that was loaded once."""
EXACT = 256
"""Products of one lane that are summed in the fields' precision; their sums are summed in float64."""


class Halo(NamedTuple):
    """A field within a buffer, and what surrounds it.

    Attributes:
        shape: (depth, height, width) of the field.
        left: Halo cells before the first voxel of each axis.
        planes, rows, pitch: Of the buffer; `pitch` numbers from row to row.
        first: The index of the field's first voxel.
        maps, signs: For each cell of each axis, halo and field: which voxel it repeats, and its sign.
    """

    shape: tuple[int, int, int]
    left: tuple[int, int, int]
    planes: int
    rows: int
    pitch: int
    first: int
    maps: tuple[np.ndarray, np.ndarray, np.ndarray]
    signs: tuple[np.ndarray, np.ndarray, np.ndarray]


def halo(
    shape: tuple[int, int, int], kernel: tuple[int, int, int], left: tuple[int, int, int], maps: tuple, signs: tuple
) -> Halo:
    """The buffer of a field of `shape`; its rows begin on cache lines."""
    planes, rows, _ = (size + taps - 1 for size, taps in zip(shape, kernel, strict=True))
    before = -(-left[2] // LANES) * LANES
    behind = kernel[2] - 1 - left[2]
    pitch = before + -(-shape[2] // LANES) * LANES + -(-behind // LANES) * LANES
    first = (left[0] * rows + left[1]) * pitch + before
    return Halo(shape, left, planes, rows, pitch, first, maps, signs)


def buffer(around: Halo, dtype: np.dtype) -> np.ndarray:
    """Zeros, with room for what is read behind the last row."""
    return zeros(around.planes * around.rows * around.pitch + BLOCK + LANES, dtype)


@compiled
def walk(frames, inputs, outputs, taps, around, before, after, start, extra, backward):
    """out_t = in_t + taps * out_{t-1}, in the order of time, or from the last frame to the first where `backward`.

    `inputs` and `outputs` are a flat array, the index of the first frame and the distance of frames. `start` is the
    field before the first step and `extra` is added to the first input, unless they are empty. `before` and `after` are
    buffers.
    """
    source, at, step = inputs
    target, to, stride = outputs
    before[:] = 0
    if start.shape[0] > 0:
        _enter(before, start, 0, around)
    for count in range(frames):
        t = frames - 1 - count if backward else count
        _advance(source, at + t * step, target, to + t * stride, taps, around, before, after, extra, count == 0)
        before, after = after, before


@compiled
def walk_back(frames, inputs, outputs, taps, around, before, after, extra, states, entering, past, beside, sums, total):
    """`walk` backward, and total_j grows by sum_t sum_i out_t[i] past_t[i + j - left].

    past_t is the state before frame t: in `states`, a flat array with the index of the first frame and the distance of
    frames, and `entering`, or zero where that is empty, before the first. It is put into the buffer `past` with the
    halo `beside`; `sums` are three lanes to work with.
    """
    source, at, step = inputs
    target, to, stride = outputs
    held, first, apart = states
    before[:], past[:] = 0, 0
    for t in range(frames - 1, -1, -1):
        out = to + t * stride
        _advance(source, at + t * step, target, out, taps, around, before, after, extra, t == frames - 1)
        before, after = after, before
        if t > 0:
            _enter(past, held, first + (t - 1) * apart, beside)
        elif entering.shape[0] > 0:
            _enter(past, entering, 0, beside)
        else:
            past[:] = 0
        _fill(past, beside)
        for d in range(beside.shape[0]):
            for k in range(total.shape[0]):
                for row in range(total.shape[1]):
                    _dots(target, out, past, d, k, row, sums, total, beside)


@inlined
def _advance(source, frame, target, out, taps, around, before, after, extra, first):
    _fill(before, around)
    for d in range(around.shape[0]):
        for k in range(taps.shape[0]):
            if taps.shape[1] == 3 and taps.shape[2] == 3:
                _add_3x3(source, frame, target, out, before, after, d, k, taps, around)
            else:
                _add_any(source, frame, target, out, before, after, d, k, taps, around)
    if first and extra.shape[0] > 0:
        for i in range(extra.shape[0]):
            target[out + i] += extra[i]
        _enter(after, target, out, around)


@compiled
def _enter(buffer, fields, at, around):
    """Puts the field at `at` of flat fields into the buffer."""
    depth, height, width = around.shape
    for d in range(depth):
        for h in range(height):
            source, to = at + (d * height + h) * width, around.first + (d * around.rows + h) * around.pitch
            for w in range(0, width, LANES):
                store(buffer, to + w, read(fields, source + w, width - w))


@compiled
def _fill(buffer, around):
    """Fills the halo: cell i of an axis holds sign_i times the field's cell map_i."""
    depth, height, width = around.shape
    front, top, left = around.left
    pitch, plane = around.pitch, around.rows * around.pitch
    maps, signs = around.maps, around.signs
    for i in range(len(maps[2])):
        if i < left or i >= left + width:
            sign = signs[2][i]
            for d in range(depth):
                row = around.first + d * plane
                for _ in range(height):
                    buffer[row - left + i] = sign * buffer[row + maps[2][i]]
                    row += pitch
    for i in range(len(maps[1])):
        if i < top or i >= top + height:
            for d in range(depth):
                row = around.first + d * plane
                _copy_row(buffer, row + maps[1][i] * pitch, row + (i - top) * pitch, signs[1][i], around)
    for i in range(len(maps[0])):
        if i < front or i >= front + depth:
            for h in range(-top, around.rows - top):
                row = around.first + h * pitch
                _copy_row(buffer, row + maps[0][i] * plane, row + (i - front) * plane, signs[0][i], around)


@inlined
def _copy_row(buffer, source, to, sign, around):
    factor, begin = spread(sign), -around.left[2]
    for w in range(0, len(around.maps[2]), LANES):
        at = begin + w
        write(buffer, to + at, factor * load(buffer, source + at), len(around.maps[2]) - w)


@compiled
def _add_3x3(source, frame, target, out, before, after, d, k, taps, around):
    """Adds plane k of the taps' share to plane d of the output: to the input at first, at last also into the buffer."""
    _, height, width = around.shape
    t = taps[k]
    a, b, c = spread(t[0, 0]), spread(t[0, 1]), spread(t[0, 2])
    e, f, g = spread(t[1, 0]), spread(t[1, 1]), spread(t[1, 2])
    p, q, r = spread(t[2, 0]), spread(t[2, 1]), spread(t[2, 2])
    plane, pitch = around.rows * around.pitch, around.pitch
    inside = around.first + d * plane
    for w in range(0, width, LANES):
        field = d * height * width + w
        at = inside - around.left[1] * pitch - around.left[0] * plane + k * plane - around.left[2] + w
        x0, x1, x2 = load(before, at), load(before, at + 1), load(before, at + 2)
        at += pitch
        y0, y1, y2 = load(before, at), load(before, at + 1), load(before, at + 2)
        to = inside + w
        for _ in range(height):
            at += pitch
            z0, z1, z2 = load(before, at), load(before, at + 1), load(before, at + 2)
            now = read(source, frame + field, width - w) if k == 0 else read(target, out + field, width - w)
            now = now + ((a * x0 + b * x1 + c * x2) + (e * y0 + f * y1 + g * y2) + (p * z0 + q * z1 + r * z2))
            write(target, out + field, now, width - w)
            if k == taps.shape[0] - 1:
                store(after, to, now)
            x0, x1, x2, y0, y1, y2 = y0, y1, y2, z0, z1, z2
            field += width
            to += pitch


@compiled
def _add_any(source, frame, target, out, before, after, d, k, taps, around):
    """`_add_3x3` with any taps."""
    _, height, width = around.shape
    plane, pitch = around.rows * around.pitch, around.pitch
    corner = around.first + (d + k - around.left[0]) * plane - around.left[1] * pitch - around.left[2]
    last = k == taps.shape[0] - 1
    for h in range(height):
        field, to = (d * height + h) * width, around.first + d * plane + h * pitch
        for w in range(0, width, BLOCK):
            a = b = c = e = spread(taps.dtype.type(0))
            for row in range(taps.shape[1]):
                at = corner + (h + row) * pitch + w
                for i in range(taps.shape[2]):
                    tap = spread(taps[k, row, i])
                    a = a + tap * load(before, at + i)
                    b = b + tap * load(before, at + i + LANES)
                    c = c + tap * load(before, at + i + 2 * LANES)
                    e = e + tap * load(before, at + i + 3 * LANES)
            given, given_at = (source, frame + field) if k == 0 else (target, out + field)
            _finish(given, given_at, target, out + field, after, to, w, width, last, a)
            _finish(given, given_at, target, out + field, after, to, w + LANES, width, last, b)
            _finish(given, given_at, target, out + field, after, to, w + 2 * LANES, width, last, c)
            _finish(given, given_at, target, out + field, after, to, w + 3 * LANES, width, last, e)


@inlined
def _finish(given, given_at, target, out, after, to, w, width, last, share):
    if w < width:
        now = read(given, given_at + w, width - w) + share
        write(target, out + w, now, width - w)
        if last:
            store(after, to + w, now)


@compiled
def _dots(fields, out, past, d, k, row, sums, total, around):
    """Adds the products of plane d of a field with shifts of plane k, row `row` of the past to a row of the total."""
    _, height, width = around.shape
    plane, pitch = around.rows * around.pitch, around.pitch
    corner = around.first + (d + k - around.left[0]) * plane + (row - around.left[1]) * pitch - around.left[2]
    rows = max(1, EXACT * LANES // width)
    for begin in range(0, height, rows):
        for first in range(0, total.shape[2], 3):
            a = b = c = spread(fields.dtype.type(0))
            for h in range(begin, min(begin + rows, height)):
                field, at = out + (d * height + h) * width, corner + h * pitch + first
                for w in range(0, width, LANES):
                    now = read(fields, field + w, width - w)
                    a = a + now * load(past, at + w)
                    b = b + now * load(past, at + w + 1)
                    c = c + now * load(past, at + w + 2)
            store(sums, 0, a)
            store(sums, LANES, b)
            store(sums, 2 * LANES, c)
            for i in range(min(3, total.shape[2] - first)):
                for lane in range(LANES):
                    total[k, row, first + i] += sums[i * LANES + lane]
