"""The scan in frequency space, compiled for CPUs: frame after frame is transformed, walked one step, transformed back.

Only one frame's spectrum and the state exist at a time, so the memory between the transforms and the recurrence is the
processor's cache. A step of time is taken block by block, between the transform of the last axis and its inverse.
States, changes and sums are in lanes, the order of that transform; `planes.py` has all transforms of a frame.
"""

from __future__ import annotations

from ssm_ops.compiled import compiled, inlined
from ssm_ops.lanes import LANES, fused, load, spread, store
from ssm_ops.planes import block_in, block_out, planes_in, planes_out, rows_in, rows_out


@compiled
def forward(frames, inputs, outputs, state, apart, change, which, kept, shape, work, middle):
    """Walks so many frames: state = state + change state + input, in lanes.

    `inputs` and `outputs` are a flat array, the index of the first frame and the distance of frames. The states' fields
    are written to `outputs` and their spectra to `kept`, unless these are empty. `change` is a - 1, one or several
    behind each other; `which` says which is a frame's. Unless it is empty, `apart` is a second state that takes no
    inputs and is added to the first one's fields: bit for bit what `finish` makes of `kept`.
    """
    source, start, step = inputs
    target, to, stride = outputs
    size, unit = state.shape[0], 2 * shape.along.size * LANES
    for t in range(frames):
        own = which[t] * size
        planes_in(source, start + t * step, shape, work, middle)
        for p in range(shape.kept_planes):
            rows_in(source, start + t * step, p, shape, work, middle)
            for b in range(shape.blocks):
                at = (p * shape.blocks + b) * unit
                found = block_in(middle, p, b, shape, work)
                if apart.shape[0] > 0:
                    _advance_both(work, found, state, apart, change, at, own, shape)
                else:
                    _advance(work, found, state, change, at, own, shape)
                if kept.shape[0] > 0:
                    for i in range(at, at + unit, LANES):
                        store(kept, t * size + i, load(state, i))
                if target.shape[0] > 0:
                    block_out(middle, p, b, shape, work)
            if target.shape[0] > 0:
                rows_out(target, to + t * stride, p, shape, work, middle)
        if target.shape[0] > 0:
            planes_out(target, to + t * stride, shape, work, middle)


@compiled
def finish(frames, outputs, apart, change, which, kept, shape, work, middle):
    """The fields of the states that `forward` kept, with those of `apart`, which moves on without inputs."""
    target, to, stride = outputs
    half = shape.along.size * LANES
    size, unit = shape.kept_planes * shape.blocks * 2 * half, 2 * half
    scale = spread(work.dtype.type(shape.scale))
    for t in range(frames):
        own = which[t] * size
        for p in range(shape.kept_planes):
            for b in range(shape.blocks):
                at = (p * shape.blocks + b) * unit
                if apart.shape[0] > 0:
                    _advance_kept(work, kept, t * size + at, apart, change, at, own, shape)
                else:
                    for i in range(0, unit, LANES):
                        store(work, i, scale * load(kept, t * size + at + i))
                block_out(middle, p, b, shape, work)
            rows_out(target, to + t * stride, p, shape, work, middle)
        planes_out(target, to + t * stride, shape, work, middle)


@compiled
def backward(
    frames, gradients, outputs, state, change, which, past, total, shape, work, middle, work_past, middle_past
):
    """Walks so many frames from the last to the first: now = gradient + state, state = now + conj(change) now.

    `gradients` (to the states), `outputs` (for `now`) and `past` are a flat array, the index of the first frame and the
    distance of frames; the first two may be empty. `past` holds the states before each frame: fields, or spectra in
    lanes where their distance is 0. Unless it is empty, `total`, as many as changes, grows by conj(past) now.
    """
    source, start, step = gradients
    target, to, stride = outputs
    before, first, apart = past
    size, unit = state.shape[0], 2 * shape.along.size * LANES
    given, fields = source.shape[0] > 0, before.shape[0] > 0 and apart > 0
    for t in range(frames - 1, -1, -1):
        own = which[t] * size
        if given:
            planes_in(source, start + t * step, shape, work, middle)
        if fields:
            planes_in(before, first + t * apart, shape, work_past, middle_past)
        for p in range(shape.kept_planes):
            if given:
                rows_in(source, start + t * step, p, shape, work, middle)
            if fields:
                rows_in(before, first + t * apart, p, shape, work_past, middle_past)
            for b in range(shape.blocks):
                at, found = (p * shape.blocks + b) * unit, 0
                if given:
                    found = block_in(middle, p, b, shape, work)
                else:
                    for i in range(0, unit, LANES):
                        store(work, i, spread(work.dtype.type(0)))
                if fields:
                    found_past = block_in(middle_past, p, b, shape, work_past)
                    _correlate(work, found, state, work_past, found_past, total, own, at, shape)
                elif before.shape[0] > 0:
                    _correlate(work, found, state, before, first + t * size + at, total, own, at, shape)
                _retreat(work, found, state, change, at, own, shape)
                if target.shape[0] > 0:
                    block_out(middle, p, b, shape, work)
            if target.shape[0] > 0:
                rows_out(target, to + t * stride, p, shape, work, middle)
        if target.shape[0] > 0:
            planes_out(target, to + t * stride, shape, work, middle)


