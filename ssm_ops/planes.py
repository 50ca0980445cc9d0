"""The transforms of one frame, compiled for CPUs: fields into lanes, axis after axis, and back.

A frame is (channel, plane, row, column); a grid of two axes has one plane. Planes and rows are transformed with sixteen
columns in the lanes (`_columns_in`), the last axis with sixteen rows, of one channel or of several (`block_in`).

Spectra lie in the order of that last pass, called lanes here: (plane, block of rows, real or imaginary, column, row of
the block). The first Fourier axis keeps its non-negative frequencies only, unless it is the last axis. Where no axis is
a Fourier axis, everything is real, and the second half of a block is another block of rows. What a lane holds does not
depend on its neighbours, nor do bits on how channels are grouped.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, load, read, spread, store, transpose, variable, write, zeros
from ssm_ops.lines import FOURIER, NONE, Plan, plan, transform, work_size

GROUP_BYTES = 2**17
"""Channels are grouped to fill the lanes as long as their half transformed frames have no more than these bytes."""


class Geometry(NamedTuple):
    """The frames of one walk and their spectra.

    Attributes:
        channels, planes, rows, columns: Of the field.
        across, down, along: How planes, rows and columns are transformed.
        kept_planes, kept_rows: Of the spectrum.
        apart: Rows from channel to channel in the half transformed frame.
        blocks: Blocks of `LANES` rows, real and imaginary parts apart.
        pitch, plane: Numbers from row to row, and from plane to plane, of the half transformed frame.
        real: Whether the spectrum is real: two blocks of rows share a block.
        scale: What the inverse transforms leave out.
    """

    channels: int
    planes: int
    rows: int
    columns: int
    across: Plan
    down: Plan
    along: Plan
    kept_planes: int
    kept_rows: int
    apart: int
    blocks: int
    pitch: int
    plane: int
    real: bool
    scale: float


@lru_cache(maxsize=256)
def geometry(
    shape: tuple[int, ...], ring: tuple[int, ...], kinds: tuple[str, ...], channels: int, dtype: str
) -> Geometry:
    """Of some channels of fields of `shape` with boundaries `kinds` and guard bands up to `ring`."""
    missing = 3 - len(shape)
    shape, ring, kinds = (1,) * missing + shape, (1,) * missing + ring, ("none",) * missing + kinds
    across, down, along = (plan(kind, size, dtype) for kind, size in zip(kinds, ring, strict=True))
    kept_planes = across.size // 2 + 1 if across.kind == FOURIER else across.size
    halved = down.kind == FOURIER and across.kind != FOURIER
    kept_rows = down.size // 2 + 1 if halved else down.size
    apart = kept_rows if across.kind == NONE else down.size  # planes are transformed before their rows, in place
    fourier = [axis for axis in (across, down, along) if axis.kind == FOURIER]
    blocks = -(-channels * apart // LANES)
    blocks = blocks if fourier else -(-blocks // 2)
    pitch = -(-shape[2] // LANES) * LANES
    pitch += LANES if pitch % 256 == 0 else 0  # rows a power of two apart would share one place in the cache
    return Geometry(
        channels,
        *shape,
        across,
        down,
        along,
        kept_planes,
        kept_rows,
        apart,
        blocks,
        pitch,
        blocks * LANES * (1 if fourier else 2) * pitch,
        not fourier,
        1 / math.prod(axis.size for axis in fourier),
    )


@lru_cache(maxsize=256)
def grouped(shape: tuple[int, ...], ring: tuple[int, ...], kinds: tuple[str, ...], most: int, dtype: np.dtype) -> int:
    """How many channels are walked together, at most `most`: as few as fill the lanes best."""

    def waste(channels: int) -> float:
        return lanes_size(geometry(shape, ring, kinds, channels, dtype.name)) / channels

    found = 1
    for channels in (2, 4, 8, 16, 32):
        wide = geometry(shape, ring, kinds, channels, dtype.name)
        fits = 2 * wide.kept_planes * wide.plane * dtype.itemsize <= GROUP_BYTES
        if channels <= most and fits and waste(channels) < waste(found):
            found = channels
    return found


def lanes_size(shape: Geometry) -> int:
    """Numbers of one spectrum in lanes."""
    return shape.kept_planes * shape.blocks * 2 * shape.along.size * LANES


def scratch(shape: Geometry, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Room for one frame on its way: the block that is transformed, and the half transformed frame."""
    work = work_size(shape.across, shape.down, shape.along)
    return zeros(work, dtype), zeros(2 * shape.kept_planes * shape.plane, dtype)


