"""What the scaling model is asked about: archives, and clusters to scan them on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cluster.cost import Hop
from cluster.layout import Layout, in_time
from pipeline.filter import SHARDS_HELD
from ssm_ops import Propagator
from ssm_ops.classes import Classes
from tests.benchmarks.scaling_constants import ASSUMED, Measured
from tests.benchmarks.simulated_owner import Load, Machine

WAVES = 6
"""Shards of each worker: the archive grows with the cluster."""
MOST_FRAMES = 1024
TOLERANCE = 1e-3
DECAY, DIFFUSIVITY = 0.05, 2.0
"""Of the filter whose frequencies are divided into classes."""


@dataclass(frozen=True)
class Archive:
    """Frames of one strand; its shards are as long as a worker's memory allows, `MOST_FRAMES` at most."""

    name: str
    channels: int
    grid: tuple[int, ...]
    boundary: tuple[str, ...]

    @property
    def frame(self) -> int:
        return 4 * self.channels * math.prod(self.grid)

    @property
    def frames(self) -> int:
        """Of a shard."""
        return max(1, min(MOST_FRAMES, int(ASSUMED["host memory of a worker"].value / SHARDS_HELD / self.frame)))

    def load(self, tolerance: float) -> Load:
        transition = Propagator(DECAY, DIFFUSIVITY)
        basis = transition.basis(self.grid, self.boundary, 1)
        classes = Classes(transition, basis, 1, tolerance)
        number = basis.spectrum_dtype(torch.float32).itemsize * self.channels
        forgets = tolerance > 0 and classes.counts(self.frames)["far"] == 0
        state = number * math.prod(basis.spectrum_shape)
        return Load(self.frame * self.frames, state, number * classes.sent, forgets)

    def layout(self, workers: int) -> Layout:
        return in_time([WAVES * workers], workers)


ARCHIVES = (
    Archive("images 64 x 64, 16 channels", 16, (64, 64), ("periodic",) * 2),
    Archive("climate 721 x 1440, 20 channels", 20, (721, 1440), ("reflect", "periodic")),
    Archive("volumes 64^3, 256 channels", 256, (64, 64, 64), ("periodic",) * 3),
    Archive("volumes 128^3, 256 channels", 256, (128, 128, 128), ("periodic",) * 3),
)


def clusters(measured: Measured) -> dict[str, Machine]:
    """Clusters of GPUs. Carries are composed in host memory and sent by Ray, as the code does today, both as measured;
    or on the GPU, and sent from there."""
    value = {name: assumed.value for name, assumed in ASSUMED.items()}
    memory = value["memory of a GPU"] * value["share of it that a scan reaches"]
    bus, scan = value["host to GPU, each way"], value["times that a scan moves each frame"] / memory
    here = next(iter(measured.scanned.values()))
    common = {
        "through": 1 / (2 / bus + scan),
        "keep": 1 / (1 / bus + scan * here.through / here.keep),
        "finish": 1 / (1 / bus + scan * here.through / here.finish),
        "read": value["Zarr, a worker reading"],
        "write": value["Zarr, a worker writing"],
    }
    by_ray = Machine(**common, compose=measured.compose, place=bus, hop=measured.message, submit=measured.submit)
    direct = Machine(
        **common, compose=memory / 4, place=memory, hop=Hop(value["a direct message"], value["InfiniBand"])
    )
    return {"Ray": by_ray, "InfiniBand": direct}


def message(machine: Machine) -> Hop:
    """What the cost model is told: all that lies between a carry that enters and the next worker's."""
    pace = 1 / machine.hop.rate + 1 / machine.submit.rate + 1 / machine.compose
    return Hop(machine.hop.seconds + machine.submit.seconds, 1 / pace)


def alone(load: Load, machine: Machine) -> float:
    """Seconds of one worker for its share."""
    return simulate(in_time([WAVES], 1), "chain", load, machine).seconds


def work(load: Load, machine: Machine) -> float:
    """Seconds of a shard on one worker, without any exchange: the slowest of what goes on side by side."""
    rates = machine.read, machine.write, 1 / (1 / machine.keep + 1 / machine.finish)
    return load.frames / min(rates)
