"""What theory says of each contender: how its costs grow, as exponents with the reason in a word."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.complexity.contenders import Contender


@dataclass(frozen=True)
class Growth:
    """A cost that grows as some power; `told` is how the page writes it.

    Attributes:
        exponent: Of the power; logarithms count as nothing.
        told: In symbols.
    """

    exponent: float
    told: str


CONSTANT = Growth(0.0, "1")


def of(contender: Contender, axes: int, what: str, quantity: str) -> Growth:
    """How a quantity of `measure.measured` grows with frames (T), voxels (N) or taps (K)."""
    if what == "taps":
        return _taps(contender, axes, quantity)
    return _frames(contender, quantity) if what == "frames" else _voxels(contender, axes, quantity)


def _frames(contender: Contender, quantity: str) -> Growth:
    name, every = contender.mixer, contender.all_frames
    linear = Growth(1.0, "T")
    if quantity in ("step_seconds", "carry_bytes"):
        return linear if every else CONSTANT
    if quantity == "train_seconds":
        if every and name in ("attention", "encoder-decoder"):
            return Growth(2.0, "T²")
        if name in ("s4", "hyena") and (every or name == "s4"):
            return Growth(1.0, "T log T")
    return linear


def _voxels(contender: Contender, axes: int, quantity: str) -> Growth:
    name, linear = contender.mixer, Growth(1.0, "N")
    if quantity == "carry_bytes":
        return CONSTANT if name in ("frame-convolution", "linear-attention") else linear
    if quantity == "train_bytes":
        return linear
    if name in ("attention", "encoder-decoder"):
        return Growth(2.0, "N²")
    if name == "s4nd":
        return Growth(1 + 1 / axes, f"N^(1 + 1/{axes})")
    pointwise = dict(contender.choices).get("transition") == "pointwise"
    return Growth(1.0, "N log N") if name == "convssm" and not pointwise else linear


def _taps(contender: Contender, axes: int, quantity: str) -> Growth:
    if contender.mixer == "convssm":
        return CONSTANT
    return Growth(float(axes), f"K^{axes}") if quantity in ("train_seconds", "step_seconds") else CONSTANT
