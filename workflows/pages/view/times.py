"""Times of frames as a store has them: dates of any calendar, seconds, or numbers of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cftime
import numpy as np

from pipeline.volume import InputError

DAY = 86400.0
TOLERANCE = 1e-4
"""By what part of a step times may differ and be one."""


@dataclass(frozen=True, eq=False)
class Clock:
    """The times of a volume's frames.

    Attributes:
        numbers: (time), float64.
        unit: "s", or "days since .." and the like for dates; empty where numbers are those of frames.
        calendar: Of dates; else empty.
    """

    numbers: np.ndarray
    unit: str
    calendar: str

    @staticmethod
    def of(values: np.ndarray | None, attributes: dict, frames: int) -> Clock:
        """From a coordinate `time` as it is stored; `None` where there is none."""
        if values is None:
            return Clock(np.arange(frames, dtype=np.float64), "", "")
        unit = str(attributes.get("units", ""))
        calendar = str(attributes.get("calendar", "standard")) if " since " in unit else ""
        return Clock(values.astype(np.float64), unit, calendar)

    @property
    def kind(self) -> str:
        """In words, what the times are."""
        if self.calendar:
            return f"dates of the calendar {self.calendar}"
        return f"in {self.unit}" if self.unit else "numbers of frames"

    def date(self, number: float) -> cftime.datetime:
        return cftime.num2date(number, self.unit, self.calendar)

    @cached_property
    def _epoch(self) -> cftime.datetime:
        return self.date(0)

    def since(self, other: Clock) -> np.ndarray:
        """All times (time) in seconds since another clock's epoch, where they are dates; else as they are."""
        if not self.calendar:
            return self.numbers
        unit = (self.date(1) - self._epoch).total_seconds()
        return self.numbers * unit + (self._epoch - other._epoch).total_seconds()


class Timeline:
    """The times that any of several volumes has, in order.

    Args:
        clocks: Of each volume.
        labels: What each is called.

    Attributes:
        frames: For each volume its frame at each time (time), -1 where it has none.

    Raises:
        InputError: Times are of different kinds, or those of one of several volumes do not increase.
    """

    def __init__(self, clocks: Sequence[Clock], labels: Sequence[str]):
        first = clocks[0]
        for clock, label in zip(clocks[1:], labels[1:], strict=True):
            if (clock.calendar, bool(clock.unit)) != (first.calendar, bool(first.unit)):
                raise InputError(
                    f"times of {labels[0]} are {first.kind}, those of {label} are {clock.kind}; look at each alone"
                )
        self._clocks = clocks
        seconds = [clock.since(first) for clock in clocks]
        if all(np.array_equal(own, seconds[0]) for own in seconds):
            self.seconds = seconds[0]
            self.frames = [np.arange(len(self.seconds))] * len(clocks)
            return
        for own, label in zip(seconds, labels, strict=True):
            if (np.diff(own) <= 0).any():
                where = int(np.flatnonzero(np.diff(own) <= 0)[0]) + 1
                raise InputError(
                    f"times of {label} do not increase at frame {where} ({own[where - 1]:g}, then {own[where]:g}), so "
                    "that frames cannot be set beside those of others; look at it alone"
                )
        step = min((float(np.median(np.diff(own))) for own in seconds if len(own) > 1), default=1.0)
        every = np.sort(np.concatenate(seconds))
        self.seconds = every[np.append(True, np.diff(every) > TOLERANCE * step)]
        self.frames = [np.full(len(self.seconds), -1) for _ in clocks]
        for own, frames in zip(seconds, self.frames, strict=True):
            frames[np.searchsorted(self.seconds, own + TOLERANCE * step, "right") - 1] = np.arange(len(own))

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def dated(self) -> bool:
        return bool(self._clocks[0].calendar)

    @property
    def shared(self) -> int:
        """How many of the times all volumes have."""
        return int(np.logical_and.reduce([frames >= 0 for frames in self.frames]).sum())

    @cached_property
    def _by_day(self) -> bool:
        """Whether all dates are at midnight."""
        epoch = self._clocks[0].date(0)
        return not ((self.seconds + epoch.hour * 3600 + epoch.minute * 60 + epoch.second) % DAY).any()

    def _date(self, number: int) -> cftime.datetime:
        clock, own = next(
            (clock, frames[number])
            for clock, frames in zip(self._clocks, self.frames, strict=True)
            if frames[number] >= 0
        )
        return clock.date(clock.numbers[own])

    def words(self, number: int) -> str:
        """A time as people read it: `1990-01-31`, `1990-01-31 06:00`, `12.5 s`, `frame 7`."""
        if self.dated:
            date = self._date(number)
            clock = f" {date.hour:02d}:{date.minute:02d}" + (f":{date.second:02d}" if date.second else "")
            return f"{date.year:04d}-{date.month:02d}-{date.day:02d}" + ("" if self._by_day else clock)
        unit = self._clocks[0].unit
        return f"{self.seconds[number]:.10g} {unit}" if unit else f"frame {self.seconds[number]:g}"

    def times_of(self, volume: int) -> np.ndarray:
        """The number here of the time of each frame of a volume (time)."""
        return np.flatnonzero(self.frames[volume] >= 0)

    def positions(self, times: np.ndarray) -> np.ndarray:
        """Where times, by their numbers, lie on the axis of a plot: milliseconds for dates, else the numbers.

        Plots know one calendar. Months of others are stretched to its months, so that names of months and years along
        an axis are right, and days to within two.
        """
        if not self.dated:
            return self.seconds[times]
        return np.array([_milliseconds(self._date(number)) for number in times])


def _milliseconds(date: cftime.datetime) -> float:
    """Since 1970 in the proleptic Gregorian calendar, the month of the date stretched to that one's."""
    month = f"{max(date.year, 0):04d}-{date.month:02d}"
    begin, end = (np.datetime64(month, "M") + more for more in (0, 1))
    length = (end.astype("M8[D]") - begin.astype("M8[D]")).astype(float)
    own = date.daysinmonth
    day = date.day - 1 + (date.hour * 3600 + date.minute * 60 + date.second) / DAY
    return float(begin.astype("M8[ms]").astype(np.int64)) + day * (length / own) * DAY * 1000
