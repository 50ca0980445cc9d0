"""Stage `infer`: forecasts of a whole series, shard by shard, each shard a program that exchanges one carry a layer.

This file knows what a shard of volumes is, and nothing about where it runs: `workflows.catalog` hands `ShardWorker` and
the shards to an executor of `cluster`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cftime
import numpy as np
import torch
import xarray as xr

from pipeline import store
from pipeline.carried import CarryIndex, Travelling, to_device, travelling
from pipeline.checkpoint import Checkpoint
from pipeline.device import own_device
from pipeline.ledger import Ledger
from pipeline.model import Forecaster
from pipeline.stream import Clock, Reader, Writer, all_done, patiently
from pipeline.volume import DATA, SPACE, InputError, Settings, Shard, cut
from ssm_ops.carry import ASK, LATER, Carry, Place, Program

VERSION = 4


@dataclass(frozen=True)
class InferSettings(Settings):
    """Settings of an `infer` stage. Its inputs are a `preprocess` and a `train` stage.

    Attributes:
        series: The prepared series to forecast.
        chunk: Frames read, scanned and stored together.
        chunks_per_shard: Chunks that one worker owns in a row.
        threads: CPU threads of a worker.
    """

    series: str
    chunk: int = 16
    chunks_per_shard: int = 1
    threads: int = 1

    def __post_init__(self):
        for name in ("chunk", "chunks_per_shard", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")


class InferJob:
    """The forecast of one series: its shards, its output store, and which shards are committed."""

    strand = "series"

    def __init__(self, settings: InferSettings, inputs: dict[str, Path], output: Path):
        self.settings, self.output = settings, output
        self.prepared, self.checkpoint = inputs["prepared"] / "prepared.zarr", inputs["model"] / "checkpoint.zarr"
        known = store.groups(self.prepared)
        if settings.series not in known:
            raise InputError(f"series {settings.series!r} was not prepared; the prepared series are {', '.join(known)}")
        self.volume = store.open_volume(self.prepared, settings.series)
        self.frames = self.volume.sizes["time"]
        self.shards = cut(self.frames, settings.chunk, settings.chunks_per_shard)
        self.lengths, self.most, self.threads = [len(self.shards)], len(self.shards), settings.threads
        self.work = 0.0  # not known: it depends on the model

    def prepare(self) -> None:
        """Creates `prediction.zarr`, unless an interrupted run already did."""
        path = self.output / "prediction.zarr"
        if not path.exists():
            (self.output / "committed.json").unlink(missing_ok=True)  # what it vouched for is gone
            volume = store.open_volume(self.prepared, self.settings.series, chunked=True)
            store.create_volume(
                forecast_template(volume, self.settings.series), path, min(self.settings.chunk, self.frames)
            )
        CarryIndex(self.output / "carry").prepare([self.strand])
        self.ledger = Ledger(self.output / "committed.json", [self.strand])

    @property
    def states(self) -> list[int]:
        """Bytes of the carry at each exchange point."""
        description = store.read_attributes(self.checkpoint)["description"]
        return Forecaster.from_description(description).carry_bytes(tuple(self.volume.sizes[axis] for axis in SPACE))

    def worker(self) -> partial[ShardWorker]:
        """A picklable call that makes a worker of this job, wherever it runs."""
        return partial(
            ShardWorker, self.checkpoint, self.prepared, self.settings.series, self.output, self.shards, self.threads
        )

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return in_words(self.shards[place.index], self.settings.series)


class ShardWorker:
    """Forecasts shards on one device. Holds the model; what it writes is owned by it alone."""

    def __init__(self, checkpoint: Path, prepared: Path, series: str, output: Path, shards: list[Shard], threads: int):
        torch.set_num_threads(threads)
        self.device = own_device()
        loaded = Checkpoint.load(checkpoint)
        self.model = loaded.best_model().to(self.device)
        self.mean, self.scale = loaded.statistics["mean"], loaded.statistics["scale"]
        self.prepared, self.series, self.output, self.shards = prepared, series, output, shards
        self.index = CarryIndex(output / "carry")
        self.clock = Clock()
        self.reader = Reader(self._read, self.clock)
        frame = math.prod(store.open_volume(prepared, series)[DATA].shape[1:])
        self.writer = Writer(self.clock, room=8 * frame * max(shard.stop - shard.start for shard in shards))

    def expect(self, places: Sequence[Place]) -> None:
        """The shards that will be asked for."""
        self.reader.expect([place.index for place in places])

    def program(self, place: Place) -> Program[Callable[[float], int]]:
        """Reads a shard, forecasts it, writes its chunks and the carries that leave it; the result waits for the
        writes and gives the shard's frames.

        Carries are numpy arrays here: they may travel between machines.
        """
        shard = self.shards[place.index]
        frames = self.reader.take(place.index)
        chunks = [
            torch.from_numpy(frames[a - shard.start : b - shard.start]).to(self.device) for a, b in shard.chunks()
        ]
        program, leaving = self.model.program(chunks), []
        with self.clock("computing", place):
            said = next(program)
        while True:
            if said is ASK:
                carry = yield ASK
                entering = carry if carry is LATER else to_device(carry, self.device)
                with self.clock("computing", place):
                    said = program.send(entering)
            summary = travelling(said)
            carry = yield summary
            leaving.append(summary(carry))
            try:
                with self.clock("computing", place):
                    said = program.send(to_device(carry, self.device))
            except StopIteration as stop:
                forecasts = stop.value
                break
        with self.clock("computing", place):
            physical = torch.cat(forecasts).cpu().numpy().astype(np.float64) * self.scale + self.mean

        def write() -> None:
            for start, stop in shard.chunks():
                part = physical[start - shard.start : stop - shard.start]
                where = f"writing frames {start} to {stop - 1} of {self.output / 'prediction.zarr'}"
                patiently(partial(store.write_frames, self.output / "prediction.zarr", start, part), where)
            index = partial(self.index.write, InferJob.strand, shard.index + 1, shard.stop, leaving)
            patiently(index, f"writing the carries that enter shard {shard.index + 1}")

        return all_done([self.writer.put(write, physical.nbytes, place)], shard.stop - shard.start)

    def adopt(self, summary: Travelling, point: int) -> Travelling:
        """A summary from another worker, with what was not sent: this model's own transition."""
        if summary.power is None:
            power = self.model.power(point, self._grid, summary.span)
            summary.power = power if isinstance(power, float) else power.cpu().numpy()
        return summary

    def entering_carry(self, place: Place, point: int) -> Carry:
        """The carry that enters a shard, as the shard before it stored it; nothing enters the first."""
        return self.index.read(InferJob.strand, place.index, point)

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return in_words(self.shards[place.index], self.series)

    def report(self) -> dict[str, float]:
        """Seconds by activity."""
        return self.clock.seconds()

    def close(self) -> None:
        """Ends the threads that read and write."""
        self.reader.close()
        self.writer.close()

    @cached_property
    def _grid(self) -> tuple[int, ...]:
        return tuple(store.open_volume(self.prepared, self.series)[DATA].shape[2:])

    def _read(self, index: int) -> np.ndarray:
        shard = self.shards[index]
        read = partial(store.read_frames, self.prepared, self.series, shard.start, shard.stop)
        return patiently(read, f"reading frames {shard.start} to {shard.stop - 1} of {self.prepared}")


def in_words(shard: Shard, series: str) -> str:
    return f"frames {shard.start} to {shard.stop - 1} of series {series}"


def forecast_template(volume: xr.Dataset, series: str) -> xr.Dataset:
    """The volume's coordinates moved one step on: element t of the output is the forecast of frame t + 1.

    The last forecast lies one step beyond the series; its time continues the last step.
    """
    numbers = cftime.date2num(volume["time"].values, **time_encoding(volume))
    numbers = np.append(numbers[1:], 2 * numbers[-1] - numbers[-2])
    moved = volume.drop_vars([c for c in volume.coords if "time" in volume[c].dims])
    moved = moved.assign_coords(time=("time", cftime.num2date(numbers, **time_encoding(volume)), volume["time"].attrs))
    moved["time"].encoding = time_encoding(volume)
    attributes = {key: value for key, value in volume[DATA].attrs.items() if key != "normalised_from"}
    moved[DATA].attrs = {**attributes, "units": volume[DATA].attrs["normalised_from"]}
    return moved.assign_attrs(series=series, forecast="one step ahead; the time is the time that the forecast is for")


def time_encoding(volume: xr.Dataset) -> dict:
    return {key: volume["time"].encoding[key] for key in ("units", "calendar")}
