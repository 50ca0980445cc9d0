"""A worker of the command `scan`: scans shards on one device, writes their chunks and the carries that leave them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from pipeline.carried import CarryIndex, Travelling, digest, to_device
from pipeline.device import own_resources
from pipeline.sequence import Sequence4D
from pipeline.storage import manifest, store
from pipeline.stream import Clock, Reader, Writer, all_done, patiently
from pipeline.volume import DATA, InputError
from ssm_ops import memory
from ssm_ops.carry import ASK, LATER, Carry, Place, Program
from ssm_ops.classes import Classes
from ssm_ops.memory import Rooms
from ssm_ops.stitch import Stitching


class FilterWorker:
    """Scans shards on one device; what it writes is owned by it alone."""

    def __init__(self, sequence: Sequence4D, clock: Clock | None = None):
        self.sequence, self.device = sequence, own_resources(sequence.threads)
        self.clock, rooms = clock or Clock(), Rooms()
        self.index = CarryIndex(sequence.data / "carry")
        self.stitching = [Stitching(sequence.transition, sequence.boundary, rooms=rooms) for _ in sequence.parts]
        self.classes = [sequence.classes(part) for part in sequence.parts]
        self.powers: dict[tuple[int, int | float], np.ndarray] = {}
        self.kind = getattr(torch, sequence.dtype)
        self.reader = Reader(self._read, self.clock)
        longest = max(shard.stop - shard.start for shard in sequence.shards)
        room = longest * math.prod(sequence.shape[1:]) * self.kind.itemsize
        self.writer = Writer(self.clock, room=room, threads=sequence.threads)
        self.channels = slice(0, sequence.shape[1])
        self.borders: dict[Place, bytes] = {}

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
        if shard.index == len(sequence.shards) - 1:  # by which an input that has grown is known again
            self.borders[place] = digest(own[-1])
        x = torch.from_numpy(own).to(self.device)
        steps = sequence.steps_of(shard)
        steps = None if steps is None else torch.from_numpy(steps)
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
        span = (shard.start, shard.stop, self.channels)
        read = partial(store.read_frames, self.sequence.source, None, *span, empty=memory.empty)
        frames = patiently(
            read, f"reading frames {shard.start} to {shard.stop - 1} of {self.sequence.source}", self.clock
        )
        frames = self.sequence.as_scanned(frames)
        if not np.isfinite(frames).all():
            raise InputError(
                f"frames {shard.start} to {shard.stop - 1} of {self.sequence.source} hold infinite values, which would "
                "stay in every later state; replace them by NaN (missing) or by numbers"
            )
        return frames[:, :, 0] if self.sequence.images else frames

    def _write(self, place: Place, states: np.ndarray, leaving: np.ndarray) -> None:
        sequence = self.sequence
        shard, part, path = sequence.shards[place.index], sequence.parts[place.strand], sequence.data
        start = max(shard.start, sequence.kept - sequence.kept % shard.chunk)
        states = states[start - shard.start :]
        if start < sequence.kept:  # the earlier result's last chunk was not full: what it holds stays as it is
            read = partial(store.read_frames, sequence.earlier, None, start, sequence.kept, part)
            where = f"reading frames {start} to {sequence.kept - 1} of {sequence.earlier}"
            states[: sequence.kept - start] = patiently(read, where, self.clock)
        write = partial(store.write_frames, path, start, states, part.start)
        digests = patiently(write, f"writing frames {start} to {shard.stop - 1} of {path}", self.clock)
        name, border = sequence.name(place.strand), self.borders.pop(place, None)
        manifest.record(path / DATA, f"{name}-{place.index}", digests)
        shards = len(sequence.shards)
        index = partial(self.index.write, name, place.index + 1, shards, [leaving], last_frame=border)
        patiently(index, f"writing the carry that enters shard {place.index + 1} of {name}", self.clock)
