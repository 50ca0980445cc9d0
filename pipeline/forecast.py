"""A worker of forecasts: holds the model, computes shards of series on one device, writes their chunks and carries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from pipeline.carried import CarryIndex, Following, Travel, Travelling, to_device
from pipeline.checkpoint import Checkpoint
from pipeline.device import own_resources
from pipeline.elapsed import elapsed
from pipeline.model import Behind, Forecaster, exchanges
from pipeline.normalisation import Normalisation
from pipeline.phases import PHASE
from pipeline.roles import Roles
from pipeline.storage import manifest, store
from pipeline.stream import Clock, Reader, Writer, all_done, patiently
from pipeline.volume import DATA, InputError, Shard
from ssm_ops import memory
from ssm_ops.carry import ASK, LATER, Carry, Place, Program
from ssm_ops.mixers.mixer import Sequel

SAME = 1e-5
"""Carries that differ by less, relative to their norm, are the same: a tree composes them in another order."""


@dataclass(frozen=True)
class Strand:
    """One series to be forecast.

    Attributes:
        name: In the ledger and the carry index.
        series: Of the prepared store.
        forecast: The volume that is written: a store or a group of one.
        shards: All of them.
    """

    name: str
    series: str
    forecast: Path
    shards: list[Shard]

    def describe(self, index: int) -> str:
        """A shard in words."""
        shard = self.shards[index]
        return f"frames {shard.start} to {shard.stop - 1} of series {self.series}"


@dataclass(frozen=True)
class Series:
    """What a worker knows of a series.

    Attributes:
        roles: Which channels the model reads and makes.
        steps: The time from frame to frame, see `pipeline.elapsed`, and 1 beyond the last; `None` where all are 1.
    """

    roles: Roles
    steps: Float[np.ndarray, "time_and_one"] | None

    @staticmethod
    def of(volume: xr.Dataset, model: Forecaster, channels: dict[str, list[str]]) -> Series:
        steps = elapsed(volume, model.unit)
        return Series(Roles.of_model(volume, channels), None if steps is None else np.append(steps, np.float32(1)))

    def steps_of(self, shard: Shard, device: torch.device, *, later: bool = False) -> list[Float[Tensor, "_"]] | None:
        """The steps to the frames of each chunk of a shard; `later`: from each to the one behind it."""
        if self.steps is None:
            return None
        return [torch.from_numpy(self.steps[a + later : b + later]).to(device) for a, b in shard.chunks()]


def made_normalisation(loaded: Checkpoint) -> Normalisation:
    """The statistics of the channels that a model makes."""
    whole, channels = Normalisation.of(loaded.statistics), loaded.channels
    return whole.of_channels([channels["known"].index(name) for name in channels["makes"]]) if channels else whole


class ShardWorker:
    """Forecasts shards on one device. Holds the model; what it writes is owned by it alone.

    Args:
        checkpoint, prepared: What is read.
        index: The folder of the carry index.
        strands: All series.
        threads: CPU threads.
        again: Whether shards are computed again: carries that are stored already stay as they are, and others that
            come out are refused.
        behind: The folder of the carries that come from behind shards, for a model that looks both ways.
        tolerance: What of the layers' carries need not travel.
    """

    def __init__(
        self,
        checkpoint: Path,
        prepared: Path,
        index: Path,
        strands: list[Strand],
        threads: int,
        *,
        again: bool = False,
        behind: Path | None = None,
        tolerance: float = 0.0,
    ):
        self.device = own_resources(threads)
        loaded = Checkpoint.load(checkpoint)
        self.model = loaded.best_model().to(self.device)
        self.normalisation, self.channels = made_normalisation(loaded), loaded.channels
        self.prepared, self.strands, self.index, self.again = prepared, strands, CarryIndex(index), again
        self.behind = CarryIndex(behind) if self.model.settings.bidirectional else None
        self._known_series: dict[str, Series] = {}
        self._known_phases: dict[str, np.ndarray | None] = {}
        self.travel = Travel(self.model, self._frame[1:], tolerance)
        self.clock = Clock()
        self.reader = Reader(self._read, self.clock)
        longest = max(shard.stop - shard.start for strand in strands for shard in strand.shards)
        self.writer = Writer(self.clock, room=8 * math.prod(self._frame) * longest, threads=threads)

    def expect(self, places: Sequence[Place]) -> None:
        """The shards that will be asked for."""
        self.reader.expect(places)

    def program(self, place: Place) -> Program[Callable[[float], int]]:
        """Reads a shard, forecasts it, writes its chunks and the carries that leave it; the result waits for the
        writes and gives the shard's frames.

        Carries are numpy arrays here: they may travel between machines.
        """
        strand = self.strands[place.strand]
        shard = strand.shards[place.index]
        frames = self.reader.take(place)
        series = self._series(strand)
        chunks = [
            series.roles.inputs(torch.from_numpy(frames[a - shard.start : b - shard.start])).to(self.device)
            for a, b in shard.chunks()
        ]
        program, leaving = self.model.program(chunks, series.steps_of(shard, self.device), self._behind(place)), []

        def unpack(carry: Carry) -> Carry:
            return self.travel.unpack(carry, len(leaving))

        with self.clock("computing", place):
            said = next(program)
        while True:
            if said is ASK:
                carry = yield ASK
                entering = carry if carry is LATER else to_device(unpack(carry), self.device)
                with self.clock("computing", place):
                    said = program.send(entering)
            if isinstance(said, Sequel):
                summary = Following(said, self.device, partial(self.clock, "computing", place))
            else:
                summary = self.travel.pack(said, len(leaving))
            carry = yield summary
            entering = to_device(unpack(carry), self.device)
            leaving.append(unpack(summary(carry)))
            try:
                with self.clock("computing", place):
                    said = program.send(entering)
            except StopIteration as stop:
                forecasts = stop.value
                break
        with self.clock("computing", place):
            physical = self._in_units(torch.cat(forecasts), self._phases(strand, shard))

        def write() -> None:
            stored = self.again and self._is_stored(strand, shard, leaving)
            digests = {}
            for start, stop in shard.chunks():
                part = physical[start - shard.start : stop - shard.start]
                where = f"writing frames {start} to {stop - 1} of {strand.forecast}"
                digests |= patiently(partial(store.write_frames, strand.forecast, start, part), where, self.clock)
            manifest.record(strand.forecast / DATA, f"shard-{shard.index}", digests)
            if not stored:
                index = partial(self.index.write, strand.name, shard.index + 1, len(strand.shards), leaving)
                patiently(index, f"writing the carries that enter shard {shard.index + 1}", self.clock)

        return all_done([self.writer.put(write, physical.nbytes, place)], shard.stop - shard.start)

    def _is_stored(self, strand: Strand, shard: Shard, leaving: list[np.ndarray]) -> bool:
        """Whether the carries that leave a shard are in the index.

        Raises:
            InputError: Others are.
        """
        if not self.index.has(strand.name, shard.index + 1):
            return False
        known = [self.index.read(strand.name, shard.index + 1, point) for point in range(len(leaving))]
        pairs = zip(known, leaving, strict=True)
        if not all(np.linalg.norm(one - other) <= SAME * np.linalg.norm(one) for one, other in pairs):  # nor if NaN
            raise InputError(
                f"{strand.describe(shard.index)}, computed again, end in another carry than the one stored in "
                f"{self.index.folder}: a carry, the model or frames were damaged; these frames were not written. "
                "Remove the folder of the stage and run without --from and --to"
            )
        return True

    def adopt(self, summary: Travelling, point: int) -> Travelling:
        """A summary from another worker, with what was not sent: this model's own transition."""
        return self.travel.adopt(summary, point)

    def entering_carry(self, place: Place, point: int) -> Carry:
        """The carry that enters a shard, as the shard before it stored it; nothing enters the first."""
        carry = self.index.read(self.strands[place.strand].name, place.index, point)
        return self.travel.pack_carry(carry, point)

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return self.strands[place.strand].describe(place.index)

    def report(self) -> dict[str, float]:
        """Seconds by activity."""
        return self.clock.seconds()

    def close(self) -> None:
        """Ends the threads that read and write."""
        self.reader.close()
        self.writer.close()

    def _in_units(
        self, made: Float[Tensor, "time made depth height width"], phases: np.ndarray | None
    ) -> Float[np.ndarray, "time channel depth height width"]:
        """What the model made, in the units of the source, float64; of classes the likeliest one."""
        if self.model.settings.classes is not None:
            return made.argmax(1, keepdim=True).double().cpu().numpy()
        return self.normalisation.to_units(made.cpu().numpy(), phases)

    def _series(self, strand: Strand) -> Series:
        if strand.series not in self._known_series:
            volume = store.open_volume(self.prepared, strand.series)
            self._known_series[strand.series] = Series.of(volume, self.model, self.channels)
        return self._known_series[strand.series]

    def _behind(self, place: Place) -> Behind | None:
        """What lies behind a shard, for a model that looks both ways."""
        if self.behind is None:
            return None
        strand = self.strands[place.strand]
        shard, last = strand.shards[place.index], len(strand.shards) - 1
        carries = [
            to_device(self.behind.read(strand.name, last - place.index, point), self.device)
            for point in range(exchanges(self.model.settings))
        ]
        steps = self._series(strand).steps_of(shard, self.device, later=True)
        return Behind(None if place.index == last else carries, steps)

    def _phases(self, strand: Strand, shard: Shard) -> np.ndarray | None:
        """The phases of the year that a shard's forecasts are for, if the normalisation knows any."""
        if strand.name not in self._known_phases:
            forecast = store.open_volume(strand.forecast)
            self._known_phases[strand.name] = forecast[PHASE].values if PHASE in forecast.coords else None
        phases = self._known_phases[strand.name]
        return None if phases is None else phases[shard.start : shard.stop]

    @cached_property
    def _frame(self) -> tuple[int, ...]:
        """The shape of a frame, of all series the same."""
        return tuple(store.open_volume(self.prepared, self.strands[0].series)[DATA].shape[1:])

    def _read(self, place: Place) -> np.ndarray:
        strand = self.strands[place.strand]
        shard = strand.shards[place.index]
        span = (strand.series, shard.start, shard.stop)
        read = partial(store.read_frames, self.prepared, *span, empty=memory.empty)
        return patiently(read, f"reading frames {shard.start} to {shard.stop - 1} of {self.prepared}", self.clock)
