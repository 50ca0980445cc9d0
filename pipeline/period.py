"""Periods as people write them: from one year or date to another, both included, in the calendar of a series."""

from __future__ import annotations

import pandas as pd

from pipeline.volume import InputError


def frames_between(times: pd.Index, first: int | str, last: int | str) -> tuple[int, int]:
    """The frames [start, stop) whose times lie in `first`..`last`; start is stop where none do.

    Raises:
        InputError: One of them is no year or ISO date of the calendar.
    """
    try:
        chosen = times.slice_indexer(str(first), str(last))
    except ValueError as error:
        raise InputError(f"{first}..{last} is no period: {error}; give years or ISO dates") from error
    start, stop = int(chosen.start or 0), int(len(times) if chosen.stop is None else chosen.stop)
    return start, max(start, stop)
