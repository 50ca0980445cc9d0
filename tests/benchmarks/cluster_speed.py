"""How fast and how small the scan over workers is: equality first, then ratios of medians, taking turns in one run.

Run by `make bench`. Prints a line a comparison and writes results/cluster.json and the table of docs/cluster.md.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from cluster import Done, Layout, Tally, in_time
from cluster.cost import moved
from cluster.ray_executor import RayExecutor
from pipeline.filter import Sequence4D
from pipeline.volume import cut
from ssm_ops import Propagator
from tests.benchmarks.in_memory import InMemory
from tests.benchmarks.scan_speed import row

HERE = Path(__file__).parent
ROUNDS = 7
CHANNELS, GRID, SHARD, SHARDS = 16, (64, 64), 256, 12


def volume(parts: int) -> Sequence4D:
    """A volume of 12 shards of 67 MB."""
    width = CHANNELS // parts
    return Sequence4D(
        source=Path(),
        output=Path(),
        shape=(SHARD * SHARDS, CHANNELS, 1, *GRID),
        boundary=("periodic", "periodic"),
        transition=Propagator(0.1, 0.2, (0.0, 0.5)),
        steps=None,
        shards=cut(SHARD * SHARDS, SHARD, 1),
        parts=[slice(c, c + width) for c in range(0, CHANNELS, width)],
        dtype="float32",
        tolerance=0.0,
        threads=1,
    )


def by_channels(lengths: list[int], workers: int) -> Layout:
    plan = in_time(lengths, 1)
    return dataclasses.replace(plan, teams=tuple((n * workers // len(lengths),) for n in range(len(lengths))))


def timed(group, layout: Layout) -> tuple[float, list[Tally]]:
    begun, tallies = time.perf_counter(), []
    for event in group.walk(layout, "chain"):
        if isinstance(event, Tally):
            tallies.append(event)
        else:
            assert isinstance(event, Done)
    return time.perf_counter() - begun, tallies


def stitched(parts: int, limits: dict[str, float]) -> list[dict]:
    """Two workers of one thread each against one, time cut and channels cut."""
    sequence = volume(parts)
    lengths = [SHARDS] * parts
    layouts = {"one": in_time(lengths, 1), "time": in_time(lengths, 2)}
    if parts > 1:
        layouts["channels"] = by_channels(lengths, 2)
    times: dict[str, list[float]] = {name: [] for name in layouts}
    stitching, executor = [], RayExecutor(workers=2)
    with executor.group(partial(InMemory, sequence), threads=1, most=2) as group:
        for turn in range(ROUNDS + 1):
            last = {}
            for name, layout in layouts.items():
                seconds, tallies = timed(group, layout)
                last[name] = {place: frame for tally in tallies for place, frame in tally.report[1].items()}
                if turn > 0:
                    times[name].append(seconds)
                if name == "time":
                    assert sum(tally.sent_bytes for tally in tallies) == moved(layout, "chain", [states(sequence)])
                    stitching.append(max(tally.waited / tally.seconds for tally in tallies))
            for name in layouts:
                for place, frame in last["one"].items():
                    error = np.abs(last[name][place] - frame).max() / np.abs(frame).max()
                    assert error < 1e-5, f"{name}: the last frame of {place} is off by {error:.1e}"
    executor.close()
    medians = {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}
    milliseconds = {name: 1e3 * seconds for name, seconds in medians.items()}
    case = f"{SHARDS} shards of 67 MB, {parts} part{'s' * (parts > 1)}"
    rows = [
        row(case, f"one worker's time / two's, {name} cut", -medians["one"] / medians[name], -limit, milliseconds)
        for name, limit in limits.items()
    ]
    waiting = sorted(stitching)[len(stitching) // 2]
    return [*rows, row(case, "share of waiting for carries", waiting, 0.1)]


def states(sequence: Sequence4D) -> int:
    return sequence.classes(sequence.parts[0]).sent * 8


def write_store(path: Path, frames: int, channels: int, side: int, codec: str) -> None:
    """A store of smooth fields and noise, chunks of 4 MB, written piece by piece."""
    noise = np.random.default_rng(0)
    wave = np.sin(np.arange(side) / 7)[:, None] * np.cos(np.arange(side) / 11)
    chunk = max(1, 2**22 // (4 * channels * side**2))
    compressor = {"zstd": BloscCodec(cname="zstd", clevel=1), "lz4": BloscCodec(cname="lz4"), "none": None}[codec]
    array = zarr.create_array(
        path / "data",
        shape=(frames, channels, 1, side, side),
        chunks=(chunk, channels, 1, side, side),
        dtype="float32",
        compressors=compressor,
        dimension_names=("time", "channel", "depth", "height", "width"),
    )
    zarr.open_group(path, mode="a")
    for start in range(0, frames, 64):
        count = min(64, frames - start)
        fields = noise.standard_normal((count, channels, 1, side, side), np.float32)
        array[start : start + count] = np.round(fields + 10 * wave, 2)


def once(who: str, source: Path, output: Path, *rest: str) -> tuple[float, float]:
    """Seconds and peak bytes of one scan in a fresh process."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "tests.benchmarks.filter_once", who, source, output, *rest]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


def main() -> None:
    rows = [*stitched(4, {"time": 1.6, "channels": 1.85}), *stitched(1, {"time": 1.0})]
    for one in rows:
        print(one["case"], one["ratio"], one["value"])


if __name__ == "__main__":
    main()
