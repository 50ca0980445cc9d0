"""Choices from facts: splits that hold, windows that fit, reasons with numbers, and YAML that says what was meant."""

import itertools
from dataclasses import replace
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr
from ruamel.yaml import YAML

from pipeline.archive import Ask
from pipeline.splits import Period, Splits, spans_of
from pipeline.volume import InputError
from workflows.init.choosing import choose
from workflows.init.draft import Draft, Setting, Stage
from workflows.init.facts import Facts, Series
from workflows.init.sample import Sample
from workflows.init.sizing import STEP_NUMBERS, Means, Size, fit
from workflows.init.splitting import between, split
from workflows.init.writing import WIDTH, source_in, written

SAMPLE = Sample(frames=100, whole=True, low=0.0, high=1.0, deviations=(1.0,), spread=1.0, step=1.0)

STILL = (*range(41), 40, 40, *range(43, 60))
"""Frames 40, 41 and 42 are the same: a border lies among them."""


def dated(frames, freq, calendar="standard", start="1990-01-01"):
    return tuple(xr.date_range(start, periods=frames, freq=freq, calendar=calendar, use_cftime=True))


def seen(times, runs=None, clock="dates", **facts):
    series = Series("", ("a.nc",), tuple(times), tuple(runs or (len(times),)))
    given = {
        "format": "NetCDF", "series": (series,), "ask": Ask(), "channels": ("t",), "grid": (1, 20, 30),
        "dtype": "float32", "clock": clock, "sample": SAMPLE, "calendar": "standard",
    }  # fmt: skip
    return Facts(**given | facts)


def series_of(facts, name):
    """Series as `preprocess` has them: runs apart where there are several."""
    own = facts.first
    whole = xr.Dataset(coords={"time": list(own.times)})
    if len(own.runs) == 1 or len(own.runs) > 12:
        return {name: whole}
    ends = np.cumsum([0, *own.runs])
    return {f"{name}.run{n + 1}": whole.isel(time=slice(a, b)) for n, (a, b) in enumerate(itertools.pairwise(ends))}


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(seen(dated(240, "YS", "360_day", "1860-06-01")), id="years"),
        pytest.param(seen(dated(132, "MS")), id="months"),
        pytest.param(seen(dated(20, "6h", start="2014-02-24")), id="hours, borders within a day"),
        pytest.param(seen(dated(91, "D"), sample=replace(SAMPLE, step=0.05)), id="days that last"),
        pytest.param(seen(dated(4000, "D", "noleap"), sample=replace(SAMPLE, step=0.05)), id="years of days that last"),
        pytest.param(seen([cftime.DatetimeProlepticGregorian(0, n + 1, 16) for n in range(12)]), id="a year 0"),
        pytest.param(seen(np.arange(120) / 29.97, clock="seconds", sample=replace(SAMPLE, step=0.2)), id="seconds"),
        pytest.param(seen(range(10), clock="numbers"), id="numbers"),
        pytest.param(seen(np.arange(242) * 2.5, (121, 121), "seconds"), id="two runs"),
        pytest.param(seen(np.arange(1452) * 2.5, (121,) * 12, "seconds"), id="twelve runs"),
        pytest.param(seen(range(400), (20,) * 20, "numbers"), id="many runs"),
        pytest.param(seen(range(60), clock="numbers", sample=replace(SAMPLE, alike=STILL)), id="still frames"),
    ],
)  # fmt: skip
def test_splits_go_along_time_and_share_nothing(facts):
    periods = split(facts, "s")
    given = [tuple(Period(**one) for one in part) for part in (periods.train, periods.validation, periods.test)]
    spans = spans_of(series_of(facts, "s"), Splits(*given))
    parts = [[(own.series, frame) for own in part for frame in own.frames] for part in spans.values()]
    assert tuple(map(len, parts)) == periods.frames
    assert not set(parts[0]) & set(parts[1]) | set(parts[1]) & set(parts[2]) | set(parts[0]) & set(parts[2])
    if len(facts.first.runs) == 1:
        order = [[frame for _, frame in part] for part in parts]
        assert order[1][0] - order[0][-1] == periods.margin + 1
        assert order[2][0] - order[1][-1] == periods.margin + 1
        assert len(order[0]) > len(facts.first.times) / 2
        alike = facts.sample.alike
        if alike:
            assert not {alike[frame] for frame in order[0]} & {alike[frame] for frame in order[1] + order[2]}
            assert periods.repeated == 0


def test_frames_that_come_again_are_told():
    alike = (*range(50), *range(10))
    draft = choose(seen(range(60), clock="numbers", sample=replace(SAMPLE, alike=alike)), "video", "x", Means())
    assert "10 frames of validation or test are the same" in " ".join(draft.warnings)


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="has 7 frames, and a forecast wants at least 8"):
        split(seen(range(7), clock="numbers"), "s")
    with pytest.raises(InputError, match="no values"):
        choose(seen(range(9), clock="numbers", sample=replace(SAMPLE, missing=1.0)), "climate", "x", Means())


