"""Runs that follow each other in a store: the scan of each alone by the float64 recurrence, however the work is cut."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from cluster import LocalExecutor
from cluster.exchange import EXCHANGES
from pipeline.filter import FilterJob, FilterSettings
from pipeline.volume import AXES, InputError
from ssm_ops import reference
from tests.pipeline.test_filter import many_parts, run  # noqa: F401
from tests.synthetic import Stops
from workflows.commands.filtering import run_filter

CHUNK, SHARD = 4, 8
STARTS = (9, 10, 16, 27)
"""Within a chunk, after a run of one frame, at a border of shards, in the last shard."""
LENGTHS = np.diff([0, *STARTS, 30])
RUNS = np.repeat([3, 5, 2, 7, 3], LENGTHS)
DICE = np.random.default_rng(7)
DATA = DICE.standard_normal((30, 3, 1, 5, 4)).astype(np.float32) + 10 * RUNS[:, None, None, None, None]
DATA = DATA.astype(np.float32)
TIMES = np.cumsum(DICE.integers(1, 4, 30)).astype(float)
VELOCITY, BOUNDARY = (0.0, 0.0, 0.5), ("reflect", "reflect", "periodic")
SETTINGS = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY)


def write(path, frames=slice(None), data=DATA, runs=RUNS, times=TIMES):
    shutil.rmtree(path, ignore_errors=True)
    coordinates = {"time": ("time", times[frames], {"units": "s"})}
    if runs is not None:
        coordinates["run"] = ("time", runs[frames])
    volume = xr.Dataset({"data": (AXES, data[frames])}, coordinates)
    volume.to_zarr(path, encoding={"data": {"chunks": (CHUNK, *data.shape[1:])}}, consolidated=False)
    return path


def truth(borders=STARTS, steps=None):
    """Each run alone, in pixel space, one step after the other."""
    steps, found = np.ones(len(DATA)) if steps is None else steps, []
    numbers = {"decay": np.full(3, 0.1), "diffusivity": np.full(3, 0.2), "velocity": np.tile([[0.0, 0.5]], (3, 1))}
    for start, stop in itertools.pairwise([0, *borders, len(DATA)]):

        def advance(state, t, start=start):
            step = steps[start + t] if t else 1.0  # of a state of zero
            return reference.propagate(state, BOUNDARY[1:], dt=np.full(3, step), **numbers)

        found += reference.recurrence(DATA[start:stop, :, 0].astype(np.float64), advance)
    return np.stack(found)[:, :, None]


TRUTH = truth()


def difference(found, expected=TRUTH):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("workers", "cut"), [(2, "channels"), (3, "time")])
def test_any_cut_is_each_run_alone(workers, cut, exchange, tmp_path):
    options = {"workers": workers, "cut": cut, "exchange": exchange}
    found, lines = run(write(tmp_path / "in.zarr"), tmp_path / "out.zarr", SETTINGS, **options)
    assert difference(found) < 1e-6
    assert lines[0].endswith("in.zarr holds 5 runs and each begins from a state of zero (frames 9, 10, 16, 27)")
    if cut == "time" and workers > 1:
        moved, predicted = lines[-1].split("; ")[1].split(" moved between workers, ")
        assert predicted == f"{moved} were predicted"


def test_together_or_apart(tmp_path):
    """To the bit where the shards of each run are those that it has alone, else to round-off."""
    together, _ = run(write(tmp_path / "in.zarr"), tmp_path / "out.zarr", SETTINGS, workers=2, cut="time", shard=SHARD)
    at_once, _ = run(tmp_path / "in.zarr", tmp_path / "once.zarr", SETTINGS, shard=99)
    for number, (start, stop) in enumerate(itertools.pairwise([0, *STARTS, 30])):
        write(tmp_path / "one.zarr", slice(start, stop))
        alone, lines = run(tmp_path / "one.zarr", tmp_path / f"{number}.zarr", SETTINGS, shard=99)
        assert not any(" runs " in line for line in lines)
        assert alone.tobytes() == at_once[start:stop].tobytes()
        assert difference(together[start:stop], alone) < 1e-6


def test_what_was_before_leaves_no_trace(tmp_path):
    """A run of huge numbers before others, and one whose states overflow."""
    data = DATA.copy()
    data[:9], data[10:16] = 1e7 * data[:9], 3e38 * np.sign(data[10:16])
    for number, options in enumerate([{}, {"workers": 3, "cut": "time", "exchange": "all-gather"}]):
        with np.errstate(over="ignore", invalid="ignore"):
            found, _ = run(write(tmp_path / "in.zarr", data=data), tmp_path / f"{number}.zarr", SETTINGS, **options)
        assert not np.isfinite(found[15]).all()
        assert difference(found[16:], TRUTH[16:]) < 1e-6
        assert difference(found[9:10], TRUTH[9:10]) < 1e-6


def test_steps_of_time_within_runs(tmp_path):
    """Their unit is the median within runs, and what lies between runs is no step: the clock may even go back."""
    times = TIMES.copy()
    times[9:] += 1000.0
    times[16:] -= 5000.0
    differences = np.delete(np.diff(times, prepend=0), [0, *STARTS])
    unit = np.median(differences)
    steps = np.append(1.0, np.diff(times) / unit)
    uneven = replace(SETTINGS, dt_from_time=True)
    write(tmp_path / "in.zarr", times=times)
    found, _ = run(tmp_path / "in.zarr", tmp_path / "out.zarr", uneven, workers=2, cut="time")
    assert difference(found, truth(steps=steps)) < 1e-6
    with pytest.raises(InputError, match="time does not increase"):
        FilterJob(replace(uneven, join_runs=True), tmp_path / "in.zarr", tmp_path / "joined.zarr")


def test_joined_as_one(tmp_path):
    joined = replace(SETTINGS, join_runs=True)
    found, lines = run(write(tmp_path / "in.zarr"), tmp_path / "out.zarr", joined, workers=2, cut="time")
    plain, _ = run(write(tmp_path / "plain.zarr", runs=None), tmp_path / "without.zarr", SETTINGS)
    assert found.tobytes() == plain.tobytes()
    assert difference(found, truth(())) < 1e-6
    assert "holds 5 runs and the scan goes on across their borders (frames 9, 10, 16, 27)" in lines[0]


@pytest.mark.parametrize("tolerance", [1e-6, 1e-2])
def test_a_tolerance_keeps_its_promise(tolerance, tmp_path):
    settings = replace(SETTINGS, carry_tolerance=tolerance)
    found, lines = run(write(tmp_path / "in.zarr"), tmp_path / "out.zarr", settings, workers=3, cut="time", shard=4)
    borders = np.sqrt((TRUTH**2).mean(axis=(2, 3, 4))).max()
    error = np.sqrt(((found - TRUTH) ** 2).mean(axis=(2, 3, 4))).max()
    assert error <= 2**0.5 * tolerance * borders + 1e-6 * borders
    assert "need the chain" in lines[1]


@pytest.mark.parametrize("shards", [1, 7])
def test_killed_and_started_again(shards, tmp_path):
    whole, _ = run(write(tmp_path / "in.zarr"), tmp_path / "whole.zarr", SETTINGS, shard=SHARD)
    job = FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "out.zarr", shard=SHARD)
    with pytest.raises(KeyboardInterrupt):
        run_filter(job, LocalExecutor(2), Stops(shards), cut="time")
    for settings, runs in ((replace(SETTINGS, join_runs=True), RUNS), (SETTINGS, np.sort(RUNS))):
        write(tmp_path / "in.zarr", runs=runs)
        with pytest.raises(InputError, match="is the unfinished result of another scan"):
            FilterJob(settings, tmp_path / "in.zarr", tmp_path / "out.zarr")
    again, _ = run(write(tmp_path / "in.zarr"), tmp_path / "out.zarr", SETTINGS, workers=3)
    assert again.tobytes() == whole.tobytes()


@pytest.mark.parametrize("tolerance", [pytest.param(0.0, marks=pytest.mark.slow), 1e-6])
def test_it_grows_by_frames_and_by_runs(tolerance, tmp_path):
    settings = replace(SETTINGS, carry_tolerance=tolerance)
    whole, _ = run(write(tmp_path / "in.zarr"), tmp_path / "whole.zarr", settings, shard=SHARD)
    for frames, runs in ((6, None), (9, None), (14, RUNS), (16, RUNS), (30, RUNS)):  # one run needs no coordinate
        write(tmp_path / "in.zarr", slice(frames), runs=runs)
        found, _ = run(tmp_path / "in.zarr", tmp_path / "out.zarr", settings, workers=2, shard=SHARD)
        assert found.tobytes() == whole[:frames].tobytes()


@pytest.mark.parametrize(
    ("settings", "runs", "message"),
    [
        ({"join_runs": True}, RUNS, "scanned with join_runs False, now join_runs is True; remove it to scan anew"),
        ({}, np.where(np.arange(30) < 11, 0, RUNS), r"frame 9 of .*out\.zarr begins a run, of the input it does not"),
        ({}, RUNS + (np.arange(30) < 4), r"frame 4 of .*out\.zarr goes on with a run, of the input it does not"),
    ],
)
def test_other_runs_are_no_continuation(settings, runs, message, tmp_path):
    run(write(tmp_path / "in.zarr", slice(20)), tmp_path / "out.zarr", SETTINGS, shard=SHARD)
    write(tmp_path / "in.zarr", runs=runs)
    with pytest.raises(InputError, match=message):
        FilterJob(replace(SETTINGS, **settings), tmp_path / "in.zarr", tmp_path / "out.zarr")


def test_a_result_of_a_version_that_went_on_across_borders(tmp_path):
    run(write(tmp_path / "in.zarr", slice(20)), tmp_path / "out.zarr", SETTINGS, shard=SHARD)
    metadata = tmp_path / "out.zarr" / "zarr.json"
    metadata.write_text(metadata.read_text().replace(r"\"version\": 4", r"\"version\": 3"))
    with pytest.raises(InputError, match="has the scan's version 3, now it is 4; remove it to scan anew"):
        FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "out.zarr")


def test_what_numbers_no_runs(tmp_path):
    write(tmp_path / "in.zarr", runs=RUNS / 2)
    with pytest.raises(InputError, match=r"run holds values of type float64, .*; number them so, or .* --join-runs"):
        FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "out.zarr")
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", replace(SETTINGS, join_runs=True))
    volume = xr.open_zarr(write(tmp_path / "in.zarr", runs=None), consolidated=False).load().drop_encoding()
    volume.assign_coords(run=7).to_zarr(tmp_path / "one.zarr", consolidated=False)  # a number of the whole
    _, lines = run(tmp_path / "one.zarr", tmp_path / "of one.zarr", SETTINGS)
    assert not any(" runs " in line for line in lines)
