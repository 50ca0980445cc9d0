"""What fits a memory: how long windows are, whether their backward pass is recomputed, how coarse frames are."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIXED, OF_CHANNEL, OF_STATE, OF_NEIGHBOURS = 60.0, 20.0, 4.0, 1.25
"""Fields (one number a voxel) that a step of training holds for each frame of a window: these, and for each layer so
many for each channel and each state, more where gates see the neighbours. Above what was measured for eight models of 1
to 16 channels, 6 to 32 states and 1 to 2 layers, on 32 frames of 96 x 96, by 5 to 35 per cent."""

RECOMPUTED = 8.0
"""Fields for each frame of a window whose chunks are recomputed, beside those of one chunk, for each channel of the
data (pipeline/DESIGN.md measured 5.5)."""

STEP_NUMBERS = 4.5e8
"""Numbers that a step goes through, fields of all frames of a window: some seconds of a CPU."""

SHORTEST = 8
"""Frames of a window, where the data have as many: with fewer no memory can be learned."""

CHUNKS = (32, 16, 8, 4, 2)


@dataclass(frozen=True)
class Means:
    """What a recipe may count on.

    Attributes:
        memory: Bytes that a step of training may take.
        images: Whether scikit-image is installed, which SSIM wants.
    """

    memory: float = 4e9
    images: bool = True


@dataclass(frozen=True)
class Size:
    """A model's size.

    Attributes:
        channels, states, layers: See `ModelSettings`.
        neighbours: Whether gates see the neighbours of a voxel.
        both_ways: Whether there is a second stack of layers, from the last frame to the first.
    """

    channels: int
    states: int
    layers: int
    neighbours: bool = False
    both_ways: bool = False

    @property
    def fields(self) -> float:
        """Fields that a step holds for each frame."""
        each = (OF_CHANNEL * self.channels + OF_STATE * self.states) * (OF_NEIGHBOURS if self.neighbours else 1.0)
        return FIXED + self.layers * each * (2 if self.both_ways else 1)


@dataclass(frozen=True)
class Fit:
    """What fits.

    Attributes:
        window: Frames of a window.
        recompute: Frames of a chunk that the backward pass computes again; `None` where all is held.
        coarsen: Voxels along height and width (and depth, where it has more than 8) that become one.
        bytes: What a step of training then takes.
        voxels: Of a frame that is learned from.
    """

    window: int
    recompute: int | None
    coarsen: tuple[int, int, int]
    bytes: float
    voxels: int


def fit(
    grid: tuple[int, int, int], channels: int, size: Size, *, wish: int, memory: float, closes: bool, least: int = 3
) -> Fit:
    """The longest window up to the one wished for, on the finest grid, whose step fits the memory.

    Args:
        grid: Voxels of (depth, height, width).
        channels: Of the data.
        size: Of the model.
        wish: Frames of a window.
        memory: Bytes that a step may take.
        closes: Whether longitudes go once around; then what the width is coarsened by divides it.
        least: A window may have as few frames as this.
    """
    shortest = min(wish, max(SHORTEST, least))
    for factor in range(1, max(grid) + 1):
        coarse = _factors(grid, factor, closes)
        voxels = math.prod(max(1, n // f) for n, f in zip(grid, coarse, strict=True))
        window = wish
        while window * voxels * size.fields > STEP_NUMBERS and window > shortest:
            window = max(shortest, window // 2)
        found = _held(window, voxels, channels, size, memory, shortest)
        if found is not None and (window * voxels * size.fields <= STEP_NUMBERS or factor > 16):
            return Fit(found[0], found[1], coarse, found[2], voxels)
    return Fit(shortest, None, coarse, shortest * voxels * size.fields * 4, voxels)


def _held(
    window: int, voxels: int, channels: int, size: Size, memory: float, shortest: int
) -> tuple[int, int | None, float] | None:
    """Window, chunk and bytes that fit the memory; `None` where none does."""
    while True:
        whole = 4.0 * window * voxels * size.fields
        if whole <= memory:
            return window, None, whole
        for chunk in CHUNKS:
            taken = 4.0 * voxels * (window * RECOMPUTED * channels + chunk * size.fields)
            if chunk < window and taken <= memory and not size.both_ways:
                return window, chunk, taken
        if window <= shortest:
            return None
        window = max(shortest, window // 2)


def _factors(grid: tuple[int, int, int], factor: int, closes: bool) -> tuple[int, int, int]:
    """What each axis is coarsened by: at least this, where it is long enough; of one that closes a divisor."""
    depth, height, width = grid
    around = factor
    while closes and width % around:
        around += 1
    return (
        min(factor, depth // 4) if depth > 8 else 1,
        min(factor, max(1, height // 4)),
        min(around, width) if closes else min(factor, max(1, width // 4)),
    )
