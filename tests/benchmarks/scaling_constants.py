"""The numbers that the scaling model stands on: measured here, or assumed, each with where it comes from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import ray
import torch

from cluster.cost import Hop
from cluster.ray_executor import RayGroup
from ssm_ops import Propagator
from ssm_ops.stitch import Stitching

TRIALS = 5


@dataclass(frozen=True)
class Assumed:
    """A number that this machine cannot tell."""

    value: float
    unit: str
    source: str


ASSUMED = {
    "memory of a GPU": Assumed(3.0e12, "B/s", "NVIDIA DGX H100: 24 TB/s of HBM3 for 8 GPUs"),
    "share of it that a scan reaches": Assumed(0.5, "", "our guess"),
    "times that a scan moves each frame": Assumed(8, "", "our count: two transforms of two passes, the recurrence"),
    "host to GPU, each way": Assumed(64e9, "B/s", "PCI Express 5.0, 16 lanes: 128 GB/s both ways"),
    "Zarr, a worker reading": Assumed(5e9, "B/s", "NVIDIA DGX SuperPOD: 40 GB/s a node of 8 GPUs from the file system"),
    "Zarr, a worker writing": Assumed(5e9, "B/s", "our guess: as reading; 14 cores of 0.37 GB/s each (zarrs here)"),
    "Zarr, all workers": Assumed(500e9, "B/s", "our guess of a large parallel file system, reads and writes together"),
    "host memory of a worker": Assumed(80e9, "B", "our guess; nine shards must fit, see `pipeline.filter.SHARDS_HELD`"),
    "a direct message": Assumed(1e-4, "s", "our guess: Python at both ends; the wire takes microseconds"),
    "NVLink": Assumed(450e9, "B/s", "NVIDIA H100: 900 GB/s both ways; within a node of 8"),
    "InfiniBand": Assumed(50e9, "B/s", "NVIDIA DGX H100: a 400 Gb/s ConnectX-7 a GPU"),
    "Ethernet": Assumed(1.56e9, "B/s", "100 Gb/s a node of 8 GPUs"),
}


@dataclass(frozen=True)
class Scanned:
    """Bytes of frames a second, on one thread: in one pass, and in each of two halves."""

    through: float
    keep: float
    finish: float


@dataclass(frozen=True)
class Measured:
    """What this machine told.

    Attributes:
        scanned: For each number of channels of a strand.
        compose: Bytes of a state a second: the carry that leaves, from the one that enters.
        copy: Bytes a second in memory.
        hop: A message from actor to actor and its answer.
        submit: What of it the sender is busy with.
    """

    scanned: dict[int, Scanned]
    compose: float
    copy: float
    hop: Hop
    submit: Hop

    @property
    def message(self) -> Hop:
        """What of a message is left when its sender has done its part."""
        slower = 1 / self.hop.rate - 1 / self.submit.rate
        return Hop(max(self.hop.seconds - self.submit.seconds, 0.0), 1 / max(slower, 1e-15))


def fastest(call: Callable[[], object], trials: int = TRIALS) -> float:
    """Seconds of the fastest of some calls, after one to warm up: others use this machine too."""
    times = []
    for _ in range(trials + 1):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def scanned(frames: int, channels: int, grid: tuple[int, ...], width: int) -> Scanned:
    """A strand of `width` of the channels of a shard; on one thread, as a worker of one slot has it."""
    noise = np.random.default_rng(0)
    x = torch.from_numpy(noise.standard_normal((frames, channels, *grid), np.float32))[:, :width]
    stitching = Stitching(Propagator(0.1, 0.2, (0.0, 0.5)), ("periodic",) * len(grid))
    carry = stitching.shard(x).through(None)[1]
    kept = []

    def keep() -> None:
        shard = stitching.shard(x)
        shard.keep()
        kept.append(shard)

    def finish() -> None:
        kept.pop().finish(carry)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        size = x.numel() * 4
        one, both = [], ([], [])
        for _ in range(TRIALS):
            one.append(fastest(lambda: stitching.shard(x).through(carry), 1))
            for times, half in zip(both, (keep, finish), strict=True):
                begun = time.perf_counter()
                half()
                times.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(threads)
    return Scanned(size / min(one), size / min(both[0]), size / min(both[1]))


def composed(size: int = 2**25) -> tuple[float, float]:
    """Bytes a second of a state that a summary is applied to, and of one that is copied."""
    noise = np.random.default_rng(0)
    power, carry, offset = (noise.standard_normal(size // 4, np.float32).view(np.complex64) for _ in range(3))
    return size / fastest(lambda: power * carry + offset), size / fastest(partial(np.array, carry))


@ray.remote
class Sender:
    """Times what a sender is busy with."""

    def receive(self, value: np.ndarray) -> None:
        del value

    def submit(self, peer, size: int) -> Hop:
        """Of a message of few bytes, and of `size` more."""
        times = []
        for count in (8, size):
            value, one = np.zeros(count, np.uint8), []
            for _ in range(TRIALS + 1):
                begun = time.perf_counter()
                answer = peer.receive.remote(value)
                one.append(time.perf_counter() - begun)
                ray.get(answer)
            times.append(min(one[1:]))
        return Hop(times[0], size / max(times[1] - times[0], 1e-9))


def measure(group: RayGroup, *, frames: int, channels: int, grid: tuple[int, ...], widths: tuple[int, ...]) -> Measured:
    """Everything, in a few seconds; the group's workers must be idle."""
    size = 2**22
    one, other = (Sender.options(num_cpus=0).remote() for _ in range(2))
    submit = _quietest(ray.get([one.submit.remote(other, size) for _ in range(TRIALS)]), size)
    for actor in (one, other):
        ray.kill(actor)
    hop = _quietest([group.hop(size) for _ in range(TRIALS)], size)
    submit = Hop(min(submit.seconds, hop.seconds), max(submit.rate, hop.rate))
    rates = {width: scanned(frames, channels, grid, width) for width in widths}
    return Measured(rates, *composed(), hop, submit)


def _quietest(hops: list[Hop], size: int) -> Hop:
    """Of several measurements: others use this machine too."""
    seconds, whole = min(hop.seconds for hop in hops), min(hop.time(size) for hop in hops)
    return Hop(seconds, size / max(whole - seconds, 1e-9))
