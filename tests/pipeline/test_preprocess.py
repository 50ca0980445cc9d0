"""Splits, statistics and normalisation: training frames only, and no frame on both sides of a split."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive import locate
from pipeline.dataset import Truth, splits_of
from pipeline.ingest import IngestSettings, ingest
from pipeline.preprocess import Normalise, PreprocessSettings, preprocess
from pipeline.splits import Period, Span, Splits
from pipeline.storage import arrays, store
from pipeline.volume import InputError
from tests.synthetic import blobs

CLIMATE = Splits(Period("a1b", 1860, 1979), Period("a1b", 1980, 1999), Period("e1", 2000, 2099))


@pytest.fixture(scope="module")
def climate(tmp_path_factory):
    folders = {}
    for name in ("A1B", "E1"):
        folders[name.lower()] = tmp_path_factory.mktemp(name)
        source = locate(f"package://iris_sample_data/sample_data/{name}_north_america.nc", folders[name.lower()])
        list(ingest(IngestSettings(str(source), "air_temperature", chunk=50), {}, folders[name.lower()]))
    return folders


def test_statistics_are_of_the_training_years_alone(climate, tmp_path):
    list(preprocess(PreprocessSettings(CLIMATE, chunk=16), climate, tmp_path))
    statistics, dates = arrays.read_arrays(tmp_path / "statistics.zarr")
    years = store.read_frames(climate["a1b"] / "raw.zarr", None, 0, 120).astype(np.float64)
    np.testing.assert_allclose(statistics["mean"], years.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics["scale"].item(), (years - years.mean(0)).std(), rtol=1e-10)
    period = {"series": "a1b", "first": "1860-06-01", "last": "1979-06-01", "frames": 120}
    assert dates == {"periods": [period], "normalise": {"mean": "voxel", "scale": "channel"}}
    assert (statistics["count"] == 120).all()
    assert splits_of(tmp_path) == {
        "train": [Span("a1b", 0, 120)],
        "validation": [Span("a1b", 120, 140)],
        "test": [Span("e1", 140, 240)],
    }
    truth = Truth(tmp_path, "e1")
    raw = store.read_frames(climate["e1"] / "raw.zarr", None, 0, 240)
    np.testing.assert_allclose(truth.frames(0, 240), raw, atol=2e-6)
    assert truth.units == "K"


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [("test", 1999, 2099), ("test", 1900, 1910), ("validation", 1979, 1999)],
)
def test_any_other_split_of_the_two_runs_leaks_and_is_refused(climate, tmp_path, split, first, last):
    """The first 140 years of the two runs are the same, bit for bit."""
    series = dataclasses.replace(getattr(CLIMATE, split), first=first, last=last)
    with pytest.raises(InputError, match=f"frames of {split} .* are also in (train|validation), bit for bit"):
        list(preprocess(PreprocessSettings(dataclasses.replace(CLIMATE, **{split: series})), climate, tmp_path))
    assert not any(tmp_path.iterdir())


def small(tmp_path, data):
    data.to_netcdf(tmp_path / "a.nc")
    list(ingest(IngestSettings(str(tmp_path / "a.nc"), "warmth"), {}, tmp_path))
    return {"a": tmp_path}


def days(*spans):
    return Splits(*(Period("a", *span) for span in spans))


GOOD = days(("2000-01-01", "2000-01-20"), ("2000-01-21", "2000-01-30"), ("2000-02-01", "2000-02-10"))


def test_channel_statistics(tmp_path):
    inputs = small(tmp_path, blobs(40, 0))
    output = tmp_path / "out"
    list(preprocess(PreprocessSettings(GOOD, Normalise(mean="channel")), inputs, output))
    statistics, _ = arrays.read_arrays(output / "statistics.zarr")
    frames = blobs(40, 0)["warmth"].values[:20].astype(np.float64)
    assert statistics["mean"].shape == (1, 1, 1, 1)
    np.testing.assert_allclose(Truth(output, "a").expected(0)[0, 0], frames.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics["mean"].item(), frames.mean(), rtol=1e-12)
    np.testing.assert_allclose(statistics["scale"].item(), frames.std(), rtol=1e-10)


def test_mistakes_are_explained(tmp_path):
    inputs = small(tmp_path, blobs(40, 0))
    wrong = {
        "names series 'b'; the series are a": dataclasses.replace(GOOD, test=Period("b", 2000, 2000)),
        "no frame of series 'a' lies in 1999..1999": dataclasses.replace(GOOD, test=Period("a", 1999, 1999)),
        "never..2000 is no period": dataclasses.replace(GOOD, test=Period("a", "never", 2000)),
    }
    for message, splits in wrong.items():
        with pytest.raises(InputError, match=message):
            list(preprocess(PreprocessSettings(splits), inputs, tmp_path / "out"))


def test_gaps_and_constants_are_refused(tmp_path):
    gaps = blobs(40, 0)
    gaps["warmth"][3, 2, 2] = np.nan
    with pytest.raises(InputError, match="series 'a' has 1 missing values of 4320"):
        list(preprocess(PreprocessSettings(GOOD), small(tmp_path, gaps), tmp_path / "out"))
    (tmp_path / "still").mkdir()
    still = blobs(40, 0)
    still["warmth"][:20] = still["warmth"].values[0]
    with pytest.raises(InputError, match="do not vary"):
        list(preprocess(PreprocessSettings(GOOD), small(tmp_path / "still", still), tmp_path / "out"))


def test_a_split_may_be_several_periods_and_leave_ends_out(tmp_path):
    inputs = small(tmp_path, blobs(40, 0)) | {"b": tmp_path}
    (tmp_path / "b").mkdir()
    inputs["b"] = small(tmp_path / "b", blobs(30, 7))["a"]
    splits = Splits(
        train=(Period("a", last="2000-01-10"), Period("a", "2000-01-16", "2000-01-20"), Period("b")),
        validation=Period("a", "2000-01-21", "2000-01-30"),
        test=Period("a", "2000-02-01"),
    )
    output = tmp_path / "out"
    list(preprocess(PreprocessSettings(splits), inputs, output))
    assert splits_of(output) == {
        "train": [Span("a", 0, 10), Span("a", 15, 20), Span("b", 0, 30)],
        "validation": [Span("a", 20, 30)],
        "test": [Span("a", 30, 40)],
    }
    a, b = blobs(40, 0)["warmth"].values, blobs(30, 7)["warmth"].values
    frames = np.concatenate([a[:10], a[15:20], b]).astype(np.float64)
    statistics, attributes = arrays.read_arrays(output / "statistics.zarr")
    np.testing.assert_allclose(statistics["mean"][0, 0], frames.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics["scale"].item(), (frames - frames.mean(0)).std(), rtol=1e-10)
    assert [period["frames"] for period in attributes["periods"]] == [10, 5, 30]
    assert attributes["periods"][1] == {"series": "a", "first": "2000-01-16", "last": "2000-01-20", "frames": 5}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            (Period("a", last="2000-01-10"), Period("a", "2000-01-08", "2000-01-20")),
            "periods of train share 3 frames",
        ),
        ((Period("a", last="2000-01-10"), Period("a", "2000-01-01", "2000-01-10")), "train has the period .* twice"),
        (
            (Period("a", last="2000-01-10"), Period("a", "2000-01-25", "2000-01-26")),
            "validation .* also in train",
        ),
    ],
)
def test_periods_that_share_frames_are_refused(tmp_path, train, message):
    with pytest.raises(InputError, match=message):
        list(
            preprocess(
                PreprocessSettings(dataclasses.replace(GOOD, train=train)), small(tmp_path, blobs(40, 0)), tmp_path
            )
        )


@pytest.mark.skipif(not os.environ.get("CHRONOVOX_DATA"), reason="CHRONOVOX_DATA names no folder of real files")
def test_the_monthly_climatology_of_the_winds(tmp_path):
    """Its error on the last 24 months, mean of U and V, was measured without this project."""
    source = Path(os.environ["CHRONOVOX_DATA"]) / "climate" / "monthly_navy_winds.cdf"
    list(ingest(IngestSettings(str(source), ("UWND", "VWND")), {}, tmp_path))
    splits = Splits(Period("w", last=1990), Period("w", 1991, 1991), Period("w", 1992))
    output = tmp_path / "out"
    list(preprocess(PreprocessSettings(splits, anomalies="month"), {"w": tmp_path}, output))
    truth = Truth(output, "w")
    assert truth.volume["phase_of_year"].values[:13].tolist() == [*range(12), 0]
    assert truth.volume["phase_of_year"].attrs["names"][11] == "December"
    _, told = arrays.read_arrays(output / "statistics.zarr")
    assert told["anomalies"] == "month"
    assert set(told["phases"].values()) == {9}
    errors = truth.frames(108, 132) - np.stack([truth.expected(frame) for frame in range(108, 132)])
    assert np.mean(errors**2) == pytest.approx(3.959, abs=5e-4)
    raw = store.read_frames(tmp_path / "raw.zarr", None, 108, 132)
    np.testing.assert_allclose(truth.frames(108, 132), raw, atol=1e-5)


def test_anomalies_need_dates_and_every_phase(tmp_path):
    inputs = small(tmp_path, blobs(40, 0))
    with pytest.raises(InputError, match="a frame is for 2000-02-01, and no training frame lies in the month February"):
        list(preprocess(PreprocessSettings(GOOD, anomalies="month"), inputs, tmp_path / "out"))
    beyond = days(("2000-01-01", "2000-02-10"), ("2000-01-21", "2000-01-30"), ("2000-02-01", "2000-02-10"))
    with pytest.raises(InputError, match="a frame is for 2000-02-11, and no training frame lies in the day 11 Feb"):
        list(preprocess(PreprocessSettings(beyond, anomalies="day"), inputs, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_infinite_values_are_refused(tmp_path):
    data = blobs(40, 0)
    data["warmth"][39, 2, 2] = -np.inf
    for missing in ("refuse", "mask"):
        with pytest.raises(InputError, match="series 'a' has 1 infinite values of 4320: its archive is corrupt"):
            list(preprocess(PreprocessSettings(GOOD, missing=missing), small(tmp_path, data), tmp_path / "out"))
        shutil.rmtree(tmp_path / "raw.zarr")
