"""Any plan agrees with one process and with the float64 twin; one plan is the same bits; one writer a chunk."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor, Place
from pipeline.checkpoint import Checkpoint
from pipeline.infer import InferJob, InferSettings
from pipeline.network.settings import ModelSettings
from pipeline.storage import store
from pipeline.train import train
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError, cut
from tests.synthetic import progress_of
from tests.whole_model import made
from workflows.model_stages import across_time

PLANS = [(1, 7, 1), (2, 7, 1), (3, 7, 1), (1, 16, 1), (2, 16, 1), (3, 16, 1), (2, 5, 3), (3, 130, 1), (2, 1000, 1)]


@pytest.fixture(scope="module")
def inputs(finished_run):
    return {"prepared": finished_run["prepared"], "model": finished_run["model"]}


@pytest.fixture(scope="module")
def single(inputs):
    """One process, one chunk: the increments over persistence, which is what the model adds."""
    loaded = Checkpoint.load(inputs["model"] / "checkpoint.zarr")
    frames = store.read_frames(inputs["prepared"] / "prepared.zarr", "b", 0, 130)
    with torch.no_grad():
        forecast, _ = loaded.best_model()(torch.from_numpy(frames))
    return loaded, frames, forecast.numpy()


def predict(executor, settings, inputs, output):
    output.mkdir()
    list(across_time(settings, inputs, output, executor))
    return store.read_frames(output / "prediction.zarr", None, 0, 130)


def test_one_process_is_the_float64_reference(single):
    loaded, frames, forecast = single
    expected = made(loaded.best, ModelSettings(), frames[:, :, 0], ("reflect", "reflect"))[:, :, None]
    increment = expected - frames
    assert np.linalg.norm(forecast - expected) <= 1e-5 * np.linalg.norm(increment)


@pytest.mark.parametrize(("workers", "chunk", "chunks_per_shard"), PLANS)
def test_every_plan_agrees_with_one_process(inputs, single, tmp_path, written, workers, chunk, chunks_per_shard):
    loaded, frames, forecast = single
    settings = InferSettings("b", chunk=chunk, chunks_per_shard=chunks_per_shard)
    predict(LocalExecutor(workers), settings, inputs, tmp_path / "out")
    scale, mean = loaded.statistics["scale"], loaded.statistics["mean"]
    increment = (forecast - frames) * scale  # what the model adds to persistence: far smaller than 280 K
    assert np.linalg.norm(written() - (forecast * scale + mean)) <= 1e-5 * np.linalg.norm(increment)


@pytest.mark.slow
def test_ray_gives_the_bits_of_this_process(inputs, tmp_path, ray_executor):
    settings = InferSettings("b", chunk=7)
    on_ray = predict(ray_executor, settings, inputs, tmp_path / "ray")
    here = predict(LocalExecutor(3), settings, inputs, tmp_path / "local")
    assert on_ray.tobytes() == here.tobytes()


OTHERS = {
    "complex carries, and summaries that depend on what the shard holds": {
        "transition": "pointwise",
        "selective": True,
    },
    "shards that wait for each other": {"mixer": "gru"},
    "a cache": {"mixer": "attention", "span": 3},
    "no memory": {"mixer": "frame-convolution"},
}


@pytest.mark.parametrize("choices", OTHERS.values(), ids=OTHERS)
def test_other_models_agree_too(inputs, tmp_path, written, choices):
    model = ModelSettings(channels=3, states=4, **choices)
    settings = TrainSettings(model, steps=5, window=24, burn_in=4, learning_rate=0.03, warm_up=0, threads=1)
    (tmp_path / "model").mkdir()
    list(train(settings, {"prepared": inputs["prepared"]}, tmp_path / "model"))
    inputs = {**inputs, "model": tmp_path / "model"}
    loaded = Checkpoint.load(tmp_path / "model" / "checkpoint.zarr")
    frames = store.read_frames(inputs["prepared"] / "prepared.zarr", "b", 0, 130)
    with torch.no_grad():
        forecast = loaded.best_model()(torch.from_numpy(frames))[0].numpy()
    bits = predict(LocalExecutor(3), InferSettings("b", chunk=7), inputs, tmp_path / "local").tobytes()
    assert predict(LocalExecutor(1), InferSettings("b", chunk=7), inputs, tmp_path / "one").tobytes() == bits
    scale, mean = loaded.statistics["scale"], loaded.statistics["mean"]
    increment = (forecast - frames) * scale
    assert np.linalg.norm(written() - (forecast * scale + mean)) <= 1e-5 * np.linalg.norm(increment)


@pytest.mark.slow
def test_shards_that_wait_for_each_other_are_the_same_bits_on_ray(inputs, tmp_path, ray_executor):
    model = ModelSettings(channels=3, states=4, mixer="lstm")
    (tmp_path / "model").mkdir()
    list(train(TrainSettings(model, steps=2, window=24, threads=1), inputs, tmp_path / "model"))
    inputs, settings = {**inputs, "model": tmp_path / "model"}, InferSettings("b", chunk=7)
    on_ray = predict(ray_executor, settings, inputs, tmp_path / "ray")
    assert predict(LocalExecutor(1), settings, inputs, tmp_path / "local").tobytes() == on_ray.tobytes()


def interrupted(settings, inputs, output, workers, shards):
    """A stage that is closed as soon as so many shards are committed."""
    output.mkdir()
    steps = across_time(settings, inputs, output, LocalExecutor(workers))
    while committed(output) < shards:
        next(steps)
    steps.close()


def committed(output):
    path = output / "committed.json"
    return json.loads(path.read_text())["series"] if path.exists() else 0


@pytest.mark.parametrize("shards", [0, 1, 2, 7])
def test_an_interrupted_run_continues_to_the_same_bits(inputs, tmp_path, shards):
    settings = InferSettings("b", chunk=7)
    whole = predict(LocalExecutor(2), settings, inputs, tmp_path / "whole")
    interrupted(settings, inputs, tmp_path / "broken", 2, shards)
    reached = committed(tmp_path / "broken")
    assert reached >= shards
    notes = [one.done for one in progress_of(across_time(settings, inputs, tmp_path / "broken", LocalExecutor(2)))]
    assert notes[0] == reached
    assert store.read_frames(tmp_path / "broken" / "prediction.zarr", None, 0, 130).tobytes() == whole.tobytes()


def test_the_number_of_workers_is_not_in_the_bits(inputs, tmp_path):
    settings = InferSettings("b", chunk=7)
    one = predict(LocalExecutor(1), settings, inputs, tmp_path / "1")
    for workers in (2, 3, 8):
        assert predict(LocalExecutor(workers), settings, inputs, tmp_path / str(workers)).tobytes() == one.tobytes()
    interrupted(settings, inputs, tmp_path / "broken", 3, 4)
    list(across_time(settings, inputs, tmp_path / "broken", LocalExecutor(2)))
    assert store.read_frames(tmp_path / "broken" / "prediction.zarr", None, 0, 130).tobytes() == one.tobytes()


def test_a_carry_tolerance_spares_messages_and_tells_its_bound(inputs, single, tmp_path, written):
    loaded, frames, forecast = single
    scale, mean = loaded.statistics["scale"], loaded.statistics["mean"]
    moved, errors = [], []
    for tolerance in (0.0, 1e-6, 0.2):
        settings, output = InferSettings("b", chunk=7, carry_tolerance=tolerance), tmp_path / str(tolerance)
        output.mkdir()
        lines = [one.line for one in progress_of(across_time(settings, inputs, output, LocalExecutor(3)))]
        assert ("layer 2, carry tolerance" in "".join(lines)) == (tolerance > 0)
        moved.append(
            next(float(word.split()[-2]) for line in lines for word in line.split("moved")[:1] if "moved" in line)
        )
        errors.append(
            np.linalg.norm(written() - (forecast * scale + mean)) / np.linalg.norm((forecast - frames) * scale)
        )
    assert moved[2] < moved[1] <= moved[0]
    assert errors[0] < 1e-5
    assert errors[1] < 1e-5
    assert 1e-6 < errors[2] < 0.5


def test_a_selective_model_has_no_classes(inputs, tmp_path):
    model = ModelSettings(channels=3, states=4, selective=True)
    (tmp_path / "model").mkdir()
    settings = TrainSettings(model, steps=1, window=8, burn_in=2, threads=1)
    list(train(settings, {"prepared": inputs["prepared"]}, tmp_path / "model"))
    (tmp_path / "out").mkdir()
    given = InferSettings("b", carry_tolerance=1e-6)
    with pytest.raises(InputError, match="a carry tolerance of 1e-06 for a selective model"):
        list(across_time(given, {**inputs, "model": tmp_path / "model"}, tmp_path / "out", LocalExecutor()))
    assert not list((tmp_path / "out").iterdir())


def test_each_chunk_is_written_once(inputs, tmp_path, monkeypatch):
    writes = []
    original_write = store.write_frames

    def write(path, start, frames):
        writes.append((start, len(frames)))
        return original_write(path, start, frames)

    monkeypatch.setattr(store, "write_frames", write)
    predict(LocalExecutor(3), InferSettings("b", chunk=8, chunks_per_shard=2), inputs, tmp_path / "out")
    assert sorted(start for start, _ in writes) == list(range(0, 130, 8))
    assert sum(length for _, length in writes) == 130
    stored = store.open_volume(tmp_path / "out" / "prediction.zarr", chunked=True)
    assert stored["data"].encoding["chunks"][0] == 8


def test_the_prediction_bears_the_times_it_is_for(finished_run):
    prediction = xr.open_zarr(finished_run["forecast"] / "prediction.zarr", consolidated=False)
    truth = xr.open_zarr(finished_run["raw_b"] / "raw.zarr", consolidated=False)
    assert (prediction["time"].values[:-1] == truth["time"].values[1:]).all()
    assert (
        prediction["time"].values[-1] - prediction["time"].values[-2]
        == truth["time"].values[1] - truth["time"].values[0]
    )
    assert prediction["time"].dt.calendar == "360_day"
    np.testing.assert_array_equal(prediction["latitude"], truth["latitude"])
    assert prediction["data"].attrs["units"] == "K"


def test_a_paused_program_leaves_gradients_on(inputs, tmp_path):
    worker = InferJob(InferSettings("b"), inputs, tmp_path).worker()()
    worker.expect([Place(0, 0)])
    next(worker.program(Place(0, 0)))
    assert torch.is_grad_enabled()
    worker.close()


def test_an_unknown_series(inputs, tmp_path):
    with pytest.raises(InputError, match="series 'c' was not prepared; the prepared series are a, b"):
        InferJob(InferSettings("c"), inputs, tmp_path)


def test_shards_are_whole_chunks():
    shards = cut(20, 3, 2)
    assert [(s.start, s.stop) for s in shards] == [(0, 6), (6, 12), (12, 18), (18, 20)]
    assert shards[0].chunks() == [(0, 3), (3, 6)]
    assert shards[-1].chunks() == [(18, 20)]
