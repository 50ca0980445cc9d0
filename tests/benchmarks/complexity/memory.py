"""What it costs a step that memory goes back to the system and is taken anew, which glibc does with large arrays.

Pages that come from the system are cleared first, at the first touch of each. Arrays are large enough for that from
some size on only, and so time seems to grow faster than the sums do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

import torch

from tests.benchmarks.complexity.contenders import BOUNDARIES, CHANNELS, Contender, contenders
from tests.benchmarks.complexity.measure import FRAMES, SIDE, STEPPED, TRAINED, in_turns, steps

KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""With these in its environment a process keeps all memory that it ever took."""

CASES = (
    ("convs5", "training", "frames", (64, 1024)),
    ("gss", "training", "frames", (128, 1024)),
    ("frame-convolution", "training", "voxels", (64**2, 256**2)),
    ("s4", "a frame", "voxels", (64**2, 256**2)),
    ("hyena, span 16", "a frame", "voxels", (64**2, 256**2)),
)
"""Contender, what of it, what grows, and two sizes; on images."""

ROUNDS = 2
"""Processes of each kind, in turns."""


def both_ways() -> dict[str, list[dict]]:
    """Of each case the seconds at both sizes, in processes that keep their memory and in ones that do not: medians."""
    runs: dict[str, list[list[dict]]] = {"kept": [], "given back": []}
    for _ in range(ROUNDS):
        for way, own in runs.items():
            environment = {name: value for name, value in os.environ.items() if name not in KEPT}
            if way == "kept":
                environment |= KEPT
            command = [sys.executable, "-m", "tests.benchmarks.complexity.memory"]
            told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
            own.append(json.loads(told.stdout))
    return {way: [middle(case) for case in zip(*own, strict=True)] for way, own in runs.items()}


def middle(case: tuple[dict, ...]) -> dict:
    """One case of several runs, with the medians of its seconds."""
    sizes = zip(*(run["seconds"] for run in case), strict=True)
    return case[0] | {"seconds": [statistics.median(taken) for taken in sizes]}


def here() -> list[dict]:
    """Of each case the seconds at both sizes, in this process."""
    named = {contender.name: contender for contender in contenders()}
    return [
        {
            "what": f"{name}, {what}",
            "grows": grows,
            "sizes": sizes,
            "seconds": [seconds(named[name], what, grows, size) for size in sizes],
        }
        for name, what, grows, sizes in CASES
    ]


def seconds(contender: Contender, what: str, grows: str, size: int) -> float:
    """Of a training step or of a frame at one size, as the sweeps measure them."""
    frames = size if grows == "frames" else FRAMES
    side = SIDE["frames"][2] if grows == "frames" else round(size**0.5)
    x = torch.randn(frames, CHANNELS, side, side, requires_grad=True)
    train, infer = steps(contender.make(2, frames), x, BOUNDARIES[2])
    call, rounds = (train, TRAINED) if what == "training" else (infer, STEPPED)
    return in_turns({size: call}, rounds)[size]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(here()))
