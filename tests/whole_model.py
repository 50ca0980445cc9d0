"""The whole model once more, slow and obvious: numpy, float64, one frame after the other, no FFT, no chunks."""

from __future__ import annotations

import numpy as np

from pipeline.network.settings import ModelSettings
from ssm_ops import reference
from ssm_ops.learned import MIN_DECAY


def made(
    weights: dict[str, np.ndarray],
    settings: ModelSettings,
    frames: np.ndarray,
    boundary: tuple[str, ...],
    steps: np.ndarray | None = None,
) -> np.ndarray:
    """What a model of propagators makes of frames (time, channel, *grid) without masks, from its named weights.

    `steps` are the times from the frame before to each frame.
    """
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    frames = frames.astype(np.float64)
    steps = np.ones(len(frames)) if steps is None else steps
    streams = through(weights, "blocks", settings, frames, boundary, steps)
    if settings.bidirectional:
        after = np.append(steps[1:], 1.0)[::-1]
        behind = through(weights, "later", settings, frames[::-1], boundary, after)[::-1]
        parts = {n.removeprefix("meeting."): w for n, w in weights.items() if n.startswith("meeting.")}
        both = [np.concatenate(pair) for pair in zip(streams, behind, strict=True)]
        sums = [one + other for one, other in zip(streams, behind, strict=True)]
        streams = [s + gated(parts, b, settings, boundary) for s, b in zip(sums, both, strict=True)]
    result = []
    for frame, stream in zip(frames, streams, strict=True):
        output = upsampled(weights["decoder.weight"], stream, boundary, settings)
        output = output[(slice(None), *(slice(size) for size in frame.shape[1:]))]
        result.append(frame + output if settings.adds else output)
    return np.stack(result)


def through(weights, stack, settings, frames, boundary, steps):
    """The stream behind a stack of blocks, frame by frame."""
    states, previous, result = {}, frames[0], []
    for frame, dt in zip(frames, steps, strict=True):
        difference = np.zeros_like(frame) if np.isinf(dt) else frame - previous
        read = {"differences": [difference], "levels": [frame], "both": [difference, frame]}[settings.reading]
        if settings.ahead == "gaps":
            seen = not np.isnan(frame).any()
            read = [frame if seen else np.zeros_like(frame), np.full_like(frame[:1], seen)]
        stream = convolve(
            weights["encoder.weight"], np.concatenate(read), boundary, settings.patch, settings.patch_taps
        )
        for n in range(settings.layers):
            prefix = f"{stack}.{n}."
            w = {name.removeprefix(prefix): a for name, a in weights.items() if name.startswith(prefix)}
            state = states.get(n, np.zeros((len(w["mixer.B"]), *stream.shape[1:])))
            decay, diffusivity = (
                softplus(w["mixer.family.raw_decay"]) + MIN_DECAY,
                softplus(w["mixer.family.raw_diffusivity"]),
            )
            time = np.full(len(decay), 1.0 if np.isinf(dt) else dt)
            if np.isinf(dt):  # as a sequence begins
                state = np.zeros_like(state)
            state = reference.propagate(state, boundary, decay=decay, diffusivity=diffusivity, dt=time)
            states[n] = state + mix((1 - np.exp(-decay * time))[:, None] * w["mixer.B"], stream)
            y = mix(w["mixer.C"], states[n]) + w["mixer.D"].reshape(-1, *[1] * len(boundary)) * stream
            normal = y
            if settings.norm:
                normal = y / np.sqrt(np.mean(y**2, axis=0) + 1e-5) * w["norm.gain"].reshape(-1, *[1] * len(boundary))
            stream = stream + y + gated(w, normal, settings, boundary)
        result.append(stream)
        previous = frame
    return np.stack(result)


def gated(w, x, settings, boundary):
    if settings.gate_taps == 3:
        value, gate = (convolve(w[f"{name}.weight"], x, boundary) for name in ("value", "gate"))
    else:
        value, gate = mix(w["value"], x), mix(w["gate"], x)
    return mix(w["output"], value / (1 + np.exp(-gate)))


def softplus(raw):
    return np.log1p(np.exp(raw))


def mix(matrix, field):
    return np.tensordot(matrix, field, axes=1)


def convolve(weight, field, boundary, patch=1, taps=3):
    """Sums shifted copies of the padded field, tap by tap; one output voxel for each patch."""
    padded, counts, beside = field, [], patch * (taps // 2)
    for axis, name in enumerate(boundary, start=1):
        size = field.shape[axis]
        counts.append(-(-size // patch))
        width = [(beside, patch * counts[-1] + beside - size) if a == axis else (0, 0) for a in range(field.ndim)]
        padded = np.pad(padded, width, mode="wrap" if name == "periodic" else "symmetric")
    result = np.zeros((weight.shape[0], *counts))
    for tap in np.ndindex(*weight.shape[2:]):
        window = tuple(slice(t, t + patch * n, patch) for t, n in zip(tap, counts, strict=True))
        result += mix(weight[(slice(None), slice(None), *tap)], padded[(slice(None), *window)])
    return result


def upsampled(weight, stream, boundary, settings):
    """The decoder: one voxel of a patch after the other."""
    patch, axes = settings.patch, len(boundary)
    if settings.upsampling == "resize":
        for axis in range(1, 1 + axes):
            stream = np.repeat(stream, patch, axis)
        return convolve(weight, stream, boundary)
    many = convolve(weight, stream, boundary, taps=settings.patch_taps)
    result = np.zeros((len(many) // patch**axes, *(patch * n for n in stream.shape[1:])))
    for channel in range(len(result)):
        for number, place in enumerate(np.ndindex(*[patch] * axes)):
            voxels = tuple(slice(offset, None, patch) for offset in place)
            result[(channel, *voxels)] = many[channel * patch**axes + number]
    return result
