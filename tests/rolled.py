"""Series and models to roll out: months with a yearly cycle and holes, and weights that all say something."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from pipeline import rollout
from pipeline.checkpoint import Checkpoint, to_arrays
from pipeline.masks import data_channels, masks_of
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.preprocess import PreprocessSettings, preprocess
from pipeline.rollouts.settings import RolloutSettings
from pipeline.splits import Period, Splits
from pipeline.storage import arrays, store
from pipeline.training.checkpoints import Checkpoints
from pipeline.volume import AXES
from tests.written import write_volume

FRAMES = {"a": 48, "b": 40}
SPLITS = Splits(Period("a", 1990, 1992), Period("a", 1993, 1993), Period("b", "1992-01", "1993-02"))


def months(frames: int, seed: int) -> xr.Dataset:
    """Two channels of monthly frames (time, 2, 1, 4, 5), a yearly cycle and noise; a twentieth of all is missing."""
    draw = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(frames) / 12
    data = (
        draw.standard_normal((frames, 2, 1, 4, 5)).cumsum(axis=0) / 5 + draw.standard_normal((frames, 2, 1, 4, 5)) / 5
    )
    data += 10 * np.cos(phase)[:, None, None, None, None] * np.arange(1, 5)[:, None]
    data[draw.random((frames, 1, 1, 4, 5)).repeat(2, axis=1) < 0.05] = np.nan
    times = xr.date_range("1990-01-01", periods=frames, freq="MS", calendar="noleap", use_cftime=True)
    volume = xr.Dataset(
        {"data": (AXES, np.float32(data + 280))}, {"time": times, "channel": np.array(["u", "v"], object)}
    )
    volume = volume.assign_coords(latitude=("height", np.linspace(-60.0, 60.0, 4)))
    volume["data"].attrs["units"] = "K"
    return volume


def write_prepared(folder: Path) -> Path:
    """Series `a` and `b`, prepared as anomalies from months, under masks."""
    inputs = {}
    for seed, (name, frames) in enumerate(FRAMES.items()):
        inputs[name] = folder / f"raw_{name}"
        write_volume({None: months(frames, seed)}, inputs[name] / "raw.zarr", {None: 7})
    prepared = folder / "prepared-0"
    prepared.mkdir()
    list(preprocess(PreprocessSettings(SPLITS, missing="mask", anomalies="month"), inputs, prepared))
    return prepared


def write_model(folder: Path, prepared: Path, seed: int, *, checkpoints: int = 0) -> Path:
    """A model of random weights, as training leaves it; its checkpoints have others."""
    statistics, learned_from = arrays.read_arrays(prepared / "statistics.zarr")
    volume = store.open_volume(prepared / "prepared.zarr", "a")
    for step in range(checkpoints + 1):
        torch.manual_seed(100 * seed + step)
        model = Forecaster(
            ModelSettings(channels=3, states=4, layers=1),
            volume_channels=data_channels(volume),
            boundary=("reflect",) * 3,
            depth=1,
            masks=masks_of(volume),
        )
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.03 * torch.randn_like(weight))
        weights = to_arrays(model.state_dict())
        made = Checkpoint(step, model.description(), weights, {}, weights, statistics, 1.0, learned_from)
        made.save(Checkpoints(folder, 9).path(step) if step else folder / "checkpoint.zarr")
    return folder


def rolled(settings: RolloutSettings, inputs: dict[str, Path], output: Path) -> list:
    """All that the stage tells; it leaves a finished folder."""
    output.mkdir(parents=True, exist_ok=True)
    told = list(rollout.rollout(settings, inputs, output))
    manifest = {
        "version": rollout.VERSION,
        "settings": asdict(settings),
        "inputs": {role: path.name for role, path in inputs.items()},
    }
    (output / "manifest.json").write_text(json.dumps(manifest))
    (output / "SUCCESS").touch()
    return told


def results(output: Path) -> dict[str, object]:
    """Forecasts by group, lines of the record, and tables: all that must be the same."""
    path, found = output / "rollout.zarr", {}
    if arrays.is_store(path):
        for group in arrays.groups(path) or [None]:
            volume = store.open_volume(path, group)
            found[str(group)] = (volume["data"].values.tobytes(), [str(time) for time in volume["time"].values])
    for name in ("scores.json", "scores_by_lead.csv"):
        if (output / name).exists():
            found[name] = (output / name).read_text()
    record = output / "scores.jsonl"
    found["record"] = set(record.read_text().splitlines()) if record.exists() else set()
    return found
