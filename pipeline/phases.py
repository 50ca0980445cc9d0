"""Phases of the year: which month, season or day a date lies in, by its own calendar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cftime
import numpy as np
import xarray as xr
from jaxtyping import Int

from pipeline.times import Times, are_dates
from pipeline.volume import InputError

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
PHASE = "phase_of_year"
"""The coordinate of a prepared volume that has each frame's phase."""

SEASONS = ("DJF", "MAM", "JJA", "SON")


def named(date: cftime.datetime, kind: str) -> tuple[int, str]:
    """The place in the year and the name of a date's phase.

    Of days, 29 February counts as the 28th, except in calendars whose every February has 30 days: most years have none
    to learn from.
    """
    if kind == "month":
        return date.month, MONTHS[date.month - 1]
    if kind == "season":
        return date.month % 12 // 3, SEASONS[date.month % 12 // 3]
    leap = date.month == 2 and date.day == 29 and date.calendar != "360_day"
    day = 28 if leap else date.day
    return 31 * date.month + day, f"{day} {MONTHS[date.month - 1]}"


@dataclass(frozen=True)
class Phases:
    """The phases that the training frames have, in the order of the year.

    Attributes:
        kind: `month`, `season` or `day`.
        names: Of the phases; a frame's phase is an index into them.
    """

    kind: str
    names: tuple[str, ...]

    @staticmethod
    def found(kind: str, periods: Iterable[Times]) -> Phases:
        """Those of the training periods' dates.

        Raises:
            InputError: There are no dates.
        """
        found = {named(date, kind) for times in periods for date in _dates(times, kind)}
        return Phases(kind, tuple(name for _, name in sorted(found)))

    @staticmethod
    def kept(volume: xr.Dataset) -> Phases | None:
        """Those that a prepared volume's coordinate tells of; `None` where it has none."""
        if PHASE not in volume.coords:
            return None
        return Phases(volume[PHASE].attrs["kind"], tuple(volume[PHASE].attrs["names"]))

    def coordinate(self, times: Times) -> tuple[str, Int[np.ndarray, "time"], dict]:
        """The coordinate of frames with these dates."""
        return "time", self.of(times), {"kind": self.kind, "names": list(self.names)}

    def of(self, times: Times) -> Int[np.ndarray, "time"]:
        """The phase of each date.

        Raises:
            InputError: There are no dates, or one of a phase that no training frame has.
        """
        known = {name: number for number, name in enumerate(self.names)}
        found = []
        for date in _dates(times, self.kind):
            _, name = named(date, self.kind)
            if name not in known:
                raise InputError(
                    f"a frame is for {date.isoformat()[:10]}, and no training frame lies in the {self.kind} {name}, "
                    "whose climatology is not known then; lengthen the training periods, or choose coarser anomalies"
                )
            found.append(known[name])
        return np.array(found, np.int64)


def _dates(times: Times, kind: str) -> Times:
    if not are_dates(times):
        raise InputError(
            f"anomalies by {kind} of a series without dates, whose time begins at {times[0]}; set anomalies to none"
        )
    return times
