"""Frames in groups that follow each other: a number of frames each, or calendar months, days, hours. No group crosses
the border of two runs, and none is incomplete at an end."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from pipeline.volume import InputError

MONTHS = {"month": 1, "year": 12}
LENGTHS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "day": "days"}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")

UNEVEN = 1.2
"""How much longer than usual the time to the next frame may be, as the lengths of months are, and be no gap."""


@dataclass(frozen=True)
class Group:
    """The frames [start, stop), perhaps none, and the time that the group begins at."""

    start: int
    stop: int
    time: Any


def duration(every: str) -> timedelta | int:
    """How long a period is: a number of months for `month` and `year`, or a time for `day`, `6h`, `30min`, `10d`.

    Raises:
        ValueError: It is none of these.
    """
    if every in MONTHS:
        return MONTHS[every]
    match = DURATION.fullmatch("1d" if every == "day" else every)
    length = timedelta(**{LENGTHS[match[2]]: float(match[1])}) if match else timedelta(0)
    if length <= timedelta(0):
        raise ValueError(f"every is {every!r}; give a number of frames, month, year, day, or a time such as 6h or 10d")
    return length


def segments(run: np.ndarray | None, frames: int) -> list[tuple[int, int]]:
    """The frames [start, stop) of each run, given the run of each frame (time); all, where there are no runs."""
    borders = [] if run is None else (np.flatnonzero(np.diff(run)) + 1).tolist()
    return list(zip([0, *borders], [*borders, frames], strict=True))


def by_number(times: np.ndarray, parts: Sequence[tuple[int, int]], number: int) -> list[Group]:
    """Groups of `number` frames; those at the end of a part that are fewer are in none."""
    return [
        Group(first, first + number, times[first])
        for start, stop in parts
        for first in range(start, stop - number + 1, number)
    ]


def by_period(times: np.ndarray, unit: str, parts: Sequence[tuple[int, int]], every: str) -> list[Group]:
    """Groups of a period each: months and years of the calendar, other times counted from the midnight before the first
    frame of a part (from that frame itself, where times are seconds). A period between others may have no frame.

    Of the first and the last period of a part a group is made if it fills them: if one frame earlier, or later, by the
    step of the times, would lie outside.

    Args:
        times: (time), cftime dates or numbers.
        unit: "s" where times are seconds.
        parts: Frames [start, stop) that have no interruption.

    Raises:
        InputError: Times are no dates and no seconds (or seconds, and a month is asked for); the period is shorter than
            the step of the times; there is but one frame.
    """
    steps = np.concatenate([intervals(times[start:stop]) for start, stop in parts])
    if len(steps) == 0:
        raise InputError(
            f"it has one frame in each run, so that nobody knows how long it lasts; every {every} needs two"
        )
    usual = float(np.median(steps))
    step = float(steps[steps <= UNEVEN * usual].max())
    clocks = [_clock(times[start], unit, every) for start, _ in parts]
    seconds = clocks[0][2]
    if seconds < usual * (1 - 1e-6):
        raise InputError(
            f"its frames are {usual:g} s apart, and every {every} is {seconds:g} s, which is shorter; give "
            "at least the former"
        )
    return [
        group
        for (start, stop), (begin, following, _) in zip(parts, clocks, strict=True)
        for group in _of_part(times, start, stop, begin, following, step)
    ]


def intervals(times: np.ndarray) -> np.ndarray:
    """Seconds from each frame to the next; differences of times that are numbers."""
    return np.array([_number(later - one) for one, later in itertools.pairwise(times)], np.float64)


def _number(difference: Any) -> float:
    return difference.total_seconds() if isinstance(difference, timedelta) else float(difference)


def _of_part(
    times: np.ndarray, start: int, stop: int, begin: Callable, following: Callable, step: float
) -> list[Group]:
    groups, first, time = [], start, begin(times[start])
    dates = times.dtype == object
    while first < stop:
        later = following(time)
        last = first
        while last < stop and times[last] < later:
            last += 1
        groups.append(Group(first, last, time))
        first, time = last, later
    apart = timedelta(seconds=step) if dates else step * (1 + 1e-6)
    if times[start] - apart >= groups[0].time:
        groups = groups[1:]
    if groups and times[stop - 1] + apart < time:
        groups = groups[:-1]
    filled = [number for number, group in enumerate(groups) if group.start < group.stop]
    return groups[filled[0] : filled[-1] + 1] if filled else []


def _clock(first: Any, unit: str, every: str) -> tuple[Callable, Callable, float]:
    """Of times from `first` on: what period a time lies in, as the time that it begins at; when the one after begins;
    seconds of one at most."""
    length = duration(every)
    if not isinstance(first, np.generic | float | int):
        if isinstance(length, int):
            return (lambda t: _month(t, length)), (lambda t: _later(t, length)), length * 31 * 86400.0
        origin = first.replace(hour=0, minute=0, second=0, microsecond=0)
        return (lambda t: origin + (t - origin) // length * length), (lambda t: t + length), length.total_seconds()
    if unit != "s" or isinstance(length, int):
        has = "seconds" if unit == "s" else "numbers of frames"
        raise InputError(f"its times are {has}, which have no {every}; give a number of frames")
    seconds = length.total_seconds()
    slack = 1e-9 * seconds
    return (lambda t: first + np.floor((t - first + slack) / seconds) * seconds), (lambda t: t + seconds), seconds


def _month(time: Any, months: int) -> Any:
    month = (time.month - 1) // months * months + 1
    return time.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)


def _later(first: Any, months: int) -> Any:
    month = first.month + months
    return first.replace(year=first.year + (month > 12), month=(month - 1) % 12 + 1)
