"""Stage `infer`: forecasts of a whole series, shard by shard, each shard a program that exchanges one carry a layer.

This file knows what a shard of volumes is, and nothing about where it runs: `workflows.catalog` hands `ShardWorker` and
the shards to an executor of `cluster`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cftime
import numpy as np
import torch
import xarray as xr

from pipeline import store
from pipeline.atomic import write_text
from pipeline.checkpoint import Checkpoint
from pipeline.device import own_device
from pipeline.model import ModelSettings, exchanges
from pipeline.volume import DATA, InputError, Settings, Shard, cut
from ssm_ops import Affine
from ssm_ops.carry import Carry, Program

VERSION = 3


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

    def __init__(self, settings: InferSettings, inputs: dict[str, Path], output: Path):
        self.settings, self.output = settings, output
        self.prepared, self.checkpoint = inputs["prepared"] / "prepared.zarr", inputs["model"] / "checkpoint.zarr"
        known = store.groups(self.prepared)
        if settings.series not in known:
            raise InputError(f"series {settings.series!r} was not prepared; the prepared series are {', '.join(known)}")
        self.frames = store.open_volume(self.prepared, settings.series).sizes["time"]
        self.shards = cut(self.frames, settings.chunk, settings.chunks_per_shard)

    def prepare(self) -> None:
        """Creates `prediction.zarr`, unless an interrupted run already did."""
        path = self.output / "prediction.zarr"
        if not path.exists():
            (self.output / "committed.json").unlink(missing_ok=True)  # what it vouched for is gone
            volume = store.open_volume(self.prepared, self.settings.series, chunked=True)
            store.create_volume(
                forecast_template(volume, self.settings.series), path, min(self.settings.chunk, self.frames)
            )

    def committed(self) -> int:
        """How many shards, from the first on, are finished for good."""
        path = self.output / "committed.json"
        return json.loads(path.read_text())["shards"] if path.exists() else 0

    def commit(self, shards: int) -> None:
        """Records that the first `shards` shards are written, with their carries."""
        write_text(self.output / "committed.json", json.dumps({"shards": shards}) + "\n")

    def worker(self) -> partial[ShardWorker]:
        """A picklable call that makes a worker of this job, wherever it runs."""
        return partial(
            ShardWorker, self.checkpoint, self.prepared, self.settings.series, self.output, self.settings.threads
        )

    @property
    def exchanges(self) -> int:
        """How often a shard's program exchanges a carry."""
        return exchanges(ModelSettings(**store.read_attributes(self.checkpoint)["description"]["model"]))


class ShardWorker:
    """Forecasts shards on one device. Holds the model; what it writes is owned by it alone."""

    def __init__(self, checkpoint: Path, prepared: Path, series: str, output: Path, threads: int):
        torch.set_num_threads(threads)
        self.device = own_device()
        loaded = Checkpoint.load(checkpoint)
        self.model = loaded.best_model().to(self.device)
        self.mean, self.scale = loaded.statistics["mean"], loaded.statistics["scale"]
        self.prepared, self.series, self.output = prepared, series, output

    def program(self, shard: Shard) -> Program[int]:
        """Reads a shard, forecasts it, writes its chunks and the carries that leave it; returns its frames.

        Carries are numpy arrays here: they may travel between machines.
        """
        chunks = [
            torch.from_numpy(store.read_frames(self.prepared, self.series, *span)).to(self.device)
            for span in shard.chunks()
        ]
        program, leaving = self.model.program(chunks), []
        summary = Summary(next(program), self.device)
        while True:
            carry = yield summary
            leaving.append(summary(carry))
            try:
                summary = Summary(program.send(to_device(carry, self.device)), self.device)
            except StopIteration as stop:
                forecasts = stop.value
                break
        for (start, _), forecast in zip(shard.chunks(), forecasts, strict=True):
            physical = forecast.cpu().numpy().astype(np.float64) * self.scale + self.mean
            store.write_frames(self.output / "prediction.zarr", start, physical)
        carries = {f"point_{point}": carry for point, carry in enumerate(leaving)}
        store.write_arrays(self.carry_path(shard.index + 1), carries, {"frame": shard.stop})
        return shard.stop - shard.start

    def entering_carry(self, shard: Shard, point: int) -> Carry:
        """The carry that enters a shard, as the shard before it stored it; nothing enters the first."""
        if shard.index == 0:
            return None
        return store.read_array(self.carry_path(shard.index), f"point_{point}")

    def carry_path(self, index: int) -> Path:
        return self.output / "carry" / f"entering-shard-{index:06d}.zarr"


@dataclass(frozen=True)
class Summary:
    """A summary whose carries are numpy arrays."""

    map: Affine
    device: torch.device

    def __call__(self, carry: Carry) -> np.ndarray:
        return self.map(to_device(carry, self.device)).cpu().numpy()


def to_device(carry: Carry, device: torch.device) -> Carry:
    """A copy on the device: arrays that arrive from another worker are read-only."""
    return None if carry is None else torch.from_numpy(np.array(carry)).to(device)


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