@inlined
def _advance(work, found, state, change, at, own, shape):
    """One step of one block: its inputs are in `work` at `found`; leaves the scaled states in `work` at 0."""
    half = shape.along.size * LANES
    scale, none = spread(work.dtype.type(shape.scale)), spread(work.dtype.type(0))
    for i in range(0, half, LANES):
        hr, hi = load(state, at + i), load(state, at + half + i)
        cr, ci = load(change, own + at + i), load(change, own + at + half + i)
        xr, xi = load(work, found + i), load(work, found + half + i)
        if shape.real:
            xr, xi = (xr + cr * hr) + hr, (xi + ci * hi) + hi
        else:
            xr, xi = (xr + fused(cr, hr, (none - ci) * hi)) + hr, (xi + fused(cr, hi, ci * hr)) + hi
        store(state, at + i, xr)
        store(state, at + half + i, xi)
        store(work, i, scale * xr)
        store(work, half + i, scale * xi)


@inlined
def _advance_both(work, found, state, apart, change, at, own, shape):
    """`_advance` of two states, of which the second takes no inputs; leaves their scaled sum in `work`.

    `_advance` and `_advance_kept` make the same bits: what may be fused is the same there.
    """
    half = shape.along.size * LANES
    scale, none = spread(work.dtype.type(shape.scale)), spread(work.dtype.type(0))
    for i in range(0, half, LANES):
        hr, hi = load(state, at + i), load(state, at + half + i)
        cr, ci = load(change, own + at + i), load(change, own + at + half + i)
        xr, xi = load(work, found + i), load(work, found + half + i)
        ar, ai = load(apart, at + i), load(apart, at + half + i)
        if shape.real:
            xr, xi = (xr + cr * hr) + hr, (xi + ci * hi) + hi
            ar, ai = cr * ar + ar, ci * ai + ai
        else:
            xr, xi = (xr + fused(cr, hr, (none - ci) * hi)) + hr, (xi + fused(cr, hi, ci * hr)) + hi
            ar, ai = fused(cr, ar, (none - ci) * ai) + ar, fused(cr, ai, ci * ar) + ai
        store(state, at + i, xr)
        store(state, at + half + i, xi)
        store(apart, at + i, ar)
        store(apart, at + half + i, ai)
        store(work, i, scale * (xr + ar))
        store(work, half + i, scale * (xi + ai))


@inlined
def _advance_kept(work, kept, at_kept, apart, change, at, own, shape):
    """The second half of `_advance_both`, from a state that was kept."""
    half = shape.along.size * LANES
    scale, none = spread(work.dtype.type(shape.scale)), spread(work.dtype.type(0))
    for i in range(0, half, LANES):
        cr, ci = load(change, own + at + i), load(change, own + at + half + i)
        ar, ai = load(apart, at + i), load(apart, at + half + i)
        if shape.real:
            ar, ai = cr * ar + ar, ci * ai + ai
        else:
            ar, ai = fused(cr, ar, (none - ci) * ai) + ar, fused(cr, ai, ci * ar) + ai
        store(apart, at + i, ar)
        store(apart, at + half + i, ai)
        store(work, i, scale * (load(kept, at_kept + i) + ar))
        store(work, half + i, scale * (load(kept, at_kept + half + i) + ai))


@inlined
def _retreat(work, found, state, change, at, own, shape):
    """`_advance` of the adjoint recurrence."""
    half = shape.along.size * LANES
    scale = spread(work.dtype.type(shape.scale))
    for i in range(0, half, LANES):
        cr, ci = load(change, own + at + i), load(change, own + at + half + i)
        xr = load(work, found + i) + load(state, at + i)
        xi = load(work, found + half + i) + load(state, at + half + i)
        store(work, i, scale * xr)
        store(work, half + i, scale * xi)
        if shape.real:
            xr, xi = cr * xr + xr, ci * xi + xi
        else:
            xr, xi = (cr * xr + ci * xi) + xr, (cr * xi - ci * xr) + xi
        store(state, at + i, xr)
        store(state, at + half + i, xi)


@inlined
def _correlate(work, found, state, past, at_past, total, own, at, shape):
    """Adds conj(past) now, with now = work + state, to `total`."""
    half = shape.along.size * LANES
    for i in range(0, half, LANES):
        xr = load(work, found + i) + load(state, at + i)
        xi = load(work, found + half + i) + load(state, at + half + i)
        pr, pi = load(past, at_past + i), load(past, at_past + half + i)
        o = own + at + i
        sr, si = load(total, o), load(total, o + half)
        if shape.real:
            store(total, o, sr + pr * xr)
            store(total, o + half, si + pi * xi)
        else:
            store(total, o, sr + (pr * xr + pi * xi))
            store(total, o + half, si + (pr * xi - pi * xr))
