"""The scan of an archive by one transition, without any training: smoothing, backgrounds, filters that follow motion.

The states of h_t = A^dt_t * h_{t-1} + x_t over a whole store, written to another one. Channels do not meet, so each
part of them is a strand of its own; time is cut into shards. Missing voxels add nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pipeline import store
from pipeline.atomic import write_text
from pipeline.carried import CarryIndex, Travelling, to_device
from pipeline.device import own_device
from pipeline.grid import natural_boundary
from pipeline.ledger import Ledger
from pipeline.stream import Clock, Reader, Writer, all_done, patiently
from pipeline.transitions import propagator
from pipeline.volume import AXES, DATA, SPACE, InputError, Shard, cut
from ssm_ops import Propagator
from ssm_ops.carry import ASK, LATER, Carry, Place, Program
from ssm_ops.classes import Classes
from ssm_ops.memory import Rooms
from ssm_ops.stitch import Stitching

VERSION = 1

SHARDS_HELD = 9
"""Shards that a worker's memory must hold: two read and one ahead, two kept spectra of a fifth more, two results and
one on its way to the store, rounded up."""

MOST_RATE = 5e9
"""Bytes of frames a second that no worker gets through: read, scanned and written."""

BASE_BYTES = 500e6
"""What a worker takes before it holds any frame: Python, torch, zarr."""

PART_BYTES = 2**22
"""Channels are divided into strands as long as a shard of one has at least these bytes, and there are at most
`MOST_PARTS`."""
MOST_PARTS = 8


@dataclass(frozen=True)
class FilterSettings:
    """What is to be computed.

    Attributes:
        decay, diffusivity, velocity: See `ssm_ops.Propagator`; per unit of dt, voxels^2, voxels along each axis.
        boundary: For (depth, height, width), or (height, width) of images; `None` for what the data call for.
        dt: The time between frames.
        dt_from_time: Instead: the differences of the time coordinate over their median.
        chunk: Frames read, scanned and stored together; by default the input's.
        carry_tolerance: See `ssm_ops.classes`; 0 is exact.
    """

    decay: float
    diffusivity: float = 0.0
    velocity: tuple[float, ...] | None = None
    boundary: tuple[str, ...] | None = None
    dt: float = 1.0
    dt_from_time: bool = False
    chunk: int | None = None
    carry_tolerance: float = 0.0

    def __post_init__(self):
        if not 0 <= self.carry_tolerance < 1:
            raise InputError(f"a carry tolerance of {self.carry_tolerance:g}; give 0 (exact), or a number below 1")
        if not 0 < self.dt < math.inf:
            raise InputError(f"a step of time of {self.dt:g}; give a positive number")
        if self.dt_from_time and self.dt != 1.0:
            raise InputError("both dt and dt from the time coordinate; give one of them")


@dataclass(frozen=True)
class Sequence4D:
    """The input as it will be scanned, and what everybody must know of it.

    Attributes:
        source: The store.
        output: The folder of the unfinished result.
        shape: (time, channel, depth, height, width).
        boundary: For each axis of the grid: images have two.
        transition: What a unit of time does.
        steps: The time from the frame before to each, float64; `None` where all are 1.
        shards: Of each strand.
        parts: The channels of each strand.
        dtype: Of the states.
        tolerance: See `FilterSettings.carry_tolerance`.
        threads: Of a worker.
    """

    source: Path
    output: Path
    shape: tuple[int, ...]
    boundary: tuple[str, ...]
    transition: Propagator
    steps: np.ndarray | None
    shards: list[Shard]
    parts: list[slice]
    dtype: str
    tolerance: float
    threads: int

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return self.shape[3:] if self.images else self.shape[2:]

    @property
    def data(self) -> Path:
        """The store that will be the result; the carries lie in it too."""
        return self.output / "data.zarr"

    @property
    def images(self) -> bool:
        return len(self.boundary) == 2

    def span(self, shard: Shard) -> int | float:
        """The time from the state before a shard to its last."""
        frames = shard.stop - shard.start
        return frames if self.steps is None else float(self.steps[shard.start : shard.stop].sum())

    def describe(self, place: Place) -> str:
        """A shard in words."""
        shard, part = self.shards[place.index], self.parts[place.strand]
        channels = f", channels {part.start} to {part.stop - 1}" if len(self.parts) > 1 else ""
        return f"frames {shard.start} to {shard.stop - 1}{channels}"

    def classes(self, part: slice) -> Classes:
        channels = part.stop - part.start
        grid = self.transition.basis(self.grid_shape, self.boundary, channels)
        shortest = 1.0 if self.steps is None else float(self.steps.min())
        return Classes(self.transition, grid, channels, self.tolerance, shortest)

    def name(self, strand: int) -> str:
        part = self.parts[strand]
        return f"channels-{part.start:04d}-{part.stop - 1:04d}"


class FilterJob:
    """The scan of one store into another; see `workflows.across.Job`.

    An unfinished result lies in the folder `DEST.part`; it becomes DEST when all of it is there.

    Args:
        settings: What is to be computed.
        source, destination: Zarr stores.
        threads: CPU threads of a worker.
        memory: Bytes that a worker may take.

    Raises:
        InputError: The input has no such array, or does not fit the settings; the destination is there already, or is
            the unfinished result of something else; a worker's memory holds no chunk.
    """

    def __init__(
        self,
        settings: FilterSettings,
        source: Path,
        destination: Path,
        *,
        threads: int = 1,
        memory: float = 1e9,
        shard: int | None = None,
    ):
        self.settings, self.destination, self.threads = settings, destination, threads
        if destination.exists():
            raise InputError(f"{destination} is there already; remove it, or choose another name")
        self.volume = open_input(source)
        part = destination.with_name(destination.name + ".part")
        self.plan_path = part / "plan.json"
        chunk = settings.chunk or self.volume[DATA].encoding["chunks"][0]
        shape = tuple(self.volume.sizes[axis] for axis in AXES)
        chunk = min(chunk, shape[0])
        dtype = "float64" if self.volume[DATA].dtype == np.float64 else "float32"
        frame_bytes = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        chunks = shard // chunk if shard else chunks_that_fit(memory, chunk * frame_bytes, chunk)
        length = chunk * max(1, min(chunks, -(-shape[0] // chunk)))
        parts = min(MOST_PARTS, shape[1], max(1, length * frame_bytes // PART_BYTES))
        plan = {"chunk": chunk, "length": length, "width": -(-shape[1] // parts)}
        plan = self._continued(source, plan)
        width = plan["width"]
        self.sequence = Sequence4D(
            source=source.resolve(),
            output=part.resolve(),
            shape=shape,
            boundary=boundaries(settings.boundary, self.volume, shape),
            transition=transition_of(settings, shape),
            steps=time_steps(settings, self.volume),
            shards=cut(shape[0], plan["chunk"], plan["length"] // plan["chunk"]),
            parts=[slice(c, min(c + width, shape[1])) for c in range(0, shape[1], width)],
            dtype=dtype,
            tolerance=settings.carry_tolerance,
            threads=threads,
        )
        self.lengths = [len(self.sequence.shards)] * len(self.sequence.parts)
        self.most = max(len(self.sequence.shards), len(self.sequence.parts))
        self.work = plan["length"] * frame_bytes / MOST_RATE
        try:
            self.classes = [self.sequence.classes(part) for part in self.sequence.parts]
        except ValueError as error:
            raise InputError(str(error)) from error

    def _continued(self, source: Path, plan: dict) -> dict:
        """The plan of an unfinished result of the same settings, or this one."""
        asked = {"source": str(source.resolve()), "version": VERSION, **asdict(self.settings)}
        asked |= {"shape": list(self.volume[DATA].shape)}
        self.identity = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        if not self.plan_path.exists():
            return plan
        found = json.loads(self.plan_path.read_text())
        if found.pop("identity") != self.identity:
            raise InputError(
                f"{self.plan_path.parent} is the unfinished result of another scan; remove that folder, or choose "
                "another name for this result"
            )
        return found

    def prepare(self) -> None:
        """Creates the store and the ledger, unless an interrupted run already did."""
        sequence = self.sequence
        if not self.plan_path.exists():
            shutil.rmtree(sequence.output, ignore_errors=True)
            sequence.output.mkdir(parents=True)
            like = self.volume.assign_attrs(self.volume.attrs | {"chronovox_scan": json.dumps(asdict(self.settings))})
            width = sequence.parts[0].stop
            chunk = sequence.shards[0].chunk
            store.create_volumes({None: like}, sequence.data, chunk, channels=width, dtype=np.dtype(sequence.dtype))
            length = sequence.shards[0].stop
            plan = {"identity": self.identity, "chunk": chunk, "length": length, "width": width}
            write_text(self.plan_path, json.dumps(plan))
        names = [sequence.name(strand) for strand in range(len(sequence.parts))]
        CarryIndex(sequence.data / "carry").prepare(names)
        self.ledger = Ledger(sequence.output / "committed.json", names)

    def finish(self) -> None:
        """Gives the result its name."""
        os.replace(self.sequence.data, self.destination)
        shutil.rmtree(self.sequence.output)

    @property
    def states(self) -> list[int]:
        """Bytes of the carry of the largest strand."""
        kind = self.classes[0].grid.spectrum_dtype(getattr(torch, self.sequence.dtype))
        return [self.classes[0].sent * kind.itemsize]

    def worker(self) -> partial[FilterWorker]:
        """A picklable call that makes a worker of this job, wherever it runs."""
        return partial(FilterWorker, self.sequence)

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return self.sequence.describe(place)

    def promise(self) -> str:
        """What the tolerance costs at most, and spares, in words; empty where it is 0."""
        if self.settings.carry_tolerance == 0:
            return ""
        return self.classes[0].promise(self.sequence.span(self.sequence.shards[0]))


class FilterWorker:
    """Scans shards on one device; what it writes is owned by it alone."""

    def __init__(self, sequence: Sequence4D, clock: Clock | None = None):
        torch.set_num_threads(sequence.threads)
        self.sequence, self.device, self.clock, rooms = sequence, own_device(), clock or Clock(), Rooms()
        self.index = CarryIndex(sequence.data / "carry")
        self.stitching = [Stitching(sequence.transition, sequence.boundary, rooms=rooms) for _ in sequence.parts]
        self.classes = [sequence.classes(part) for part in sequence.parts]
        self.powers: dict[tuple[int, int | float], np.ndarray] = {}
        self.kind = getattr(torch, sequence.dtype)
        self.reader = Reader(self._read, self.clock)
        longest = max(shard.stop - shard.start for shard in sequence.shards)
        self.writer = Writer(self.clock, room=longest * math.prod(sequence.shape[1:]) * self.kind.itemsize)
        self.channels = slice(0, sequence.shape[1])

    def expect(self, places: Sequence[Place]) -> None:
        """The shards that will be asked for; channels of others are not read."""
        own = [self.sequence.parts[place.strand] for place in places]
        if own:
            self.channels = slice(min(part.start for part in own), max(part.stop for part in own))
        self.reader.expect([place.index for place in places])

    def program(self, place: Place) -> Program[Callable[[float], int]]:
        """Reads a shard, scans it, writes its chunks and the carry that leaves it; see `cluster.actor.Owner`."""
        sequence, classes = self.sequence, self.classes[place.strand]
        shard, part = sequence.shards[place.index], sequence.parts[place.strand]
        frames = self.reader.take(place.index)
        own = frames[:, part.start - self.channels.start : part.stop - self.channels.start]
        x = torch.from_numpy(own).to(self.device)
        steps = None if sequence.steps is None else torch.from_numpy(sequence.steps[shard.start : shard.stop])
        stitch = self.stitching[place.strand].shard(x, dt=steps)
        del frames, own, x

        carry = yield ASK
        if carry is not LATER:
            with self.clock("computing", place):
                states, final = stitch.through(self._entering(carry, classes))
                summary = self._summary(place, final)
            yield summary
        else:
            with self.clock("computing", place):
                summary = self._summary(place, stitch.keep())
            carry = yield summary
            with self.clock("computing", place):
                states = stitch.finish(self._entering(carry, classes))
        leaving, result = summary(carry), states.unsqueeze(2) if sequence.images else states
        written = self.writer.put(
            partial(self._write, place, result.cpu().numpy(), classes.unpack(leaving)), result.nbytes, place
        )
        return all_done([written], shard.stop - shard.start)

    def adopt(self, summary: Travelling, point: int) -> Travelling:
        """A summary from another worker, with the power that was not sent."""
        del point
        if summary.power is None:
            strand = next(n for n, c in enumerate(self.classes) if c.sent == summary.offset.size)
            summary.power = self._power(strand, summary.span, torch.from_numpy(summary.offset).dtype)
        return summary

    def entering_carry(self, place: Place, point: int) -> Carry:
        """The carry that enters a shard, as the shard before it stored it; nothing enters the first."""
        found = self.index.read(self.sequence.name(place.strand), place.index, point)
        return None if found is None else self.classes[place.strand].pack(found)

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return self.sequence.describe(place)

    def report(self) -> dict[str, float]:
        """Seconds by activity."""
        return self.clock.seconds()

    def close(self) -> None:
        """Ends the threads that read and write."""
        self.reader.close()
        self.writer.close()

    def _entering(self, carry: np.ndarray | None, classes: Classes) -> Carry:
        return None if carry is None else to_device(classes.unpack(carry), self.device)

    def _summary(self, place: Place, final: torch.Tensor) -> Travelling:
        span = self.sequence.span(self.sequence.shards[place.index])
        offset = self.classes[place.strand].pack(final.cpu().numpy())
        return Travelling(offset, span, self._power(place.strand, span, final.dtype))

    def _power(self, strand: int, span: int | float, dtype: torch.dtype) -> np.ndarray:
        if (strand, span) not in self.powers:
            self.powers[strand, span] = self.classes[strand].power(span, dtype)
        return self.powers[strand, span]

    def _read(self, index: int) -> np.ndarray:
        """The frames of a shard, zeros where something is missing."""
        shard = self.sequence.shards[index]
        read = partial(store.read_frames, self.sequence.source, None, shard.start, shard.stop, self.channels)
        frames = patiently(read, f"reading frames {shard.start} to {shard.stop - 1} of {self.sequence.source}")
        frames = frames.astype(self.sequence.dtype, copy=False)
        missing = np.isnan(frames)
        if missing.any():
            frames = np.where(missing, 0, frames).astype(self.sequence.dtype, copy=False)
        if not np.isfinite(frames).all():
            raise InputError(
                f"frames {shard.start} to {shard.stop - 1} of {self.sequence.source} hold infinite values, which would "
                "stay in every later state; replace them by NaN (missing) or by numbers"
            )
        return frames[:, :, 0] if self.sequence.images else frames

    def _write(self, place: Place, states: np.ndarray, leaving: np.ndarray) -> None:
        shard, part = self.sequence.shards[place.index], self.sequence.parts[place.strand]
        path = self.sequence.data
        write = partial(store.write_frames, path, shard.start, states, part.start)
        patiently(write, f"writing frames {shard.start} to {shard.stop - 1} of {path}")
        name = self.sequence.name(place.strand)
        index = partial(self.index.write, name, place.index + 1, shard.stop, [leaving])
        patiently(index, f"writing the carry that enters shard {place.index + 1} of {name}")


def open_input(source: Path):
    """The store to be scanned, as it is there.

    Raises:
        InputError: There is none, or it has no array `data` with the axes of a volume.
    """
    if not store.is_store(source):
        raise InputError(f"{source} is no Zarr store; `chronovox run` with an ingest stage makes one of an archive")
    volume = store.open_undecoded(source)
    if DATA not in volume or volume[DATA].dims != AXES:
        found = f"an array {DATA!r} with the axes {volume[DATA].dims}" if DATA in volume else f"no array {DATA!r}"
        raise InputError(f"{source} cannot be scanned: it has {found}; rename or transpose it to {', '.join(AXES)}")
    if volume[DATA].dtype.kind not in "fiu" or 0 in volume[DATA].shape:
        raise InputError(
            f"{source} cannot be scanned: its data are {volume[DATA].dtype} of shape {volume[DATA].shape}; give real "
            "numbers, and no empty axis"
        )
    return volume


def chunks_that_fit(memory: float, chunk_bytes: int, chunk: int) -> int:
    """Chunks of a shard, so that a worker keeps within its memory.

    Raises:
        InputError: Not even one fits.
    """
    room = memory - BASE_BYTES
    fitting = int(room / SHARDS_HELD // chunk_bytes)
    if fitting < 1:
        needed = BASE_BYTES + SHARDS_HELD * chunk_bytes
        raise InputError(
            f"a worker that holds chunks of {chunk} frames takes {needed / 1e9:.2f} GB and may take "
            f"{memory / 1e9:.2f} GB; allow that with --memory, or make the chunks smaller with --chunk"
        )
    return fitting


def boundaries(given: tuple[str, ...] | None, volume, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The boundary of each axis of the grid, two for images."""
    names = given or tuple(volume.attrs.get("boundary") or natural_boundary(volume))
    axes = 2 if shape[2] == 1 else 3
    if len(names) not in (axes, 3):
        raise InputError(f"{len(names)} boundaries for {', '.join(SPACE[-axes:])}; give one for each")
    return tuple(names[-axes:])


