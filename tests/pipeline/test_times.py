"""Times: periods of dates and of numbers, and the time that follows the last."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pipeline.period import frames_between
from pipeline.times import further, in_words, one_further, with_times
from pipeline.volume import InputError


def dates(calendar, *days):
    return [cftime.datetime(*day, calendar=calendar) for day in days]


@pytest.mark.parametrize(
    ("times", "following"),
    [
        (dates("standard", (1992, 11, 1), (1992, 12, 1)), (1993, 1, 1)),  # not 31 December
        (dates("standard", (1990, 6, 1), (1991, 6, 1), (1992, 6, 1)), (1993, 6, 1)),
        (dates("360_day", (2098, 6, 1), (2099, 6, 1)), (2100, 6, 1)),
        (dates("noleap", (2000, 2, 27), (2000, 2, 28)), (2000, 3, 1)),
        (dates("standard", (2000, 1, 4), (2000, 2, 1), (2000, 3, 1)), (2000, 3, 30)),  # 28 and 29 days, no months
        (dates("standard", (2000, 1, 16, 12), (2000, 2, 15, 12)), (2000, 3, 16, 12)),
    ],
)
def test_the_next_date(times, following):
    assert one_further(times) == cftime.datetime(*following, calendar=times[0].calendar)


def test_the_next_dates_are_the_next_one_again_and_again():
    monthly = dates("standard", (1992, 10, 28), (1992, 11, 28), (1992, 12, 28))
    assert [(d.year, d.month, d.day) for d in further(monthly, 14)[::13]] == [(1993, 1, 28), (1994, 2, 28)]
    daily = dates("noleap", (2000, 2, 26), (2000, 2, 27))
    for times in (monthly, daily):
        known = list(times)
        for date in further(times, 30):
            assert date == one_further(known)
            known.append(date)
    assert further(np.array([0.0, 0.1]), 3)[-1] == 0.1 + 3 * 0.1  # rounded once


def test_the_next_number():
    assert one_further(np.array([0.0, 2.5, 5.0])) == 7.5
    assert one_further(np.array([0, 1, 2])) == 3
    with pytest.raises(InputError, match="one frame has no step of time"):
        one_further(np.array([3.0]))


def test_periods_of_numbers():
    times = pd.Index([0.0, 2.5, 5.0, 7.5])
    assert frames_between(times, 2.5, 5) == (1, 3)
    assert frames_between(times, None, 4.9) == (0, 2)
    assert frames_between(times, "5.0", None) == (2, 4)
    assert frames_between(times, 8, 9) == (4, 4)
    with pytest.raises(InputError, match=r"1990-01-01\.\. is no period: .*; the series has no dates; give numbers"):
        frames_between(times, "1990-01-01", None)


def test_open_ends_of_dates():
    times = xr.CFTimeIndex([cftime.Datetime360Day(*day) for day in ((2000, 1, 30), (2000, 2, 30), (2001, 1, 1))])
    assert frames_between(times, None, 2000) == (0, 2)
    assert frames_between(times, "2000-02", None) == (1, 3)
    assert frames_between(times, None, None) == (0, 3)


def test_a_volume_without_times_has_the_numbers_of_its_frames():
    volume = with_times(xr.Dataset({"data": (("time", "channel"), np.zeros((3, 1)))}))
    assert volume["time"].values.tolist() == [0, 1, 2]
    assert with_times(volume) is volume


def test_words():
    assert [in_words(time) for time in dates("standard", (2000, 1, 31), (2000, 1, 31, 6))] == [
        "2000-01-31",
        "2000-01-31T06:00:00",
    ]
    assert [in_words(time) for time in (np.float64(2.7), np.int64(12), 0.1 + 0.2)] == ["2.7", "12", "0.3"]
