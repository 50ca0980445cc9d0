"""The scan of an archive by one transition, without any training: smoothing, backgrounds, filters that follow motion.

The states of h_t = A^dt_t * h_{t-1} + x_t over a whole store, written to another one. Channels do not meet, so each
part of them is a strand of its own; time is cut into shards. Missing voxels add nothing. Runs, recordings that the
coordinate `run` tells apart, begin from a state of zero each: the step of time across their border is infinite.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from pipeline.carried import CarryIndex
from pipeline.filter_worker import FilterWorker
from pipeline.grown import Earlier
from pipeline.ledger import Ledger
from pipeline.sequence import (
    FilterSettings,
    Sequence4D,
    boundaries,
    open_input,
    run_starts,
    time_steps,
    transition_of,
)
from pipeline.storage import store
from pipeline.storage.atomic import replace_folder, write_text
from pipeline.storage.blocks import of_frames, refuse_shared
from pipeline.storage.origin import ORIGIN
from pipeline.volume import AXES, DATA, InputError, cut
from ssm_ops.carry import Place

VERSION = 4

SHARDS_HELD = 9
"""Shards that a worker's memory must hold: two read and one ahead, two kept spectra of a fifth more, two results and
one on its way to the store, rounded up."""

MOST_RATE = 5e9
"""Bytes of frames a second that no worker gets through: read, scanned and written."""

BASE_BYTES = 500e6
"""What a worker takes before it holds any frame: Python, torch, zarr."""

PART_BYTES = 2**24
"""Channels are divided into strands as long as a shard of one has at least these bytes, and there are at most
`MOST_PARTS`."""
MOST_PARTS = 8


class FilterJob:
    """The scan of one store into another; see `workflows.across.Job`.

    An unfinished result lies in the folder `DEST.part`; it becomes DEST when all of it is there. Where DEST is a result
    of the same settings already, and the input has more frames, the result is DEST and the new ones (`pipeline.grown`).

    Args:
        settings: What is to be computed.
        source, destination: Zarr stores.
        threads: CPU threads of a worker.
        memory: Bytes that a worker may take.
        shard: Frames of a shard; by default as many as a worker's memory holds.

    Raises:
        InputError: The input has no such array, or does not fit the settings; the destination is something else, or
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
        self.part = destination.with_name(destination.name + ".part")
        self.plan_path, self._aside = self.part / "plan.json", self.part / "earlier.zarr"
        if self._aside.exists() and not destination.exists():  # killed between the two steps of `replace_folder`
            os.replace(self._aside, destination)
        self.volume = open_input(source)
        self.earlier = Earlier(destination, settings, VERSION) if destination.exists() else None
        shape = tuple(self.volume.sizes[axis] for axis in AXES)
        dtype = "float64" if self.volume[DATA].dtype == np.float64 else "float32"
        frame_bytes = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        plan = self.earlier.plan if self.earlier else self._new_plan(shape, frame_bytes, memory, shard)
        steps, unit = time_steps(settings, self.volume)
        plan = self._continued(source, plan, steps)
        width = plan["width"]
        self.sequence = Sequence4D(
            source=source.resolve(),
            output=self.part.resolve(),
            shape=shape,
            boundary=boundaries(settings.boundary, self.volume, shape),
            transition=transition_of(settings, shape),
            steps=steps,
            shards=cut(shape[0], plan["chunk"], plan["length"] // plan["chunk"]),
            parts=[slice(c, min(c + width, shape[1])) for c in range(0, shape[1], width)],
            dtype=dtype,
            tolerance=settings.carry_tolerance,
            threads=threads,
            earlier=self.earlier and destination.resolve(),
            kept=self.earlier.frames if self.earlier else 0,
        )
        self.plan = {name: plan[name] for name in ("chunk", "length", "width")}
        self.plan |= {"version": VERSION, "boundary": list(self.sequence.boundary), "unit": unit}
        self.plan |= {"shortest": self.sequence.shortest}
        if self.earlier:
            self.earlier.refuse_misfit(self.volume, self.sequence, self.plan)
            refuse_small_memory(memory, min(plan["length"], shape[0]), frame_bytes, destination)
        self.lengths = [len(self.sequence.shards)] * len(self.sequence.parts)
        self.frame_bytes, self.parts = frame_bytes, len(self.sequence.parts)
        self.most = max(len(self.sequence.shards), len(self.sequence.parts))
        self.work = min(plan["length"], shape[0]) * frame_bytes / MOST_RATE
        try:
            self.classes = [self.sequence.classes(part) for part in self.sequence.parts]
        except ValueError as error:
            raise InputError(str(error)) from error

    def _new_plan(self, shape: tuple[int, ...], frame_bytes: int, memory: float, shard: int | None) -> dict:
        """How time and channels are cut; kept in the result, whose bits depend on it."""
        chunk = min(self.settings.chunk or self.volume[DATA].encoding["chunks"][0], shape[0])
        chunks = max(1, shard // chunk if shard else chunks_that_fit(memory, chunk * frame_bytes, chunk))
        parts = min(MOST_PARTS, shape[1], max(1, min(chunk * chunks, shape[0]) * frame_bytes // PART_BYTES))
        width = -(-shape[1] // parts)
        if self.settings.chunk is None:  # a part's chunk has more frames instead of the other channels
            together = max(1, min(shape[1] // width, chunks, shape[0] // chunk))
            chunk, chunks = chunk * together, chunks // together
        return {"chunk": chunk, "length": chunk * chunks, "width": width}

    def _continued(self, source: Path, plan: dict, steps: np.ndarray | None) -> dict:
        """The plan of an unfinished result of the same settings and steps of time, or this one."""
        asked = {"source": str(source.resolve()), "version": VERSION, **asdict(self.settings)}
        asked |= {"shape": list(self.volume[DATA].shape), "kept": self.earlier.frames if self.earlier else 0}
        asked |= {"steps": None if steps is None else hashlib.sha256(steps.tobytes()).hexdigest()}
        self.identity = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        self.begun = False
        if not self.plan_path.exists():
            return plan
        found = json.loads(self.plan_path.read_text())
        self.begun = found.pop("identity") == self.identity
        if self.begun:
            return found
        if self.earlier is None:
            raise InputError(
                f"{self.part} is the unfinished result of another scan; remove that folder, or choose "
                "another name for this result"
            )
        return plan  # the destination is whole: what was begun beside it is begun anew

    @property
    def complete(self) -> bool:
        """Whether the destination holds all frames of the input already."""
        return self.earlier is not None and self.earlier.frames == self.sequence.shape[0]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the lock of the unfinished result; that of a dead process counts for nothing.

        Raises:
            InputError: Another process makes it, or made it in the meantime.
        """
        lock = FileLock(self.destination.with_name(self.destination.name + ".part.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"another process makes {self.destination} at this moment; wait for it, or choose another name"
            ) from None
        try:
            if self.earlier is None and self.destination.exists():
                raise InputError(f"{self.destination} was made in the meantime; remove it, or choose another name")
            yield
            Path(lock.lock_file).unlink(missing_ok=True)
        finally:
            lock.release()

    def prepare(self) -> None:
        """Creates the store and the ledger, unless an interrupted run already did."""
        sequence = self.sequence
        names = [sequence.name(strand) for strand in range(len(sequence.parts))]
        if not self.begun:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
            self.create(sequence.data)
            CarryIndex(sequence.data / "carry").prepare(names)
            if self.earlier:
                self.earlier.hand_over(sequence, names, self.part / "committed.json")
            write_text(self.plan_path, json.dumps({"identity": self.identity, **self.plan}))
            self.begun = True
        self.ledger = Ledger(self.part / "committed.json", names)

    def create(self, path: Path) -> None:
        """Creates the store of the result, with nothing in it yet but what it was made of."""
        sequence = self.sequence
        told = {"chronovox_scan": json.dumps(asdict(self.settings)), "chronovox_plan": json.dumps(self.plan)}
        like = self.volume.assign_attrs(self.volume.attrs | told)
        if self.earlier:
            like[DATA].encoding = self.earlier.volume[DATA].encoding  # compressed as the chunks that are taken over
        width, chunk = sequence.parts[0].stop, sequence.shards[0].chunk
        blocks = of_frames(sequence.shape, chunk, width)
        spans = [(one.start, one.stop) for one in sequence.shards]
        refuse_shared((chunk, width), sequence.shape[0], spans, sequence.parts)
        store.create_volumes({None: like}, path, {None: blocks}, dtype=np.dtype(sequence.dtype))
        origin = {"made_by": "scan", "source": str(sequence.source), "settings": asdict(self.settings)}
        write_text(path / DATA / ORIGIN, json.dumps(origin) + "\n")

    def finish(self) -> None:
        """Gives the result its name; a result that it continues makes room for it."""
        if self.earlier:
            replace_folder(self.sequence.data, self.destination, self._aside)
        else:
            os.replace(self.sequence.data, self.destination)
        self.clear()

    def clear(self) -> None:
        """Removes what is beside a complete result."""
        shutil.rmtree(self.part, ignore_errors=True)

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

    @property
    def extents(self) -> list[tuple[str, int, int]]:
        """Each strand's channels, its frames, and the frames of its shards."""
        frames, first = self.sequence.shape[0], self.sequence.shards[0]
        return [(f"channels {part.start} to {part.stop - 1}", frames, first.stop) for part in self.sequence.parts]

    def beginning(self) -> str:
        """What is there already, in words; empty where nothing is."""
        if self.earlier is None:
            return ""
        held, given = self.earlier.frames, self.sequence.shape[0]
        if self.complete:
            return (
                f"{self.destination} holds all {held} frames of {self.sequence.source} already; nothing is to be done"
            )
        start = self.sequence.shards[held // self.plan["length"]].start
        begin = (
            f"going on from the carry at frame {start}" if start else "they are less than a shard, which is begun anew"
        )
        return (
            f"{self.destination} holds the first {held} of {given} frames; {begin}, "
            "to the bits of a scan of all of them in shards of the same length"
        )

    def borders(self) -> str:
        """What is said of an input of several recordings, in words; empty where it is one."""
        starts = run_starts(self.volume)
        if not len(starts):
            return ""
        first = ", ".join(map(str, starts[:5])) + (", ..." if len(starts) > 5 else "")
        joined = self.settings.join_runs
        how = "the scan goes on across their borders" if joined else "each begins from a state of zero"
        return f"{self.sequence.source} holds {len(starts) + 1} runs and {how} (frames {first})"

    def promise(self) -> str:
        """What the tolerance costs at most, and spares, in words; empty where it is 0."""
        if self.settings.carry_tolerance == 0:
            return ""
        spans = map(self.sequence.span, self.sequence.shards)
        return self.classes[0].promise(next(filter(math.isfinite, spans), math.inf))


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


def refuse_small_memory(memory: float, length: int, frame_bytes: int, result: Path) -> None:
    """Refuses to go on with a result whose shards do not fit a worker's memory: its bits depend on them."""
    needed = BASE_BYTES + SHARDS_HELD * length * frame_bytes
    if needed > memory:
        raise InputError(
            f"{result} was scanned in shards of {length} frames, with which a worker takes {needed / 1e9:.2f} GB; it "
            f"may take {memory / 1e9:.2f} GB; allow more with --memory, or remove {result} to scan anew"
        )
