"""How fast and how small the scan over workers is: equality first, then ratios of medians, taking turns in one run.

Run by `make bench`. Prints a line a comparison and writes results/cluster.json and the table of docs/cluster.md.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import zarr
from zarr.codecs import BloscCodec

from cluster import Layout, LocalExecutor, Tally, in_time
from cluster.cost import moved
from cluster.ray_executor import RayExecutor
from pipeline.filter import FilterJob, FilterSettings, FilterWorker, Sequence4D
from pipeline.storage import store
from pipeline.stream import all_done
from pipeline.volume import cut
from ssm_ops import Propagator, scan
from ssm_ops.stitch import Stitching
from tests.benchmarks.filter_once import Silent
from tests.benchmarks.in_memory import InMemory, Left
from tests.benchmarks.scan_speed import medians, publish, row
from workflows.commands.filtering import run_filter

HERE = Path(__file__).parent
ROUNDS = 7
CHANNELS, GRID, SHARD, SHARDS = 16, (64, 64), 1024, 16


def volume(parts: int, shard: int = SHARD) -> Sequence4D:
    """A volume of 16 shards; of 1024 frames they have 268 MB."""
    width = CHANNELS // parts
    return Sequence4D(
        source=Path(),
        output=Path(),
        shape=(shard * SHARDS, CHANNELS, 1, *GRID),
        boundary=("periodic", "periodic"),
        transition=Propagator(0.1, 0.2, (0.0, 0.5)),
        steps=None,
        shards=cut(shard * SHARDS, shard, 1),
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
    return time.perf_counter() - begun, tallies


def stitched(parts: int, shard: int, limits: dict[str, float]) -> list[dict]:
    """Two workers of one thread each against one, time cut and channels cut; the carries cost the difference."""
    sequence = volume(parts, shard)
    lengths = [SHARDS] * parts
    layouts = {"one": in_time(lengths, 1), "time": in_time(lengths, 2)}
    if parts > 1:
        layouts["channels"] = by_channels(lengths, 2)
    times: dict[str, list[float]] = {name: [] for name in layouts}
    executor = RayExecutor(workers=2)
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
            for name in layouts:
                for place, frame in last["one"].items():
                    error = np.abs(last[name][place] - frame).max() / np.abs(frame).max()
                    assert error < 1e-5, f"{name}: the last frame of {place} is off by {error:.1e}"
    executor.close()
    middle = {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}
    milliseconds = {name: 1e3 * seconds for name, seconds in middle.items()}
    case = f"{SHARDS} shards of {4e-6 * shard * CHANNELS * math.prod(GRID):.0f} MB, {parts} part{'s' * (parts > 1)}"
    rows = [
        row(case, f"two workers / one, {name} cut", middle[name] / middle["one"], limit, milliseconds)
        for name, limit in limits.items()
        if name in middle
    ]
    if parts > 1:
        beyond = max(0.0, 1 - middle["channels"] / middle["time"])
        rows.append(row(case, "what cutting time costs beyond cutting channels / time", beyond, limits["carries"]))
    return rows


def correction() -> list[dict]:
    """A scan in one pass whose carry enters apart from the states, against the plain scan."""
    torch.set_num_threads(1)
    x, transition, boundary = torch.randn(256, CHANNELS, *GRID), volume(1).transition, volume(1).boundary
    stitching = Stitching(transition, boundary)
    _, carry = scan(x[:8], transition, boundary=boundary)
    found = medians(
        {
            "plain": lambda: scan(x, transition, boundary=boundary, carry=carry, backend="spectral"),
            "stitched": lambda: stitching.shard(x).through(carry),
        }
    )
    torch.set_num_threads(2)
    case = f"(256, {CHANNELS}, {', '.join(map(str, GRID))})"
    return [row(case, "a carry that enters apart / one that enters first", found["stitched"] / found["plain"], 1.1)]


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


def touch() -> None:
    """Makes sure that memory is there for the files that are written next.

    A virtual machine may give memory that is free back to its host, and get it again page by page, ten times slower
    than memory is written; a file system may look long for names that were removed a moment ago. So each call that is
    timed writes to a place of its own, into memory that was just used.
    """
    os.sync()
    np.empty(2**32, np.uint8)[:: 2**12] = 1


def once(who: str, source: Path, output: Path, *rest: str) -> tuple[float, float]:
    """Seconds and peak bytes of one scan in a fresh process."""
    touch()
    tiny = source.with_name("tiny.zarr")
    if not tiny.exists():
        write_store(tiny, 64, 2, 32, "lz4")
    command = [sys.executable, "-m", "tests.benchmarks.filter_once", who, tiny, source, output, *rest]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


class Copying(FilterWorker):
    """Reads as ever, computes nothing, and writes states, those of the first shard for all."""

    def program(self, place):
        frames = self.reader.take(place.index)
        carry = yield Left(np.zeros(0, np.complex64))
        del carry
        if not hasattr(self, "states"):
            sequence = self.sequence
            found, _ = scan(torch.from_numpy(frames), sequence.transition, boundary=sequence.boundary)
            self.states = found[:, :, None].numpy()
        result = self.states[: len(frames), self.sequence.parts[place.strand]]
        written = self.writer.put(partial(self._write_states, place, result), result.nbytes, place)
        return all_done([written], None)

    def _write_states(self, place, states):
        shard = self.sequence.shards[place.index]
        store.write_frames(self.sequence.data, shard.start, states, self.sequence.parts[place.strand].start)


class Computing(FilterWorker):
    """Computes as ever on frames that are in memory, and writes nothing."""

    def _read(self, index):
        if not hasattr(self, "frames"):
            self.frames = super()._read(0)
        shard = self.sequence.shards[index]
        return self.frames[: shard.stop - shard.start]

    def _write(self, place, states, leaving):
        pass


def streaming(folder: Path, codec: str) -> list[dict]:
    """From Zarr to Zarr in one worker of one thread, against its computing alone and its reading and writing alone."""
    source, settings = folder / f"{codec}.zarr", FilterSettings(0.1, 0.2, boundary=("periodic",) * 3)
    times: dict[str, list[float]] = {"all": [], "computing": [], "reading and writing": []}
    owners = dict(zip(times, (FilterWorker, Computing, Copying), strict=True))
    for turn in range(6):
        for name, owner in owners.items():
            job = FilterJob(settings, source, folder / f"{codec}-{turn}-{name}.zarr")
            job.worker = partial(partial, owner, job.sequence)
            touch()
            begun = time.perf_counter()
            run_filter(job, LocalExecutor(1), Silent())
            if turn > 0:
                times[name].append(time.perf_counter() - begun)
    middle = {name: 1e3 * sorted(values)[2] for name, values in times.items()}
    larger = max(middle["computing"], middle["reading and writing"])
    return [
        row(f"(2048, 8, 1, 128, 128), {codec}", "Zarr to Zarr / the larger part", middle["all"] / larger, 1.25, middle)
    ]


def memory_and_time(folder: Path) -> list[dict]:
    """Peak memory of a long archive against a short one; time and memory against dask on the same store."""
    found = {}
    for frames in (512, 4096):
        source = folder / f"{frames}.zarr"
        write_store(source, frames, 4, 64, "lz4")
        peaks = [once("ours", source, folder / f"{frames}-out-{n}.zarr", "16", "1")[1] for n in range(3)]
        found[frames] = sorted(peaks)[1]
    rows = [row("(T, 4, 1, 64, 64)", "peak memory, T=4096 / T=512", found[4096] / found[512], 1.05)]
    whose = ("ours", "dask")
    pairs = [[once(who, folder / "lz4.zarr", folder / f"{who}-{n}.zarr") for who in whose] for n in range(5)]
    ours, theirs = (zarr.open_array(folder / f"{who}-0.zarr", path="data", mode="r")[-8:] for who in whose)
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()
    ratios = [(one[0] / other[0], one[1] / other[1]) for one, other in pairs]
    seconds, memory = (sorted(values)[2] for values in zip(*ratios, strict=True))
    case = "(2048, 8, 1, 128, 128), Zarr to Zarr"
    return [*rows, row(case, "time / dask", seconds, 1 / 3), row(case, "peak memory / dask", memory, 1 / 3)]


def main() -> None:
    wanted = {"time": 1 / 1.6, "channels": 1 / 1.85, "carries": 0.1}
    rows = [*stitched(4, 2 * SHARD, wanted), *stitched(4, SHARD, dict.fromkeys(wanted, 1.0))]
    rows += [*stitched(1, SHARD, {"time": 1.0}), *correction()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for codec in ("lz4", "zstd"):
            write_store(folder / f"{codec}.zarr", 2048, 8, 128, codec)
            rows += streaming(folder, codec)
        rows += memory_and_time(folder)
    publish(rows, "cluster.json", Path("docs/cluster.md"), ROUNDS)


if __name__ == "__main__":
    main()
