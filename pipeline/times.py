"""Times of frames: dates of a calendar, or numbers (seconds, or the number of the frame) where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cftime
import numpy as np
import pandas as pd
import xarray as xr

from pipeline.volume import InputError

Times = pd.Index | Sequence | np.ndarray


def are_dates(times: Times) -> bool:
    """Whether these are dates, and not numbers."""
    return len(times) > 0 and isinstance(times[0], cftime.datetime)


def with_times(volume: xr.Dataset) -> xr.Dataset:
    """The volume; one that has no times gets the numbers of its frames."""
    return volume if "time" in volume.coords else volume.assign_coords(time=np.arange(volume.sizes["time"]))


def in_words(time: object) -> str:
    """A time as it can be written in a recipe: `2000-01-31` for a date (with the hour where it is not midnight), else a
    number."""
    if not isinstance(time, cftime.datetime):
        return f"{float(time):.10g}"
    midnight = (time.hour, time.minute, time.second, time.microsecond) == (0, 0, 0, 0)
    return time.isoformat()[:10] if midnight else time.isoformat()


def one_further(times: Times) -> object:
    """The time that follows the last one, see `further`."""
    return further(times, 1)[0]


def further(times: Times, count: int) -> list:
    """The times that follow the last one: the last step again and again. Steps of whole calendar months stay so.

    Raises:
        InputError: There is one time only, and so no step.
    """
    if len(times) < 2:
        raise InputError("a series of one frame has no step of time to go on by; give at least 2 frames")
    last, step = times[-1], times[-1] - times[-2]
    months = {_months(one, other) for one, other in pairwise(times[-3:])} if are_dates(times) else {None}
    if len(months) == 1 and None not in months:
        return [_months_later(last, number * next(iter(months))) for number in range(1, count + 1)]
    return [last + number * step for number in range(1, count + 1)]


def _months_later(time: cftime.datetime, months: int) -> cftime.datetime:
    years, month = divmod(time.month - 1 + months, 12)
    return time.replace(year=time.year + years, month=month + 1)


def _months(one: cftime.datetime, other: cftime.datetime) -> int | None:
    """The whole months from one date to another; `None` where they are not on the same day, or not on one that every
    month has."""
    same = (one.day, one.hour, one.minute, one.second) == (other.day, other.hour, other.minute, other.second)
    return (other.year - one.year) * 12 + other.month - one.month if same and one.day <= 28 else None
