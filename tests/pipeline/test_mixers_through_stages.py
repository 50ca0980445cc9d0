"""Every mixer through whole stages, on volumes with holes and, where it can, uneven times: forecasts and rollouts, and
both ways along runs; cut in any way the same."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cluster import LocalExecutor
from pipeline.checkpoint import Checkpoint
from pipeline.infer import InferSettings
from pipeline.network.settings import ModelSettings
from pipeline.preprocess import Normalise, PreprocessSettings, preprocess
from pipeline.reshape import Reshape
from pipeline.rollouts.settings import RolloutSettings
from pipeline.splits import Period, Splits
from pipeline.storage import store
from pipeline.train import train
from pipeline.training.settings import TrainSettings
from pipeline.volume import AXES
from ssm_ops.mixers.catalogue import MIXERS
from tests.rolled import rolled
from tests.written import write_volume
from workflows.model_stages import across_time

FRAMES, RUNS = 30, (0, 11, 19)
USUAL = ("gru", "attention", "convs5")
"""Of each kind one, in turn with a state, in turn with a cache, side by side; the others are slow trials."""
FLOAT32 = 1e-5
"""What cuts may do to forecasts, relative."""
EACH = [pytest.param(name, marks=[] if name in USUAL else pytest.mark.slow) for name in MIXERS]
SMALL = TrainSettings(steps=3, window=6, burn_in=2, warm_up=0, learning_rate=0.01, validate_every=3, threads=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Volumes of 4 x 4 x 5 in three runs that are joined, noisy and clean, with holes and gaps in time."""
    folder = tmp_path_factory.mktemp("volumes")
    draw = np.random.default_rng(5)
    clean = np.cumsum(draw.standard_normal((FRAMES, 1, 4, 4, 5)), 0)
    data = np.concatenate([clean + draw.standard_normal(clean.shape), clean], 1).astype(np.float32)
    data[draw.random((FRAMES, 1, 4, 4, 5)).repeat(2, axis=1) < 0.05] = np.nan
    times = np.cumsum(draw.choice([1.0, 1.0, 1.0, 2.5], FRAMES))
    coordinates = {
        "time": ("time", times, {"units": "s"}),
        "run": ("time", np.repeat(range(len(RUNS)), np.diff([*RUNS, FRAMES]))),
        "channel": ("channel", np.array(["noisy", "clean"], object)),
    }
    write_volume({None: xr.Dataset({"data": (AXES, data)}, coordinates)}, folder / "raw" / "raw.zarr", {None: 16})
    splits = Splits(*(Period("a", *times[[first, last]]) for first, last in ((0, 17), (18, 23), (24, 29))))
    settings = PreprocessSettings(
        splits, Normalise("channel", "channel"), missing="mask", reshape=Reshape(runs="joined")
    )
    list(preprocess(settings, {"a": folder / "raw"}, folder / "prepared"))
    return folder / "prepared"


def trained(model: ModelSettings, prepared: Path, folder: Path) -> dict[str, Path]:
    """A model that has learned a little, with weights of which each says something."""
    folder.mkdir()
    list(train(dataclasses.replace(SMALL, model=model), {"prepared": prepared}, folder))
    made = Checkpoint.load(folder / "checkpoint.zarr")
    assert all(np.isfinite(weight).all() for weight in made.best.values())
    return {"prepared": prepared, "model": folder}


def applied(inputs: dict[str, Path], output: Path, *, workers: int, chunk: int, chunks_per_shard: int = 1):
    output.mkdir()
    settings = InferSettings("a", chunk=chunk, chunks_per_shard=chunks_per_shard)
    list(across_time(settings, inputs, output, LocalExecutor(workers)))
    return store.read_frames(output / "prediction.zarr", None, 0, FRAMES)


def same_in_all_cuts(inputs: dict[str, Path], folder: Path) -> np.ndarray:
    """What a model makes of all frames: whole, and in shards, whose bits do not depend on the number of workers."""
    whole = applied(inputs, folder / "whole", workers=1, chunk=FRAMES)
    shards = applied(inputs, folder / "shards", workers=3, chunk=4, chunks_per_shard=2)
    alone = applied(inputs, folder / "alone", workers=1, chunk=4, chunks_per_shard=2)
    assert alone.tobytes() == shards.tobytes()
    assert apart(shards, whole) < FLOAT32
    return whole


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The difference, relative."""
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@pytest.mark.parametrize("mixer", EACH)
def test_both_ways(prepared, tmp_path, mixer):
    """Denoising, where later frames count too, and do not beyond the end of a run."""
    uneven = MIXERS[mixer].kind.uneven
    model = ModelSettings("denoise", True, ("clean",), ("noisy",), mixer=mixer, channels=2, states=2, uneven=uneven)
    inputs = trained(model, prepared, tmp_path / "model")
    found = same_in_all_cuts(inputs, tmp_path)
    assert found.shape == (FRAMES, 1, 4, 4, 5)
    assert np.abs(np.diff(found, axis=0)).max() > 0.1


@pytest.mark.parametrize("mixer", EACH)
def test_forecasts(prepared, tmp_path, mixer):
    """One frame ahead, and rolled out from two frames in blocks of other sizes."""
    uneven = MIXERS[mixer].kind.uneven
    model = ModelSettings(mixer=mixer, channels=2, states=2, layers=2, uneven=uneven, patch=2)
    inputs = trained(model, prepared, tmp_path / "model")
    found = same_in_all_cuts(inputs, tmp_path)
    ahead = []
    for chunk in (2, 7, FRAMES):
        rolled(RolloutSettings("a", 5, chunk=chunk), inputs, tmp_path / f"rollout-{chunk}")
        ahead.append(store.read_frames(tmp_path / f"rollout-{chunk}" / "rollout.zarr", None, 0, 5))
        assert apart(ahead[-1], ahead[0]) < FLOAT32
    assert apart(ahead[0][0], found[-1]) < FLOAT32
