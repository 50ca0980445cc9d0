"""Times as archives write them, as dates: every calendar, years before 1, months and years as units.

CF conventions 1.11, section 4.4. What xarray decodes alike is left as it is written, so that it comes back so; what it
does not is written in hours or days, in a calendar that has the same dates.
"""

from __future__ import annotations

import re
from datetime import timedelta

import cftime
import numpy as np
import xarray as xr

from pipeline.volume import InputError

UNITS = re.compile(r"\s*(\w+)\s+since\s+(.+)", re.IGNORECASE)

SHORT = {
    "days": ("d", "day", "days"),
    "hours": ("h", "hr", "hrs", "hour", "hours"),
    "minutes": ("min", "mins", "minute", "minutes"),
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "milliseconds": ("ms", "msec", "msecs", "millisec", "millisecond", "milliseconds"),
}
"""Units by the names that UDUNITS has for them."""

LONG = {"month": 1, "months": 1, "mon": 1, "common_year": 12, "year": 12, "years": 12, "yr": 12, "yrs": 12}
"""Units that are not the same length each time, in months."""

YEAR_ZERO = re.compile(r"[-+]?0{1,4}-")


def decoded(array: xr.DataArray, time: str) -> xr.DataArray:
    """An array whose coordinate `time`, numbers with units such as `days since 2000-01-01`, became cftime dates.

    Units and calendar stay in the coordinate's encoding. Without a calendar it is the standard one. Dates in a year 0,
    which the standard calendar does not have, are in the proleptic Gregorian one, which has.

    Raises:
        InputError: There are no such units; a number is missing, or no date of the calendar.
    """
    numbers = array[time]
    match = UNITS.fullmatch(str(numbers.attrs.get("units", "")))
    if match is None:
        raise InputError(
            f"{time!r} is no time coordinate with units such as 'days since 2000-01-01'"
            + (f", it has {numbers.attrs['units']!r}" if "units" in numbers.attrs else "")
        )
    unit, origin = match[1].lower(), match[2].strip()
    calendar = str(numbers.attrs.get("calendar", "standard")).lower()
    if calendar in ("standard", "gregorian") and YEAR_ZERO.match(origin):
        calendar = "proleptic_gregorian"
    values = numbers.values.astype(np.float64)
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"frame {where} has no time ({time} is {values[where]}); give it one, or leave it out")
    try:
        if unit in LONG:
            dates, units = _months(values * LONG[unit], origin, calendar), f"days since {origin}"
        else:
            known = next((name for name, spelt in SHORT.items() if unit in spelt), unit)
            units = f"{known} since {origin}"
            dates = cftime.num2date(values, units, calendar)
    except (ValueError, OverflowError, TypeError) as error:
        raise InputError(
            f"{time!r} in {numbers.attrs['units']!r}, calendar {calendar}, has no dates: {error}; correct one of them"
        ) from error
    kept = {name: value for name, value in numbers.attrs.items() if name not in ("units", "calendar", "bounds")}
    variable = xr.Variable(numbers.dims, dates, kept, {"units": units, "calendar": calendar})
    return array.assign_coords({time: variable})


def _months(months: np.ndarray, origin: str, calendar: str) -> np.ndarray:
    """Dates so many calendar months after the origin; parts of a month in days of the month that they lie in."""
    first = cftime.num2date(0, f"days since {origin}", calendar)
    found = []
    for count in months:
        whole = int(np.floor(count + 1e-9))
        start = _later(first, whole)
        part = max(0.0, float(count) - whole)
        length = (_later(first, whole + 1) - start).total_seconds()
        found.append(start + timedelta(seconds=round(part * length)))
    return np.array(found)


def _later(date: cftime.datetime, months: int) -> cftime.datetime:
    years, month = divmod(date.month - 1 + months, 12)
    return date.replace(year=date.year + years, month=month + 1)
