"""An archive that wants long windows: a field that remembers hundreds of frames, seen through noise. For the recipe
long_window.

python -m tests.benchmarks.long_archive runs/long_window.npy
"""

import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ssm_ops import Propagator, scan

FRAMES, SIDE = 5120, 64
DECAY, DIFFUSIVITY = 1 / 300, 0.02
BOUNDARY = ("reflect", "reflect")


def frames_of(frames: int = FRAMES, side: int = SIDE, seed: int = 0) -> Float[np.ndarray, "time height width"]:
    """A field f_t = A f_{t-1} + white noise, A decay over 300 frames and diffusion, scaled to a deviation of 1 over
    the whole; and white noise of the same size added to each voxel of each frame. It begins as if it had always run.

    What can be known of the next frame is its field, and of that the more, the longer the past that was averaged: wide
    patterns over hundreds of frames, narrow ones, which diffuse away, over few.
    """
    draw = torch.Generator().manual_seed(seed)
    before = round(3 / DECAY)
    noise = torch.randn(before + frames, 1, side, side, generator=draw)
    field = scan(noise, Propagator(DECAY, DIFFUSIVITY), boundary=BOUNDARY)[0][before:, 0]
    return (field / field.std() + torch.randn(frames, side, side, generator=draw)).numpy()


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, frames_of())
    print(f"{path}: {FRAMES} frames of {SIDE} x {SIDE}")


if __name__ == "__main__":
    main()
