"""Several series in one stage: each has the bits of itself alone, over any number of workers, interrupted or not."""

import json

import pytest

from cluster import LocalExecutor
from pipeline.dataset import forecast_of
from pipeline.infer import InferJob, InferSettings
from pipeline.storage import arrays, store
from pipeline.volume import InputError
from tests.synthetic import progress_of
from tests.written import write_volume
from workflows.model_stages import across_time

FRAMES = {"a": 40, "b": 33, "c": 40}
SEVERAL = InferSettings(("a", "b", "c"), chunk=5)


@pytest.fixture(scope="module")
def inputs(finished_run, tmp_path_factory):
    """Three series of the finished run's model, one of them shorter."""
    folder = tmp_path_factory.mktemp("several")
    prepared = finished_run["prepared"] / "prepared.zarr"
    a, b = (store.open_volume(prepared, name, chunked=True) for name in "ab")
    volumes = {"a": a[{"time": slice(40)}], "b": b[{"time": slice(33)}], "c": b[{"time": slice(50, 90)}]}
    write_volume(volumes, folder / "prepared.zarr", dict.fromkeys(volumes, 8))
    return {"prepared": folder, "model": finished_run["model"]}


@pytest.fixture(scope="module")
def alone(inputs, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for name in SEVERAL.series:
        (folder / name).mkdir()
        list(across_time(InferSettings(name, chunk=5), inputs, folder / name, LocalExecutor()))
        found[name] = bits(folder / name / "prediction.zarr", None, name)
    return found


def bits(prediction, group, name):
    return store.read_frames(prediction, group, 0, FRAMES[name]).tobytes()


def all_bits(output):
    return {name: bits(output / "prediction.zarr", name, name) for name in SEVERAL.series}


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_each_series_has_the_bits_of_itself_alone(inputs, alone, tmp_path, workers):
    lines = [step.line for step in progress_of(across_time(SEVERAL, inputs, tmp_path, LocalExecutor(workers)))]
    assert all_bits(tmp_path) == alone
    choice = next(line for line in lines if "worker" in line)
    expected = {
        1: "1 worker; no exchange",
        2: "3 series over 2 workers, 1 of them cut in time: longest worker 12 of 23 shards; all cut",
        3: "3 series over 3 workers: longest worker 8 of 23 shards; time cut would take 1.74 times as long",
        5: "3 series over 5 workers, 2 of them cut in time: longest worker 7 of 23 shards; all cut",
    }
    assert expected[workers] in choice


def test_interrupted_it_continues_on_another_number_of_workers(inputs, alone, tmp_path):
    steps = across_time(SEVERAL, inputs, tmp_path, LocalExecutor(3))
    for step in progress_of(steps):
        if step.done >= 9:
            break
    steps.close()
    assert sum(json.loads((tmp_path / "committed.json").read_text()).values()) == 9
    assert next(progress_of(across_time(SEVERAL, inputs, tmp_path, LocalExecutor(2)))).done == 9
    list(across_time(SEVERAL, inputs, tmp_path, LocalExecutor(2)))
    assert all_bits(tmp_path) == alone


def test_the_prediction_has_a_group_for_each_and_evaluation_takes_its_own(inputs, tmp_path):
    InferJob(SEVERAL, inputs, tmp_path).prepare()
    assert arrays.groups(tmp_path / "prediction.zarr") == ["a", "b", "c"]
    volume = store.open_volume(forecast_of(tmp_path, "b"))
    assert (volume.sizes["time"], volume.attrs["series"]) == (33, "b")
    with pytest.raises(InputError, match="the prediction is of the series a, b, c, the test split of series 'd'; add"):
        forecast_of(tmp_path, "d")


def test_series_that_do_not_go_together(inputs, tmp_path):
    with pytest.raises(ValueError, match=r"series is \['a', 'a'\]; give at least one, and each once"):
        InferSettings(("a", "a"))
    with pytest.raises(ValueError, match=r"series is \[\]"):
        InferSettings(())
    volumes = {name: store.open_volume(inputs["prepared"] / "prepared.zarr", name, chunked=True) for name in "ab"}
    narrow = {"a": volumes["a"], "b": volumes["b"][{"width": slice(5)}]}
    write_volume(narrow, tmp_path / "prepared.zarr", {"a": 8, "b": 8})
    with pytest.raises(InputError, match=r"those of 'b' are \(1, 1, 9, 5\); give each grid an infer stage of its own"):
        InferJob(InferSettings(("a", "b")), inputs | {"prepared": tmp_path}, tmp_path)
    assert not (tmp_path / "prediction.zarr").exists()
