"""The recurrence in pixel space, compiled for CPUs: time inside, one channel a thread, the state in cache.

`walk` computes out_t = in_t + taps * out_{t-1} for one channel of one sample, forward or backward in time. The state
sits in a buffer with halo cells around it, filled by the boundary's rule before each step, so that the inner loops
never ask where they are. Fields are (depth, height, width); missing axes have size 1 and one tap. Taps are in
correlation order: out_i = sum_j taps_j state_{i + j - left}.

Inner loops see whole planes or rows without calls in between and without overlapping arrays, and index from zero:
each of these cost a factor of two to four where it was missing, because the compiler then leaves its vector
instructions out.
"""

from __future__ import annotations

import numpy as np

from ssm_ops.compiled import compiled, compiled_sums


@compiled
def walk(inputs, sample, channel, taps, left, maps, signs, start, extra, backward, outputs):
    """out_t = in_t + taps * out_{t-1} into outputs (batch, time, channel, depth, height, width), in the order of time.

    `start` is the field before the first step, `extra` is added to the first input; `backward` walks from the last
    frame to the first.
    """
    time, depth = inputs.shape[1], inputs.shape[3]
    before, after = _buffer(taps, start), _buffer(taps, start)
    _enter(before, start, left)
    for step in range(time):
        t = time - 1 - step if backward else step
        _fill(before, left, start.shape, maps, signs)
        for d in range(depth):
            out, base = outputs[sample, t, channel, d], inputs[sample, t, channel, d]
            if taps.shape[1] == 3 and taps.shape[2] == 3:
                _plane_3x3(out, base, before[d], taps[0])
                for kd in range(1, taps.shape[0]):
                    _add_3x3(out, before[d + kd], taps[kd])
            else:
                out[:] = base
                for kd in range(taps.shape[0]):
                    _add(out, before[d + kd], taps[kd])
            if step == 0:
                out += extra[d]
            _keep(after[d + left[0]], out, left)
        before, after = after, before


@compiled
def walk_taps(gradients, states, sample, channel, left, maps, signs, start, total):
    """Adds sum_t sum_i gradients_t[i] state_{t-1}[i + j - left] to total_j, float64; `start` comes before the first."""
    time, depth = gradients.shape[1], gradients.shape[3]
    before = _buffer(total, start)
    for t in range(time):
        _enter(before, start if t == 0 else states[sample, t - 1, channel], left)
        _fill(before, left, start.shape, maps, signs)
        for d in range(depth):
            for kd in range(total.shape[0]):
                _dots(gradients[sample, t, channel, d], before[d + kd], total[kd])


@compiled
def _buffer(taps, field):
    shape = (
        field.shape[0] + taps.shape[0] - 1,
        field.shape[1] + taps.shape[1] - 1,
        field.shape[2] + taps.shape[2] - 1,
    )
    return np.zeros(shape, field.dtype)


@compiled
def _enter(buffer, field, left):
    for d in range(field.shape[0]):
        _keep(buffer[d + left[0]], field[d], left)


@compiled
def _keep(plane, field, left):
    for h in range(field.shape[0]):
        row = plane[h + left[1], left[2] :]
        for w in range(field.shape[1]):
            row[w] = field[h, w]


@compiled
def _fill(buffer, left, shape, maps, signs):
    """Fills the halo: cell i of an axis holds sign_i times the field's cell map_i."""
    top, bottom, front, back = left[1], left[1] + shape[1], left[0], left[0] + shape[0]
    for i in range(buffer.shape[2]):
        if i < left[2] or i >= left[2] + shape[2]:
            source, sign = left[2] + maps[2][i], signs[2][i]
            for d in range(front, back):
                plane = buffer[d]
                for h in range(top, bottom):
                    plane[h, i] = sign * plane[h, source]
    for i in range(buffer.shape[1]):
        if i < top or i >= bottom:
            for d in range(front, back):
                _scale(buffer[d, i], signs[1][i], buffer[d, top + maps[1][i]])
    for i in range(buffer.shape[0]):
        if i < front or i >= back:
            for h in range(buffer.shape[1]):
                _scale(buffer[i, h], signs[0][i], buffer[front + maps[0][i], h])


@compiled
def _scale(row, sign, source):
    for i in range(row.shape[0]):
        row[i] = sign * source[i]


@compiled
def _plane_3x3(out, base, state, taps):
    """out = base + taps * state in one pass: most kernels have 3 taps an axis. The three arrays must not overlap."""
    nine = _nine(taps)
    for h in range(out.shape[0]):
        for w in range(out.shape[1]):
            out[h, w] = base[h, w] + _at(state, h, w, nine)


@compiled
def _add_3x3(out, state, taps):
    """out += taps * state, likewise."""
    nine = _nine(taps)
    for h in range(out.shape[0]):
        for w in range(out.shape[1]):
            out[h, w] += _at(state, h, w, nine)


@compiled
def _nine(taps):
    upper, middle, lower = taps[0], taps[1], taps[2]
    return upper[0], upper[1], upper[2], middle[0], middle[1], middle[2], lower[0], lower[1], lower[2]


@compiled
def _at(state, h, w, nine):
    upper = nine[0] * state[h, w] + nine[1] * state[h, w + 1] + nine[2] * state[h, w + 2]
    middle = nine[3] * state[h + 1, w] + nine[4] * state[h + 1, w + 1] + nine[5] * state[h + 1, w + 2]
    lower = nine[6] * state[h + 2, w] + nine[7] * state[h + 2, w + 1] + nine[8] * state[h + 2, w + 2]
    return upper + middle + lower


@compiled
def _add(out, state, taps):
    """out += taps * state with any taps, three of a row in a pass."""
    for h in range(out.shape[0]):
        for kh in range(taps.shape[0]):
            for kw in range(taps.shape[1] % 3):
                a, row = taps[kh, kw], state[h + kh, kw:]
                for w in range(out.shape[1]):
                    out[h, w] += a * row[w]
            for kw in range(taps.shape[1] % 3, taps.shape[1], 3):
                a, b, c, row = taps[kh, kw], taps[kh, kw + 1], taps[kh, kw + 2], state[h + kh, kw:]
                for w in range(out.shape[1]):
                    out[h, w] += a * row[w] + b * row[w + 1] + c * row[w + 2]


@compiled_sums
def _dots(gradients, state, total):
    """Adds the products of a plane of gradients with the shifted planes of the state; rows in the fields' precision."""
    zero = gradients.dtype.type(0)
    for h in range(gradients.shape[0]):
        for kh in range(total.shape[0]):
            for kw in range(total.shape[1] % 3):
                a, row = zero, state[h + kh, kw:]
                for w in range(gradients.shape[1]):
                    a += gradients[h, w] * row[w]
                total[kh, kw] += a
            for kw in range(total.shape[1] % 3, total.shape[1], 3):
                a, b, c, row = zero, zero, zero, state[h + kh, kw:]
                for w in range(gradients.shape[1]):
                    a += gradients[h, w] * row[w]
                    b += gradients[h, w] * row[w + 1]
                    c += gradients[h, w] * row[w + 2]
                total[kh, kw] += a
                total[kh, kw + 1] += b
                total[kh, kw + 2] += c
