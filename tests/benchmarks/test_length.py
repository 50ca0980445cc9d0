"""What a training step holds of a long window, as the stage `train` takes it."""

import json
import subprocess
import sys

import pytest
import torch

from tests.benchmarks.length import apart, once

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GROWTH = """
import torch
from tests.benchmarks.length_once import made, window
from tests.benchmarks.peak_memory import peak

torch.set_num_threads(1)
grown = {}
for name in ("ours, chunks computed again", "ours, all held"):
    _, step = made(name)
    for _ in range(3):  # an allocator has then what it wastes
        step(window(64, 24))
    before = peak()
    step(window(192, 24))
    grown[name] = (peak() - before) / (128 * 24 * 24 * 4)
print(*grown.values())
"""


@pytest.mark.slow
@LINUX
def test_peak_memory_of_a_step_for_each_further_frame():
    """In fields. With `recompute` the window, its differences and a share of a carry, and what an allocator wastes, up
    to a quarter of a chunk; without, 16 channels and 32 states over and over."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    recomputed, held = map(float, done.stdout.split())
    print(f"fields for each further frame: {recomputed:.1f} with recompute, {held:.1f} without")
    assert held > 400
    assert recomputed < held / 5


@LINUX
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_2048_frames_of_64_x_64_in_less_than_6_gb_with_exact_gradients(tmp_path):
    """Cut otherwise, the gradient is the same to float32's round-off; that it is the whole one is compared in float64
    where all can be held (tests/pipeline/test_through_time.py)."""
    names = ("ours, chunks computed again", "ours, other chunks computed again")
    for number, name in enumerate(names):
        found = once(name, 2048, tmp_path / str(number), seconds=1500)
        print(name, json.dumps(found))
        assert "ended" not in found, "it ended for want of memory or time"
        assert found["peak"] < 6e9
    assert apart(*(torch.load(tmp_path / str(number)).double() for number in range(2))) < 1e-4