@inlined
def planes_in(fields, start, shape, work, middle):
    """Transforms across planes, if at all, from `fields` into `middle`, the half transformed frame."""
    if shape.across.kind != NONE:
        apart, size = shape.rows * shape.columns, shape.planes * shape.rows * shape.columns
        for c in range(shape.channels):
            for r in range(shape.rows):
                at, to = start + c * size + r * shape.columns, (c * shape.apart + r) * shape.pitch
                real, end = variable(True), shape.columns
                _columns_in(fields, at, apart, shape.planes, real, middle, to, shape.plane, end, shape.across, work)


@inlined
def planes_out(fields, start, shape, work, middle):
    """The inverse of `planes_in`."""
    if shape.across.kind != NONE:
        apart, size = shape.rows * shape.columns, shape.planes * shape.rows * shape.columns
        for c in range(shape.channels):
            for r in range(shape.rows):
                to, at = start + c * size + r * shape.columns, (c * shape.apart + r) * shape.pitch
                real, end = variable(True), shape.columns
                _columns_out(middle, at, shape.plane, real, fields, to, apart, shape.planes, end, shape.across, work)


@inlined
def rows_in(fields, start, p, shape, work, middle):
    """Transforms the rows of plane `p` into `middle`, from `fields` where nothing was transformed across planes."""
    pitch, end, real = shape.pitch, shape.columns, shape.across.kind != FOURIER
    for c in range(shape.channels):
        to = p * shape.plane + c * shape.apart * pitch
        if shape.across.kind == NONE:
            at = start + c * shape.rows * end
            _columns_in(fields, at, end, shape.rows, real, middle, to, pitch, end, shape.down, work)
        elif shape.down.kind != NONE:
            _columns_in(middle, to, pitch, shape.rows, real, middle, to, pitch, end, shape.down, work)


@inlined
def rows_out(fields, start, p, shape, work, middle):
    """The inverse of `rows_in`."""
    pitch, end, real = shape.pitch, shape.columns, shape.across.kind != FOURIER
    for c in range(shape.channels):
        at = p * shape.plane + c * shape.apart * pitch
        if shape.across.kind == NONE:
            to = start + c * shape.rows * end
            _columns_out(middle, at, pitch, real, fields, to, end, shape.rows, end, shape.down, work)
        elif shape.down.kind != NONE:
            _columns_out(middle, at, pitch, real, middle, at, pitch, shape.rows, end, shape.down, work)


@compiled
def _columns_in(source, start, apart, given, real, target, to, pitch, columns, axis, work):
    """Transforms an axis whose `given` entries are `apart` in `source`, of `columns` neighbours; into `target`, `pitch`
    apart. Imaginary parts are half an array behind. Real columns are transformed two blocks at a time, one in the place
    of the imaginary part of the other."""
    rows, far, far_to = axis.size * LANES, source.shape[0] // 2, target.shape[0] // 2
    for w in range(0, columns, 2 * LANES if real else LANES):
        here = min(LANES, columns - w)
        more = min(LANES, columns - w - LANES) if real else here
        beside = start + w + (LANES if real else far)
        for j in range(given):
            store(work, j * LANES, read(source, start + w + j * apart, here))
            store(work, rows + j * LANES, read(source, beside + j * apart, more))
        for j in range(given, axis.size):
            store(work, j * LANES, spread(work.dtype.type(0)))
            store(work, rows + j * LANES, spread(work.dtype.type(0)))
        found = transform(work, variable(False), axis)
        if real and axis.kind == FOURIER:
            _untangle(work, found, axis.size, target, to + w, far_to, pitch, more > 0)
        else:
            for k in range(axis.size):
                store(target, to + w + k * pitch, load(work, found + k * LANES))
                if not real:
                    store(target, to + w + far_to + k * pitch, load(work, found + rows + k * LANES))
                elif more > 0:
                    store(target, to + w + LANES + k * pitch, load(work, found + rows + k * LANES))