def settings(draft, stage):
    return {key: own.value for key, own in next(one for one in draft.stages if one.name == stage).settings.items()}


@pytest.mark.parametrize(
    ("times", "anomalies"),
    [
        (dated(132, "MS"), "month"),
        (dated(60, "MS"), "none"),
        (dated(240, "YS"), "none"),
        (dated(365 * 8, "D"), "month"),
        (dated(365 * 20, "D"), "day"),
    ],
)
def test_anomalies_want_years(times, anomalies):
    draft = choose(seen(times), "climate", "x", Means())
    assert settings(draft, "prepared").get("anomalies", "none") == anomalies
    assert settings(draft, "model")["model"].get("reads") == (None if anomalies == "none" else "levels")


def test_uneven_times_and_masks():
    times = list(dated(60, "D"))
    draft = choose(
        seen(times[:20] + times[30:], sample=replace(SAMPLE, missing=0.2, moves=True)), "climate", "x", Means()
    )
    assert settings(draft, "model")["model"]["uneven"] is True
    assert "start" not in settings(draft, "model")
    assert settings(draft, "prepared")["missing"] == "mask"
    assert "20.0% of the values" in next(s for s in draft.stages if s.name == "prepared").settings["missing"].why


def test_a_single_scan_whose_mean_is_the_better_forecast_reads_levels():
    scan = seen(np.arange(40) * 1.35, clock="seconds", format="NIfTI", sample=replace(SAMPLE, step=1.2))
    assert settings(choose(scan, "medical", "x", Means()), "model")["model"]["reads"] == "levels"
    steady = replace(scan, sample=replace(SAMPLE, step=0.4))
    assert "reads" not in settings(choose(steady, "medical", "x", Means()), "model")["model"]


@pytest.mark.parametrize("grid", [(1, 20, 30), (1, 721, 1440), (1, 2160, 3840), (200, 512, 512)])
@pytest.mark.parametrize("memory", [4e8, 4e9, 4e10])
def test_what_is_chosen_fits_the_memory(grid, memory):
    size = Size(8, 8, 1, neighbours=True)
    found = fit(grid, 1, size, wish=48, memory=memory, closes=True)
    assert found.bytes <= memory
    assert 8 <= found.window <= 48
    assert found.voxels == np.prod([n // f for n, f in zip(grid, found.coarsen, strict=True)])
    assert found.window * found.voxels * size.fields <= STEP_NUMBERS
    assert grid[2] % found.coarsen[2] == 0
    if grid == (1, 20, 30):
        assert (found.window, found.recompute, found.coarsen) == (48, None, (1, 1, 1))
    small = fit((1, 64, 64), 1, size, wish=48, memory=3e7, closes=False)
    assert small.recompute is not None
    assert small.bytes <= 3e7


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(2.469, 2.5, 2.48), (0.0, 1.0, 0.5), (10.0, 20.0, 15.0), (1.0, 1.0001, 1.00005)]
)
def test_a_number_between(low, high, expected):
    assert between(low, high) == pytest.approx(expected, rel=1e-2)
    assert low < between(low, high) < high


def test_yaml_says_what_was_meant():
    nasty = {
        "texts": [
            "plain",
            "a b",
            "1990",
            "2000-02-31",
            "no",
            "true",
            "x: y",
            "#1",
            'quo"te',
            "ünï",
            "",
            "~",
            "-a",
            "1e3",
        ],
        "numbers": {"int": 3, "float": 0.1, "small": 1e-5, "whole": 4.0, "flag": True, "nothing": None},
        "nested": {"a": {"b": [1, 2]}, "c": {"d": {"e": "f"}}},
    }
    values = {key: Setting(value, "because " * 30) for key, value in nasty.items()}
    values["off"] = Setting({"a": 1}, "not now", off=True)
    draft = Draft(
        "x", ("head", "more"), (Stage("one", "ingest", values, {"a": "b"}, "why\nnot"),), ("next",), ("mind",)
    )
    text = written(draft, ["seen"])
    assert YAML(typ="safe").load(text) == {
        "name": "x",
        "stages": {"one": {"stage": "ingest", "inputs": {"a": "b"}, **nasty}},
    }
    assert all(len(line) <= 120 for line in text.splitlines() if line.lstrip().startswith("#"))
    assert WIDTH <= 120
    assert "    # off: {a: 1} # not now" in text


def test_sources_are_named_from_the_recipe(tmp_path):
    inside, folder = tmp_path / "here" / "data" / "a.nc", tmp_path / "here"
    assert source_in("data/a.nc", inside, folder) == "data/a.nc"
    assert source_in("../here/data/a.nc", inside, folder / "other") == str(inside)
    assert source_in("https://x/y.zarr", Path("/nowhere"), folder) == "https://x/y.zarr"
