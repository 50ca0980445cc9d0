"""What theory says of each contender: how its costs grow, as exponents with the reason in a word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.complexity.contenders import Contender


@dataclass(frozen=True)
class Growth:
    """A cost that grows as some power, or as this times a logarithm; `told` is how the page writes it.

    Attributes:
        exponent: Of the power.
        told: In symbols.
        logarithm: Whether a logarithm multiplies it.
    """

    exponent: float
    told: str
    logarithm: bool = False

    def at(self, sizes: np.ndarray) -> np.ndarray:
        """What it is at these sizes, up to a factor."""
        return sizes**self.exponent * (np.log(sizes) if self.logarithm else 1.0)


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
            return Growth(1.0, "T log T", logarithm=True)
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
    return Growth(1.0, "N log N", logarithm=True) if _transforms(contender) else linear


def _taps(contender: Contender, axes: int, quantity: str) -> Growth:
    if contender.mixer == "convssm":
        return CONSTANT
    return Growth(float(axes), f"K^{axes}") if quantity in ("train_seconds", "step_seconds") else CONSTANT


def reason(contender: Contender, axes: int, what: str, quantity: str) -> str | None:
    """Why a quantity does not grow as `of` says at the sizes that are measured, where it is known and is not that
    something else costs, too."""
    if contender.mixer == "mamba" and quantity == "train_bytes":
        return "states of 16 MB are held; where there are more, pieces of a run make theirs again in the backward pass"
    if contender.mixer in ("attention", "encoder-decoder"):
        if what == "voxels" and quantity == "train_bytes":
            return (
                "frames of 8 x 8 go into one call, with a mask of 4 MB; from 16 x 16 on each is a call without a mask"
            )
        if what == "frames" and quantity == "train_seconds" and not contender.all_frames:
            frames, span = (16, 32, 64), 16
            seen = [sum(min(frame + 1, span) for frame in range(every)) for every in frames]
            return (
                f"the first {span} frames have fewer before them than the span: {', '.join(map(str, frames))} frames "
                f"look at {', '.join(map(str, seen))}, which grows as T^{_slope(frames, seen):.2f}"
            )
    if _transforms(contender) and axes == 3 and what == "voxels" and quantity == "step_seconds":
        return (
            "channels share vector lanes where that fills them: 8 channels are 2 or 4 walks up to 12 x 12 x 12 voxels "
            "and 8 from 16 x 16 x 16 on; what a walk costs on top of its sums does not grow"
        )
    if what == "taps" and quantity == "train_bytes":
        return f"the border: frames are continued by K - 1, 16^{axes} voxels become 24^{axes} with 9 taps"
    return None


def _transforms(contender: Contender) -> bool:
    """Whether it is a ConvSSM that scans in frequency space."""
    return contender.mixer == "convssm" and dict(contender.choices).get("transition") != "pointwise"


def _slope(sizes: tuple[int, ...], values: list[int]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
