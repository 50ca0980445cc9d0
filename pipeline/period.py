"""Periods as people write them: from one time to another, both included, in the calendar or unit of a series."""

from __future__ import annotations

import pandas as pd

from pipeline.times import are_dates, in_words
from pipeline.volume import InputError

Time = int | float | str
"""A year or an ISO date where a series has dates, else a number: of seconds, or of the frame."""


def frames_between(times: pd.Index, first: Time | None, last: Time | None) -> tuple[int, int]:
    """The frames [start, stop) whose times lie in `first`..`last`; start is stop where none do.

    Args:
        times: Of all frames, increasing.
        first, last: `None` is the beginning or the end of the series.

    Raises:
        InputError: One of them is no year or ISO date of the calendar, or no number where the series has no dates.
    """
    try:
        if are_dates(times):
            chosen = times.slice_indexer(*(None if time is None else str(time) for time in (first, last)))
            start, stop = int(chosen.start or 0), int(len(times) if chosen.stop is None else chosen.stop)
        else:
            start = 0 if first is None else int(times.searchsorted(float(first), "left"))
            stop = len(times) if last is None else int(times.searchsorted(float(last), "right"))
    except ValueError as error:
        remedy = "give years or ISO dates" if are_dates(times) else "the series has no dates; give numbers"
        raise InputError(f"{told(first, last)} is no period: {error}; {remedy}") from error
    return start, max(start, stop)


def told(first: Time | None, last: Time | None) -> str:
    """A period in words: `2000..2009`; open at a side that is not given."""
    return f"{'' if first is None else first}..{'' if last is None else last}"


def extent(times: pd.Index) -> str:
    """The first and the last of some times, in words."""
    return f"{in_words(times[0])}..{in_words(times[-1])}"
