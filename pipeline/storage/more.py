"""Frames that arrived later, behind those that a store holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.volume import AXES, DATA, SPACE, InputError

DATED = (
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "julian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
)
"""Calendars: times in them are dates."""


def refuse_misfit(earlier: xr.Dataset, more: xr.Dataset, path: Path) -> None:
    """Refuses frames that cannot follow those of the store at `path`.

    Raises:
        InputError: They have another shape, type, channels, unit or place; or do not come later.
    """
    pairs = {
        "frames of the shape": tuple(tuple(v.sizes[axis] for axis in AXES[1:]) for v in (earlier, more)),
        "numbers of the type": tuple(str(v[DATA].dtype) for v in (earlier, more)),
        "channels": tuple([str(name) for name in v["channel"].values] for v in (earlier, more)),
        "the unit": tuple(str(v[DATA].attrs.get("units", "")) for v in (earlier, more)),
        "times in": tuple(_clock(v) for v in (earlier, more)),
    }
    for what, (held, given) in pairs.items():
        if held != given:
            raise InputError(
                f"{path} has {what} {held}, what is to be added has {given}; put it into a store of its own"
            )
    for name in sorted(set(earlier.coords) | set(more.coords), key=str):
        places = [v[name] if name in v.coords else None for v in (earlier, more)]
        if any(p is not None and "time" not in p.dims and p.dims and p.dims[0] in SPACE for p in places) and (
            None in [None if p is None else 1 for p in places] or not np.array_equal(*(p.values for p in places))
        ):
            raise InputError(f"{path} and what is to be added lie at different places ({name}); regrid one of them")
    if _clock(earlier) in DATED:
        last, first = earlier["time"].values[-1], more["time"].values[0]
        if not last < first:
            raise InputError(
                f"what is to be added begins at {first}, and {path} ends at {last}; give only frames that come later "
                "(--select time=FIRST:LAST)"
            )


def with_more(earlier: xr.Dataset, more: xr.Dataset) -> xr.Dataset:
    """One volume behind the other, lazily.

    Dates stay as they are. Frame numbers go on. Seconds, which begin anew in each recording, go on one step after the
    last, and what is added is a run of its own (or several), as if all had been brought in together.
    """
    clock = _clock(earlier)
    if clock not in DATED and "time" in more.coords:
        held, given = (v["time"].values for v in (earlier, more))
        step = 1 if clock == "frames" or len(held) < 2 else held[-1] - held[-2]
        more = more.assign_coords(time=("time", given - given[0] + held[-1] + step, more["time"].attrs))
    if clock == "s" or "run" in earlier.coords or "run" in more.coords:
        last = earlier["run"].values if "run" in earlier.coords else np.zeros(earlier.sizes["time"], int)
        own = more["run"].values if "run" in more.coords else np.zeros(more.sizes["time"], int)
        attributes = (earlier if "run" in earlier.coords else more)["run"].attrs
        earlier = earlier.assign_coords(run=("time", last, attributes))
        more = more.assign_coords(run=("time", own - own.min() + last.max() + 1, attributes))
    if "missing" in earlier.coords or "missing" in more.coords:
        earlier, more = (
            v if "missing" in v.coords else v.assign_coords(missing=("time", np.zeros(v.sizes["time"], bool)))
            for v in (earlier, more)
        )
    joined = xr.concat(
        [earlier, more], "time", combine_attrs="override", join="override", coords="minimal", compat="override"
    )
    if "time" in joined.coords:
        joined["time"].encoding = earlier["time"].encoding
    return joined


def _clock(volume: xr.Dataset) -> str:
    """How the times of a volume are told: in a calendar, in a unit, or as numbers of frames."""
    if "time" not in volume.coords:
        return "frames"
    times = volume["time"]
    return str(getattr(times.values[0], "calendar", "") or times.attrs.get("units") or "frames")
