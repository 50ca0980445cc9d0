"""Sequences of two digits that bounce off the walls of a 64 x 64 frame.

After Srivastava, Mansimov, Salakhutdinov, "Unsupervised Learning of Video Representations using LSTMs" (2015), section
4.1: two digits at random places, each with a random direction and one speed, which bounce off the walls; where they
overlap the brighter one is seen. The speed is a tenth of the way that a digit can go along an axis, 3.6 voxels a frame.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

SIDE = 64
SPEED = 0.1
"""Of the way from one wall to the other, a frame."""


def sequences(
    digits: Float[np.ndarray, "digit side side"], count: int, frames: int, seed: int, *, first: int = 0, each: int = 2
) -> UInt8[np.ndarray, "sequence time 64 64"]:
    """So many sequences, 0 to 255. Sequence i depends on the digits, the seed and i alone, its frame t not on `frames`.

    Args:
        digits: Images, 0 to 1, to choose from.
        count: Sequences.
        frames: Of each.
        seed: Of all that is random.
        first: The number of the first sequence.
        each: Digits of a sequence.
    """
    side = digits.shape[-1]
    found = np.zeros((count, frames, SIDE, SIDE), np.uint8)
    for number, sequence in enumerate(found, start=first):
        random = np.random.default_rng([seed, number])
        for _ in range(each):
            image = np.round(255 * digits[random.integers(len(digits))]).astype(np.uint8)
            for frame, (y, x) in zip(sequence, path(random, frames, SIDE - side), strict=True):
                seen = frame[y : y + side, x : x + side]
                np.maximum(seen, image, out=seen)
    return found


def path(random: np.random.Generator, frames: int, room: int) -> Int[np.ndarray, "time 2"]:
    """The upper left corner of a digit in each frame, voxels.

    The mirror image of a straight line: what bounces between walls at 0 and 1 is where |((p + 1) mod 2) - 1| is, for a
    point p that goes on for ever.
    """
    angle, start = random.uniform(0, 2 * np.pi), random.uniform(0, 1, 2)
    along = start + SPEED * np.arange(frames)[:, None] * np.array([np.sin(angle), np.cos(angle)])
    return np.floor(np.abs((along + 1) % 2 - 1) * room).astype(int)
