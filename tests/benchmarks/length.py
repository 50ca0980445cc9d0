"""How long a window can be: the peak memory of one training step at lengths from 16 to 2048 frames of 64 x 64.

Gradients are compared before anything is written. Writes docs/length.md, docs/length.png and results/length.json.

python -m tests.benchmarks.length
"""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.length_once import CHUNK, CONTENDERS, OTHER_CHUNK, SIDE, gradients, made, window
from tests.benchmarks.length_page import write
from tests.benchmarks.machine import machine

LENGTHS = tuple(2**power for power in range(4, 12))
LIMIT, SECONDS = 6e9, 90.0
"""Bytes of a process, and the seconds of one processor that it may take; beyond either a contender ends."""

REFUSED = ("allocate memory", "MemoryError", "bad_alloc")
"""How a process says that it got no more memory."""

RESULTS = Path(__file__).parent / "results" / "length.json"


def same_gradients() -> list[str]:
    """Asserts that what is held makes no difference to gradients, and tells by how much it does; on short windows."""
    pairs = [
        ("ours, chunks computed again", "ours, all held"),
        ("ConvLSTM, chunks computed again", "ConvLSTM, all held"),
        ("attention of 4 x 4 patches, scores held", "attention of 4 x 4 patches, fused"),
    ]
    told = []
    for pair in pairs:
        one, other = (small_gradient(name) for name in pair)
        off = apart(one, other)
        assert off < 1e-10, f"{pair[0]} and {pair[1]} differ by {off:.1e}"
        told.append(f"{pair[0]} against {pair[1]}, {3 * CHUNK + 5} frames of 12 x 12, float64: {off:.1e}")
    return told


def same_at_full_length(gradient: Path) -> str:
    """Asserts that other chunks give this gradient of the longest window, and tells how far it is off."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "gradient.pt"
        found = once("ours, other chunks computed again", LENGTHS[-1], other, seconds=10 * SECONDS)
        assert "ended" not in found, found
        off = apart(*(torch.load(path).double() for path in (other, gradient)))
    assert off < 1e-4, f"chunks of {CHUNK} and {OTHER_CHUNK} frames give gradients that differ by {off:.1e}"
    return (
        f"ours in chunks of {OTHER_CHUNK} against chunks of {CHUNK} frames, {LENGTHS[-1]} frames of {SIDE} x {SIDE}, "
        f"float32: {off:.1e}"
    )


def small_gradient(name: str) -> torch.Tensor:
    model, step = made(name, torch.float64)
    step(window(3 * CHUNK + 5, 12, torch.float64))
    return gradients(model)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The difference, relative to the second."""
    return ((one - other).norm() / other.norm()).item()


def once(name: str, frames: int, *kept: Path, seconds: float = SECONDS) -> dict:
    """What a step in a process of its own took, or under `ended` why there is none."""
    command = [sys.executable, "-m", "tests.benchmarks.length_once", name, str(frames), str(seconds), *map(str, kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode == -signal.SIGXCPU:
        return {"ended": "time"}
    if done.returncode and any(words in done.stderr for words in REFUSED):
        return {"ended": "memory"}
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ended = "memory" if found["peak"] > LIMIT else "time" if found["seconds"] > seconds else None
    return found if ended is None else found | {"ended": ended}


def measured(name: str, gradient: Path) -> dict[int, dict]:
    """Of each length what a step took, up to the first that passes a limit. The last gradient stays under a path."""
    found = {}
    for frames in LENGTHS:
        found[frames] = once(name, frames, gradient)
        print(f"{name:40s} {frames:5d} frames {found[frames]}", flush=True)
        if "ended" in found[frames]:
            break
    return found


def main() -> None:
    told, found = same_gradients(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CONTENDERS:
            gradient = Path(folder) / "gradient.pt"
            found[name] = measured(name, gradient)
            if name == "ours, chunks computed again":
                told.append(same_at_full_length(gradient))
    print(*told, sep="\n")
    results = {"machine": machine(), "bytes": LIMIT, "seconds": SECONDS, "gradients": told, "steps": found}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write(results)


if __name__ == "__main__":
    main()
