"""The whole forecaster once more, slow and obvious: numpy, float64, one frame after the other, no FFT, no chunks."""

from __future__ import annotations

import numpy as np

from ssm_ops import reference
from ssm_ops.learned import MIN_DECAY


def forecasts(
    weights: dict[str, np.ndarray],
    frames: np.ndarray,
    boundary: tuple[str, ...],
    layers: int,
    *,
    reads: str = "differences",
) -> np.ndarray:
    """Forecasts of frames (time, channel, *grid), from named weights as a checkpoint holds them."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    states = [np.zeros((len(weights[f"blocks.{n}.ssm.B"]), *frames.shape[2:])) for n in range(layers)]
    previous, result = frames[0].astype(np.float64), []
    for frame in frames.astype(np.float64):
        base = frame if reads == "differences" else 0
        stream = convolve(weights["encoder.weight"], frame - previous if reads == "differences" else frame, boundary)
        for n in range(layers):
            w = {name.removeprefix(f"blocks.{n}."): a for name, a in weights.items() if name.startswith(f"blocks.{n}.")}
            decay = softplus(w["ssm.family.raw_decay"]) + MIN_DECAY
            offset = mix((1 - np.exp(-decay))[:, None] * w["ssm.B"], stream)
            states[n] = (
                reference.propagate(
                    states[n], boundary, decay=decay, diffusivity=softplus(w["ssm.family.raw_diffusivity"])
                )
                + offset
            )
            y = mix(w["ssm.C"], states[n]) + w["ssm.D"].reshape(-1, *[1] * len(boundary)) * stream
            gated = mix(w["value"], y) / (1 + np.exp(-mix(w["gate"], y)))
            stream = stream + y + mix(w["output"], gated)
        result.append(base + convolve(weights["decoder.weight"], stream, boundary))
        previous = frame
    return np.stack(result)


def softplus(raw):
    return np.log1p(np.exp(raw))


def mix(matrix, field):
    return np.tensordot(matrix, field, axes=1)


def convolve(weight, field, boundary):
    """Sums shifted copies of the padded field, tap by tap."""
    padded = field
    for axis, name in enumerate(boundary, start=1):
        width = [(1, 1) if a == axis else (0, 0) for a in range(field.ndim)]
        padded = np.pad(padded, width, mode="wrap" if name == "periodic" else "symmetric")
    result = np.zeros((weight.shape[0], *field.shape[1:]))
    for tap in np.ndindex(*weight.shape[2:]):
        window = tuple(slice(t, t + size) for t, size in zip(tap, field.shape[1:], strict=True))
        result += mix(weight[(slice(None), slice(None), *tap)], padded[(slice(None), *window)])
    return result