def transition_of(settings: FilterSettings, shape: tuple[int, ...]) -> Propagator:
    """The transition that the settings ask for, over one step.

    Raises:
        InputError: Its numbers are not finite, negative where they must not be, or not one for each axis.
    """
    velocity, axes = settings.velocity, 2 if shape[2] == 1 else 3
    if velocity is not None:
        if len(velocity) not in (axes, 3):
            raise InputError(f"a velocity of {len(velocity)} numbers for {', '.join(SPACE[-axes:])}; give one for each")
        velocity = tuple(v * settings.dt for v in velocity[-axes:])
    return propagator(settings.decay * settings.dt, settings.diffusivity * settings.dt, velocity)


def time_steps(settings: FilterSettings, volume) -> np.ndarray | None:
    """Differences of the time coordinate over their median; the first frame's, which nothing is before, is 1.

    Raises:
        InputError: There is no such coordinate, or it does not increase.
    """
    if not settings.dt_from_time:
        return None
    if "time" not in volume.coords or volume["time"].dtype.kind not in "fiu":
        raise InputError("the store has no coordinate time with numbers to take steps from; leave --dt-from-time out")
    steps = np.diff(volume["time"].values.astype(np.float64))
    if len(steps) == 0 or not (steps > 0).all():
        raise InputError("the coordinate time does not increase from frame to frame; sort the frames, or give --dt")
    return np.concatenate([[1.0], steps / np.median(steps)])
