"""Fewer frames: against xarray's own resampling; whole groups only, and none across the border of two runs."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reshape import frames
from pipeline.reshape.fold import FOLDS, folded, mean
from pipeline.reshape.resample import Resample, resample
from pipeline.volume import DATA, InputError
from tests.reshape.volumes import cut, grid, scan
from tests.written import write_volume


def field(frames_, seed=0, kind=np.float32, gaps=0.2):
    draw = np.random.default_rng(seed)
    values = draw.normal(280, 10, (frames_, 2, 3)).astype(kind)
    values[draw.random(values.shape) < gaps] = np.nan
    return values


@pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
@pytest.mark.parametrize(("every", "theirs"), [("month", "MS"), ("year", "YS"), ("10d", "10D"), ("day", "D")])
def test_as_xarray_has_it(calendar, every, theirs):
    days = 731 if calendar == "standard" else 720 if calendar == "360_day" else 730
    volume = grid(field(days), calendar=calendar)
    if every in ("10d", "day"):
        volume = volume.isel(time=slice(400, 500))
    expected = volume.load().copy(deep=True).resample(time=theirs)
    for how in ("mean", "min", "max"):
        found = resample(volume, Resample(every, how))
        again = getattr(expected, how)()
        np.testing.assert_allclose(found[DATA].values, again[DATA].values[: found.sizes["time"]], rtol=1e-6)
        assert found["time"].values.tolist() == again["time"].values[: found.sizes["time"]].tolist()
        assert again.sizes["time"] - found.sizes["time"] == (every in ("year", "month") and calendar == "standard")
        assert found["time"].encoding == volume["time"].encoding
        assert found[DATA].attrs["cell_methods"] == "time: " + {"min": "minimum", "max": "maximum"}.get(how, how)


def test_numbers_of_frames():
    values = field(11)
    found = resample(grid(values), Resample(3))
    groups = np.float64(values[:9]).reshape(3, 3, 2, 3)
    there = ~np.isnan(groups)
    expected = np.where(there.any(1), np.nansum(groups, 1) / np.maximum(there.sum(1), 1), np.nan)
    np.testing.assert_allclose(found[DATA].values[:, 0, 0], expected, rtol=1e-7)
    assert found[DATA].dtype == np.float32
    assert [time.day for time in found["time"].values] == [1, 4, 7]
    assert found.attrs["left_out"] == [
        "2 of 11 frames, from 2001-01-10 00:00:00 to 2001-01-11 00:00:00, in no whole group and left out"
    ]
    total = resample(grid(values), Resample(3, "sum"))[DATA].values[:, 0, 0]
    np.testing.assert_allclose(total, groups.sum(1), rtol=1e-6)
    assert np.isnan(total).any()
    for how, place in (("first", 0), ("last", 2)):
        taken = resample(grid(values), Resample(3, how))
        assert np.array_equal(taken[DATA].values[:, 0, 0], values[place:9:3], equal_nan=True)
        assert "cell_methods" not in taken[DATA].attrs


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    most=st.integers(1, 12),
    blocks=st.integers(1, 9),
)
def test_any_size_of_task_folds_the_same_frames(lengths, most, blocks):
    """Groups larger than a task are folded in several; integers have one right sum."""
    values = np.random.default_rng(0).integers(-99, 99, (sum(lengths), 1, 1, 2, 3)).astype(np.float64)
    data = cut(grid(values), blocks, -1, -1, 1, -1)[DATA].data
    groups = np.split(values, np.cumsum(lengths)[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "TOGETHER_BYTES", most * 48)
        for name, plain in (("sum", np.sum), ("min", np.min), ("max", np.max)):
            found = folded(data, lengths, FOLDS[name]).compute()
            assert np.array_equal(found, [plain(group, 0) for group in groups])
        assert np.array_equal(folded(data, lengths, FOLDS["first"]).compute(), [group[0] for group in groups])
        assert np.array_equal(folded(data, lengths, FOLDS["last"]).compute(), [group[-1] for group in groups])
        means = mean(data, lengths, np.dtype(np.float64)).compute()
        np.testing.assert_allclose(means, [group.mean(0) for group in groups], rtol=1e-14, atol=1e-14)


def test_whole_periods_alone():
    """Half a month at either end is left out, and a month that ends with its last day is not."""
    volume = grid(field(80), start="2001-01-15")  # to 2001-04-04
    found = resample(volume, Resample("month"))
    assert [(time.month, time.day) for time in found["time"].values] == [(2, 1), (3, 1)]
    assert [line.split(", in")[0] for line in found.attrs["left_out"]] == [
        "17 of 80 frames, from 2001-01-15 00:00:00 to 2001-01-31 00:00:00",
        "4 of 80 frames, from 2001-04-01 00:00:00 to 2001-04-04 00:00:00",
    ]
    exact = resample(volume.isel(time=slice(17, 76)), Resample("month"))
    assert exact.sizes["time"] == 2
    assert "left_out" not in exact.attrs
    hours = resample(grid(field(50), time="hours", start="2001-01-01T03:00"), Resample("6h"))
    assert [time.hour for time in hours["time"].values] == [6, 12, 18, 0, 6, 12, 18]


def test_monthly_frames_fill_their_years():
    middle = grid(field(36))
    dates = [middle["time"].values[0].replace(year=2001 + n // 12, month=n % 12 + 1, day=16) for n in range(36)]
    found = resample(middle.assign_coords(time=dates), Resample("year"))
    assert [time.year for time in found["time"].values] == [2001, 2002, 2003]


def test_a_period_without_frames_is_missing():
    volume = grid(field(40, gaps=0), missing=("time", np.arange(40) == 21, {}), tag=("time", np.arange(40) // 10, {}))
    volume = volume.isel(time=[*range(10), *range(20, 40)])
    found = resample(volume, Resample("5d"))
    assert np.isnan(found[DATA].values).all((1, 2, 3, 4)).tolist() == [False] * 2 + [True] * 2 + [False] * 4
    assert [time.day for time in found["time"].values] == [1, 6, 11, 16, 21, 26, 31, 5]
    assert found["missing"].values.tolist() == [False] * 2 + [True] * 2 + [False] * 4
    assert found["tag"].values.tolist() == [0, 0, 2, 2, 2, 2, 3, 3]
    assert "tag" not in resample(volume, Resample(4)).coords
    first = resample(volume, Resample(2, "last"))
    assert first["missing"].values.nonzero()[0].tolist() == [5]
    assert resample(volume.isel(time=slice(10, 30)), Resample("5d", "sum"))["missing"].values[0]
    with pytest.raises(InputError, match=r"nothing lies between 2001-01-10 .* and 2001-01-21 .* give how: mean"):
        resample(volume, Resample("5d", "sum"))


def test_no_group_has_frames_of_two_runs():
    values = np.arange(22.0).reshape(22, 1, 1, 1, 1)
    run = np.repeat([0, 1, 2], [7, 8, 7])
    found = resample(scan(values, np.eye(4), run=("time", run, {})), Resample(3))
    assert found[DATA].values.ravel().tolist() == [1, 4, 8, 11, 16, 19]
    assert found["run"].values.tolist() == [0, 0, 1, 1, 2, 2]
    assert found["time"].values.tolist() == [0, 6, 14, 20, 30, 36]
    assert found["time"].attrs == {"units": "s"}
    assert len(found.attrs["left_out"]) == 3
    seconds = resample(scan(values, np.eye(4), run=("time", run, {})), Resample("6s"))
    assert np.array_equal(seconds[DATA].values, found[DATA].values)
    assert np.array_equal(seconds["time"].values, found["time"].values)


def test_what_cannot_be_resampled_is_refused():
    volume = grid(field(20))
    with pytest.raises(InputError, match="none of its 1 runs of 20 frames in all, .* fills every 30; give less"):
        resample(volume, Resample(30))
    with pytest.raises(InputError, match="fills every month"):
        resample(volume, Resample("month"))
    with pytest.raises(InputError, match=r"86400 s apart, and every 6h is 21600 s, which is shorter"):
        resample(volume, Resample("6h"))
    with pytest.raises(InputError, match="one frame in each run"):
        resample(volume.isel(time=[0]), Resample("day"))
    seconds = scan(np.zeros((6, 1, 1, 1, 1)), np.eye(4))
    with pytest.raises(InputError, match="its times are seconds, which have no month"):
        resample(seconds, Resample("month"))
    seconds["time"].attrs.clear()
    with pytest.raises(InputError, match="its times are numbers of frames, which have no 6s"):
        resample(seconds, Resample("6s"))
    for wrong in ("fortnight", "0h", "-2d", "6 weeks", ""):
        with pytest.raises(ValueError, match="give a number of frames, month, year, day, or a time such as 6h"):
            Resample(wrong)
    with pytest.raises(ValueError, match="every is 0 frames; give at least 1"):
        Resample(0)


def test_integers_and_dates_of_xarray_are_read_back(tmp_path):
    """What is written can be opened again with the same times."""
    from pipeline.storage import store

    volume = resample(grid(np.arange(40, dtype=np.int16).reshape(40, 1, 1)), Resample("10d", "max"))
    assert volume[DATA].dtype == np.int16
    write_volume({None: volume}, tmp_path / "v.zarr", {None: 2})
    again = store.open_volume(tmp_path / "v.zarr")
    xr.testing.assert_equal(again["time"], volume["time"])
    assert again["time"].encoding["units"] == "hours since 1990-01-01"
    assert again[DATA].values.ravel().tolist() == [9, 19, 29, 39]
