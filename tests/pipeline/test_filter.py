"""The scan of a store: the plain scan of its data, however it is cut, interrupted and continued."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor
from cluster.exchange import EXCHANGES
from pipeline import filter as filtering
from pipeline.filter import FilterJob, FilterSettings
from pipeline.volume import InputError
from ssm_ops import Propagator, scan
from tests.synthetic import Silent, Stops
from workflows.commands.filtering import run_filter

SHAPE, CHUNK = (37, 4, 1, 12, 10), 4
BOUNDARY, VELOCITY = ("reflect", "reflect", "periodic"), (0.0, 0.0, 0.5)
SETTINGS = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY)


def write_input(path, shape=SHAPE, dtype=np.float32, missing=0.02):
    dice = np.random.default_rng(3)
    data = dice.standard_normal(shape).astype(dtype)
    data[dice.random(shape) < missing] = np.nan
    times = np.cumsum(dice.random(shape[0]) + 0.5)
    volume = xr.Dataset(
        {"data": (("time", "channel", "depth", "height", "width"), data, {"units": "K"})},
        {"time": ("time", times, {"units": "days since 2000-01-01"}), "height": ("height", 1.5 * np.arange(shape[3]))},
    )
    encoding = {"data": {"chunks": (CHUNK, *shape[1:])}}
    volume.to_zarr(path, encoding=encoding, consolidated=False)
    return data, times


@pytest.fixture(autouse=True)
def many_parts(monkeypatch):
    """Small channels are strands too."""
    monkeypatch.setattr(filtering, "PART_BYTES", 1)


@pytest.fixture
def source(tmp_path):
    data, times = write_input(tmp_path / "in.zarr")
    return tmp_path / "in.zarr", data, times


def expected(data, times=None, dt=1.0):
    x = torch.from_numpy(np.nan_to_num(data.astype(np.float64)))[:, :, 0]
    steps = dt if times is None else torch.from_numpy(np.append(1.0, np.diff(times) / np.median(np.diff(times))))
    states, _ = scan(x, Propagator(0.1, 0.2, VELOCITY[1:]), boundary=BOUNDARY[1:], dt=steps)
    return states[:, :, None].numpy()


def run(source, output, settings=SETTINGS, *, workers=1, shard=8, **options):
    heard = Silent()
    run_filter(FilterJob(settings, source, output, shard=shard), LocalExecutor(workers), heard, **options)
    return xr.open_zarr(output, consolidated=False, decode_cf=False)["data"].values, heard.lines()


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("cut", ["time", "channels"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_cut_is_the_plain_scan(workers, cut, exchange, source, tmp_path):
    path, data, _ = source
    found, lines = run(path, tmp_path / "out.zarr", workers=workers, cut=cut, exchange=exchange)
    assert np.abs(found - expected(data)).max() < 1e-5
    if cut == "time" and workers > 1:
        moved, predicted = lines[-1].split("; ")[1].split(" moved between workers, ")
        assert predicted == f"{moved} were predicted"


def test_the_bits_depend_on_neither_workers_nor_cut(source, tmp_path):
    path, _, _ = source
    one, _ = run(path, tmp_path / "one.zarr")
    for number, options in enumerate(
        [{"workers": 2}, {"workers": 3, "cut": "time"}, {"workers": 4, "cut": "channels"}, {"exchange": "all-gather"}]
    ):
        other, _ = run(path, tmp_path / f"{number}.zarr", **{"workers": 3, **options})
        assert other.tobytes() == one.tobytes()


@pytest.mark.parametrize("shape", [(9, 3, 6, 5, 4), (1, 1, 1, 4, 3), (13, 5, 1, 1, 8)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_volumes_odd_shapes_and_precisions(shape, dtype, tmp_path):
    data, _ = write_input(tmp_path / "in.zarr", shape, dtype)
    settings = FilterSettings(0.1, 0.2, boundary=("reflect", "dirichlet", "periodic"))
    found, _ = run(tmp_path / "in.zarr", tmp_path / "out.zarr", settings, workers=2, shard=4)
    x = torch.from_numpy(np.nan_to_num(data.astype(np.float64)))
    x, boundary = (x[:, :, 0], settings.boundary[1:]) if shape[2] == 1 else (x, settings.boundary)
    states, _ = scan(x, Propagator(0.1, 0.2), boundary=boundary)
    assert found.dtype == dtype
    assert np.abs(found.reshape(states.shape) - states.numpy()).max() < (1e-5 if dtype == np.float32 else 1e-11)


def test_steps_of_time(source, tmp_path):
    path, data, times = source
    uneven = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY, dt_from_time=True)
    found, _ = run(path, tmp_path / "uneven.zarr", uneven, workers=3)
    assert np.abs(found - expected(data, times)).max() < 1e-5
    longer = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY, dt=2.5)
    found, _ = run(path, tmp_path / "longer.zarr", longer, workers=3)
    assert np.abs(found - expected(data, dt=2.5)).max() < 1e-5


def test_the_result_bears_the_coordinates_of_its_input(source, tmp_path):
    path, _, _ = source
    run(path, tmp_path / "out.zarr")
    before, after = (xr.open_zarr(p, consolidated=False) for p in (path, tmp_path / "out.zarr"))
    assert set(after.coords) == set(before.coords)
    for name in before.coords:
        xr.testing.assert_identical(before[name], after[name])
    assert json.loads(after.attrs["chronovox_scan"])["diffusivity"] == 0.2
    assert after["data"].attrs["units"] == "K"
    assert not (tmp_path / "out.zarr.part").exists()


@pytest.mark.parametrize("shards", [0, 1, 6, 19])
def test_started_again_it_continues_to_the_same_bits(shards, source, tmp_path, monkeypatch):
    path, _, _ = source
    whole, _ = run(path, tmp_path / "whole.zarr", workers=2)

    with pytest.raises(KeyboardInterrupt):
        run_filter(
            FilterJob(SETTINGS, path, tmp_path / "out.zarr", shard=8), LocalExecutor(2), Stops(shards), cut="time"
        )
    assert not (tmp_path / "out.zarr").exists()
    monkeypatch.setattr(filtering, "PART_BYTES", 2**40)  # another machine would divide otherwise: the plan is kept
    again, _ = run(path, tmp_path / "out.zarr", workers=3, shard=12)
    assert again.tobytes() == whole.tobytes()


def test_a_tolerance_keeps_its_promise_and_spares_messages(source, tmp_path):
    path, data, _ = source
    exact, lines = run(path, tmp_path / "exact.zarr", workers=3, cut="time")
    sent = [float(lines[-1].split("; ")[1].split()[0])]
    truth = expected(data)
    borders = np.sqrt((truth**2).mean(axis=(2, 3, 4))).max()
    for tolerance in (1e-6, 1e-3, 0.1, 0.3):
        settings = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY, carry_tolerance=tolerance)
        found, lines = run(path, tmp_path / f"{tolerance}.zarr", settings, workers=3, cut="time")
        error = np.sqrt(((found - truth) ** 2).mean(axis=(2, 3, 4))).max()
        assert error <= 2**0.5 * tolerance * borders + 1e-6
        assert "rms error of any frame at most" in lines[0]
        sent.append(float(lines[-1].split("; ")[1].split()[0]))
    assert error > 1e-4  # the largest tolerance is felt
    assert sent == sorted(sent, reverse=True)
    assert sent[-1] < sent[0] / 2
    assert exact.shape == truth.shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"velocity": (0.0, 0.5, 0.0)}, "velocity"),
        ({"velocity": (0.5,)}, "a velocity of 1 numbers for height, width"),
        ({"boundary": ("periodic",)}, "1 boundaries for height, width"),
        ({"decay": -1.0}, "decay"),
        ({"decay": float("nan")}, "give finite ones"),
        ({"dt": 0.0}, "a step of time of 0"),
        ({"dt": 2.0, "dt_from_time": True}, "both dt and dt from the time"),
        ({"carry_tolerance": 1.0}, "a carry tolerance of 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(settings, message, source, tmp_path):
    path, _, _ = source
    given = {"decay": 0.1, "diffusivity": 0.2, "velocity": VELOCITY, "boundary": BOUNDARY} | settings
    with pytest.raises(InputError, match=message):
        FilterJob(FilterSettings(**given), path, tmp_path / "out.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]


def test_inputs_and_results_that_cannot_be(source, tmp_path):
    path, _, _ = source
    with pytest.raises(InputError, match="is no Zarr store"):
        FilterJob(SETTINGS, tmp_path / "nothing.zarr", tmp_path / "out.zarr")
    with pytest.raises(InputError, match=r"takes 0\.50 GB and may take 0\.10 GB"):
        FilterJob(SETTINGS, path, tmp_path / "out.zarr", memory=1e8)
    with pytest.raises(InputError, match="in.zarr is there already"):
        FilterJob(SETTINGS, path, path)
    job = FilterJob(SETTINGS, path, tmp_path / "out.zarr")
    job.prepare()
    with pytest.raises(InputError, match="is the unfinished result of another scan"):
        FilterJob(FilterSettings(0.3), path, tmp_path / "out.zarr")
    renamed = xr.open_zarr(path, consolidated=False).rename(channel="band")
    renamed.to_zarr(tmp_path / "renamed.zarr", consolidated=False)
    with pytest.raises(InputError, match="an array 'data' with the axes"):
        FilterJob(SETTINGS, tmp_path / "renamed.zarr", tmp_path / "new.zarr")


def test_infinite_values_are_refused_with_their_frames(tmp_path):
    write_input(tmp_path / "in.zarr")
    volume = xr.open_zarr(tmp_path / "in.zarr", consolidated=False).load()
    volume["data"][20, 1, 0, 3, 3] = np.inf
    volume.to_zarr(tmp_path / "infinite.zarr", consolidated=False)
    with pytest.raises(InputError, match="frames 16 to 23 of .*infinite.zarr hold infinite values"):
        run(tmp_path / "infinite.zarr", tmp_path / "out.zarr", workers=2)


def test_one_shard_is_for_one_worker_and_a_line_says_so(source, tmp_path, monkeypatch):
    monkeypatch.setattr(filtering, "PART_BYTES", 2**40)
    _, lines = run(source[0], tmp_path / "out.zarr", workers=2, shard=99)
    assert lines[0].startswith("1 worker; all 37 frames are one shard, so one worker scans them; ")
    _, lines = run(source[0], tmp_path / "short.zarr", workers=2, shard=8)
    assert lines[0].startswith("2 workers; ")
