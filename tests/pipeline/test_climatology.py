"""The time of year as a forecast: means of calendar months, only where training knows a yearly cycle."""

import numpy as np
import pytest
import xarray as xr

from pipeline.climatology import climatology
from pipeline.dataset import Truth, splits_of
from pipeline.preprocess import PreprocessSettings, preprocess
from pipeline.splits import Period, Splits
from pipeline.volume import AXES
from tests.written import write_volume

CYCLE = 5 * np.cos(np.arange(60) * np.pi / 6)
DATA = CYCLE[:, None, None, None, None] + np.random.default_rng(0).standard_normal((60, 2, 1, 3, 4))
DATA[0:36:12, 1, 0, 0, 0] = np.nan  # every January of the training years
DATA[1, 0, 0, 1, 1] = np.nan  # one February


SPLITS = {"train": Period("a", last=2002), "validation": Period("a", 2003, 2003), "test": Period("a", 2004)}


def prepare(folder, times, *, splits=SPLITS, **settings):
    coordinates = {"time": times, "channel": np.array(["u", "v"], object)}
    write_volume({None: xr.Dataset({"data": (AXES, np.float32(DATA))}, coordinates)}, folder / "raw.zarr", {None: 7})
    (folder / "prepared").mkdir()
    list(
        preprocess(PreprocessSettings(Splits(**splits), missing="mask", **settings), {"a": folder}, folder / "prepared")
    )
    return folder / "prepared", splits_of(folder / "prepared")


def dates(freq="MS"):
    return xr.date_range("2000-01-01", periods=60, freq=freq, calendar="noleap", use_cftime=True)


def test_months_are_means_of_training_frames(tmp_path):
    found = climatology(*prepare(tmp_path, dates()))["a"]
    for frame in range(36, 60):
        years = DATA[frame % 12 : 36 : 12]
        known = ~np.isnan(years).all(axis=0)
        np.testing.assert_allclose(found(frame)[known], np.nanmean(years[:, known], axis=0), atol=1e-5)
        assert np.isnan(found(frame)[~known]).all()


def test_of_anomalies_it_is_what_was_subtracted(tmp_path):
    prepared, splits = prepare(tmp_path, dates(), anomalies="season")
    found, truth = climatology(prepared, splits)["a"], Truth(prepared, "a")
    for frame in range(36, 60):
        np.testing.assert_array_equal(found(frame), truth.expected(frame))


@pytest.mark.parametrize(
    ("times", "splits"),
    [
        (dates(), SPLITS | {"train": Period("a", last=2000)}),
        (dates(), SPLITS | {"train": Period("a", last="2001-06-30")}),
        (dates("YS"), SPLITS),
        (np.arange(60), {"train": Period("a", last=35), "validation": Period("a", 36, 47), "test": Period("a", 48)}),
    ],
    ids=["one year", "half a year twice", "one month a year", "no dates"],
)
def test_where_training_knows_no_cycle(tmp_path, times, splits):
    assert climatology(*prepare(tmp_path, times, splits=splits)) == {}


def test_the_validated_and_tested_months_are_what_must_be_known(tmp_path):
    """Winter and spring twice, summer and autumn once."""
    splits = SPLITS | {"train": Period("a", last="2001-06-30"), "validation": Period("a", "2003-01", "2003-06")}
    splits["test"] = Period("a", "2004-02", "2004-06")
    assert climatology(*prepare(tmp_path, dates(), splits=splits)).keys() == {"a"}