@compiled
def _columns_out(source, start, pitch, real, target, to, apart, wanted, columns, axis, work):
    """The inverse of `_columns_in`, without the factor that is left out: the first `wanted` entries of the axis."""
    rows, far, far_to = axis.size * LANES, source.shape[0] // 2, target.shape[0] // 2
    for w in range(0, columns, 2 * LANES if real else LANES):
        here = min(LANES, columns - w)
        more = min(LANES, columns - w - LANES) if real else here
        if real and axis.kind == FOURIER:
            _tangle(source, start + w, far, pitch, more > 0, work, axis.size)
        else:
            for k in range(axis.size):
                at = start + w + k * pitch
                store(work, k * LANES, load(source, at))
                if not real:
                    store(work, rows + k * LANES, load(source, at + far))
                elif more > 0:
                    store(work, rows + k * LANES, load(source, at + LANES))
        found = transform(work, variable(True), axis)
        beside = to + w + (LANES if real else far_to)
        for j in range(wanted):
            write(target, to + w + j * apart, load(work, found + j * LANES), here)
            write(target, beside + j * apart, load(work, found + rows + j * LANES), more)


@inlined
def _untangle(work, found, size, target, to, far, pitch, both):
    """The half spectra of the two real blocks whose sum, the second times i, was transformed."""
    half, im = spread(work.dtype.type(0.5)), found + size * LANES
    for k in range(size // 2 + 1):
        a, b = k * LANES, (size - k) % size * LANES
        ar, ai, br, bi = load(work, found + a), load(work, im + a), load(work, found + b), load(work, im + b)
        at = to + k * pitch
        store(target, at, half * (ar + br))
        store(target, at + far, half * (ai - bi))
        if both:
            store(target, at + LANES, half * (ai + bi))
            store(target, at + far + LANES, half * (br - ar))


@inlined
def _tangle(source, start, far, pitch, both, work, size):
    """The spectrum of the first of two real blocks plus i times the second."""
    im = size * LANES
    for k in range(size // 2 + 1):
        at = start + k * pitch
        ar, ai = load(source, at), load(source, at + far)
        br = bi = spread(work.dtype.type(0))
        if both:
            br, bi = load(source, at + LANES), load(source, at + far + LANES)
        a, b = k * LANES, (size - k) % size * LANES
        if a == b:  # its own negative: real
            store(work, a, ar)
            store(work, im + a, br)
        else:
            store(work, a, ar - bi)
            store(work, im + a, ai + br)
            store(work, b, ar + bi)
            store(work, im + b, br - ai)


@compiled
def block_in(middle, p, b, shape, work):
    """Transforms the last axis of a block of rows; gives where in `work` it is."""
    size, far = shape.along.size, middle.shape[0] // 2
    rows = size * LANES
    at = p * shape.plane + b * LANES * shape.pitch * (2 if shape.real else 1)
    complex_before = shape.across.kind == FOURIER or shape.down.kind == FOURIER
    beside = at + (LANES * shape.pitch if shape.real else far)
    for w in range(0, shape.columns, LANES):
        transpose(middle, at + w, shape.pitch, work, w * LANES, LANES)
    if complex_before or shape.real:
        for w in range(0, shape.columns, LANES):
            transpose(middle, beside + w, shape.pitch, work, rows + w * LANES, LANES)
    else:
        for w in range(size):
            store(work, rows + w * LANES, spread(work.dtype.type(0)))
    for w in range(shape.columns, size):
        store(work, w * LANES, spread(work.dtype.type(0)))
        store(work, rows + w * LANES, spread(work.dtype.type(0)))
    return transform(work, variable(False), shape.along)


@compiled
def block_out(middle, p, b, shape, work):
    """The inverse of `block_in`."""
    rows, far = shape.along.size * LANES, middle.shape[0] // 2
    at = p * shape.plane + b * LANES * shape.pitch * (2 if shape.real else 1)
    beside = at + (LANES * shape.pitch if shape.real else far)
    found = transform(work, variable(True), shape.along)
    for w in range(0, shape.columns, LANES):
        transpose(work, found + w * LANES, LANES, middle, at + w, shape.pitch)
        transpose(work, found + rows + w * LANES, LANES, middle, beside + w, shape.pitch)


@compiled
def enter(spectrum, half_axis, shape, lanes):
    """Puts spectra (channel, plane, row, column, real or imaginary) into lanes; one axis of them is halved, none at -1.

    Where a spectrum holds a frequency and its opposite, their mean: the spectrum of a real field, whatever it is.
    """
    for c in range(shape.channels):
        own = spectrum[c]
        for p in range(shape.kept_planes):
            for r in range(shape.kept_rows):
                for w in range(shape.along.size):
                    at, far = _place(c, p, r, w, shape)
                    if shape.real:
                        lanes[at] = own[p, r, w, 0]
                        continue
                    here, there, size = (p, r, w), _negative((p, r, w), shape), own.shape[half_axis]
                    held, opposite = here[half_axis] < size, there[half_axis] < size
                    real = imaginary = lanes.dtype.type(0)
                    if held:
                        real += own[here[0], here[1], here[2], 0]
                        imaginary += own[here[0], here[1], here[2], 1]
                    if opposite:
                        real += own[there[0], there[1], there[2], 0]
                        imaginary -= own[there[0], there[1], there[2], 1]
                    if held and opposite:
                        real, imaginary = real / 2, imaginary / 2
                    lanes[at], lanes[at + far] = real, imaginary


@compiled
def leave(lanes, shape, spectrum):
    """Adds lanes to spectra (channel, plane, row, column, real or imaginary)."""
    for c in range(shape.channels):
        own = spectrum[c]
        for p in range(own.shape[0]):
            for r in range(own.shape[1]):
                for w in range(own.shape[2]):
                    place = (p, r, w)
                    turned = p >= shape.kept_planes or r >= shape.kept_rows
                    if turned:
                        place = _negative(place, shape)
                    at, far = _place(c, place[0], place[1], place[2], shape)
                    own[p, r, w, 0] += lanes[at]
                    if not shape.real:
                        own[p, r, w, 1] += -lanes[at + far] if turned else lanes[at + far]


@inlined
def _negative(place, shape):
    """Where the opposite frequency is; only Fourier axes have opposites."""
    p = (shape.across.size - place[0]) % shape.across.size if shape.across.kind == FOURIER else place[0]
    r = (shape.down.size - place[1]) % shape.down.size if shape.down.kind == FOURIER else place[1]
    w = (shape.along.size - place[2]) % shape.along.size if shape.along.kind == FOURIER else place[2]
    return p, r, w


@inlined
def _place(c, p, r, w, shape):
    """The index of a frequency's real part in lanes, and how far behind it the imaginary part is."""
    row, half = c * shape.apart + r, shape.along.size * LANES
    block = row // LANES
    if shape.real:
        at = (p * shape.blocks + block // 2) * 2 * half + block % 2 * half
    else:
        at = (p * shape.blocks + block) * 2 * half
    return at + w * LANES + row % LANES, half
