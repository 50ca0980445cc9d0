"""Any plan agrees with one process and with the float64 twin; one plan is the same bits; one writer a chunk."""

import numpy as np
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor
from cluster.local import LocalGroup
from pipeline import store
from pipeline.checkpoint import Checkpoint
from pipeline.infer import InferJob, InferSettings
from pipeline.model import ModelSettings
from pipeline.train import TrainSettings, train
from pipeline.volume import InputError, cut
from tests.whole_model import forecasts
from workflows.catalog import across_time

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
    expected = forecasts(loaded.best, frames[:, :, 0], ("reflect", "reflect"), layers=2)[:, :, None]
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


def test_ray_gives_the_bits_of_this_process(inputs, tmp_path, ray_executor):
    settings = InferSettings("b", chunk=7)
    on_ray = predict(ray_executor, settings, inputs, tmp_path / "ray")
    here = predict(LocalExecutor(3), settings, inputs, tmp_path / "local")
    again = predict(ray_executor, settings, inputs, tmp_path / "again")
    assert on_ray.tobytes() == again.tobytes() == here.tobytes()


def test_a_transition_that_the_input_steers_agrees_too(inputs, tmp_path, written, ray_executor):
    """Complex carries, and summaries that depend on what the shard holds."""
    model = ModelSettings(channels=3, states=4, transition="pointwise", selective=True)
    settings = TrainSettings(model, steps=5, window=24, burn_in=4, learning_rate=0.03, warm_up=0, threads=1)
    (tmp_path / "model").mkdir()
    list(train(settings, {"prepared": inputs["prepared"]}, tmp_path / "model"))
    inputs = {**inputs, "model": tmp_path / "model"}
    loaded = Checkpoint.load(tmp_path / "model" / "checkpoint.zarr")
    frames = store.read_frames(inputs["prepared"] / "prepared.zarr", "b", 0, 130)
    with torch.no_grad():
        forecast = loaded.best_model()(torch.from_numpy(frames))[0].numpy()
    here = predict(LocalExecutor(3), InferSettings("b", chunk=7), inputs, tmp_path / "local")
    scale, mean = loaded.statistics["scale"], loaded.statistics["mean"]
    increment = (forecast - frames) * scale
    assert np.linalg.norm(written() - (forecast * scale + mean)) <= 1e-5 * np.linalg.norm(increment)
    on_ray = predict(ray_executor, InferSettings("b", chunk=7), inputs, tmp_path / "ray")
    assert on_ray.tobytes() == here.tobytes()


@pytest.mark.parametrize("waves", [0, 1, 3])
def test_an_interrupted_run_continues_to_the_same_bits(inputs, tmp_path, waves):
    settings = InferSettings("b", chunk=7)
    whole = predict(LocalExecutor(2), settings, inputs, tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()
    steps = across_time(settings, inputs, broken, LocalExecutor(2))
    for _ in range(2 + waves):
        next(steps)
    steps.close()
    assert InferJob(settings, inputs, broken).committed() == 2 * waves
    before = store.read_frames(broken / "prediction.zarr", None, 0, 130)
    assert np.isnan(before[14 * waves :]).all()
    notes = [progress.done for progress in across_time(settings, inputs, broken, LocalExecutor(2))]
    assert notes[0] == 2 * waves
    assert store.read_frames(broken / "prediction.zarr", None, 0, 130).tobytes() == whole.tobytes()


def test_a_run_may_continue_on_another_number_of_workers(inputs, tmp_path):
    settings = InferSettings("b", chunk=7)
    whole = predict(LocalExecutor(1), settings, inputs, tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()
    steps = across_time(settings, inputs, broken, LocalExecutor(3))
    for _ in range(4):
        next(steps)
    steps.close()
    list(across_time(settings, inputs, broken, LocalExecutor(2)))
    np.testing.assert_allclose(store.read_frames(broken / "prediction.zarr", None, 0, 130), whole, rtol=2e-7)


def test_each_chunk_is_written_once_by_one_worker(inputs, tmp_path, monkeypatch):
    writes, calling = [], []
    original_call, original_write = LocalGroup.call, store.write_frames

    def call(self, worker, method, *arguments):
        calling.append(worker)
        return original_call(self, worker, method, *arguments)

    def write(path, start, frames):
        writes.append((start, len(frames), calling[-1]))
        original_write(path, start, frames)

    monkeypatch.setattr(LocalGroup, "call", call)
    monkeypatch.setattr(store, "write_frames", write)
    predict(LocalExecutor(3), InferSettings("b", chunk=8, chunks_per_shard=2), inputs, tmp_path / "out")
    assert sorted(start for start, _, _ in writes) == list(range(0, 130, 8))
    assert sum(length for _, length, _ in writes) == 130
    stored = store.open_volume(tmp_path / "out" / "prediction.zarr", chunked=True)
    assert stored["data"].chunks[0] == (8,) * 16 + (2,)
    owners = {start // 16: worker for start, _, worker in writes}
    assert all(owners[start // 16] == worker == start // 16 % 3 for start, _, worker in writes)


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
    job = InferJob(InferSettings("b"), inputs, tmp_path)
    program = job.worker()().program(job.shards[0])
    next(program)
    assert torch.is_grad_enabled()


def test_an_unknown_series(inputs, tmp_path):
    with pytest.raises(InputError, match="series 'c' was not prepared; the prepared series are a, b"):
        InferJob(InferSettings("c"), inputs, tmp_path)


def test_shards_are_whole_chunks():
    shards = cut(20, 3, 2)
    assert [(s.start, s.stop) for s in shards] == [(0, 6), (6, 12), (12, 18), (18, 20)]
    assert shards[0].chunks() == [(0, 3), (3, 6)]
    assert shards[-1].chunks() == [(18, 20)]
