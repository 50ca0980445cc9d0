"""Measures all mixers and writes docs/complexity.md, docs/complexity.png and results/complexity.json.

python -m tests.benchmarks.complexity
"""

import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

import torch

from ssm_ops import Kernel, kernel_power
from tests.benchmarks.complexity.contenders import contenders
from tests.benchmarks.complexity.measure import measured
from tests.benchmarks.complexity.memory import KEPT, both_ways
from tests.benchmarks.complexity.page import write
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parents[1] / "results" / "complexity.json"
LIMIT_SECONDS = 1800
"""For one mixer; a process that the system kills never answers."""
STEPS = (1, 2, 4, 8, 16, 32)
ROUNDS = 9


def kernel_growth(axes: int) -> dict[int, dict[str, float]]:
    """By steps k: the taps of A^k in pixel space, with the seconds that making it takes; and the numbers of a^k.
    Medians of rounds in turns."""
    taps = torch.full((1, *(3,) * axes), 1.0 / 3**axes)
    transition, shape = Kernel(taps), (16,) * axes
    grid = transition.basis(shape, ("periodic",) * axes, 1)
    found: dict[int, dict[str, float]] = {}
    seconds: dict[int, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS + 1):
        for steps in STEPS if axes == 2 else STEPS[:-1]:
            begun = time.perf_counter()
            power = kernel_power(taps, steps)
            between = time.perf_counter()
            spectrum = transition.power(grid, steps)
            seconds.setdefault(steps, []).append((between - begun, time.perf_counter() - between))
            found[steps] = {"pixel_taps": power.numel(), "spectral_numbers": spectrum.numel()}
    for steps, own in seconds.items():
        found[steps] |= {
            f"{space}_seconds": statistics.median(taken[which] for taken in own[1:])
            for which, space in enumerate(("pixel", "spectral"))
        }
    return found


def main() -> None:
    if any(os.environ.get(name) != value for name, value in KEPT.items()):
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name], os.environ | KEPT)
    torch.set_num_threads(1)
    found: dict = {"machine": machine(), "modes": {}, "sweeps": {}, "kernels": {}, "memory": both_ways()}
    alone = multiprocessing.get_context("fork")
    for axes in (2, 3):
        found["kernels"][str(axes)] = kernel_growth(axes)
        for contender in contenders():
            key = f"{contender.name}, {axes}-D"
            with alone.Pool(1) as process:  # what it takes of memory is not the next one's
                answer = process.apply_async(measured, (contender, axes))
                found["modes"][key], found["sweeps"][key] = answer.get(LIMIT_SECONDS)
            print(key, flush=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
