"""Which frames are learned from, chosen by and tested on: training first, then validation, then test."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.times import in_words
from pipeline.volume import InputError
from workflows.init.facts import Facts, Series

VALIDATION, TEST = 0.13, 0.18
"""Shares of the frames, or of the years."""

YEARS = 5
"""From so many years on borders are those of years."""

APART = 12
"""Up to so many runs are series of their own; more stay one series, in which models begin anew with each run."""

LEAST = 8
"""Frames: with fewer there is nothing to learn from, choose by and test on."""

WIDEST = 0.05
"""The largest share of the frames that one margin may have."""

CHOSEN_BYTES = 2e9
"""Validation frames are read again and again, so there are no more than fit this, or a year of them."""

Period = dict[str, Any]
Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""The frames [start, stop) of training, validation and test."""


@dataclass(frozen=True)
class Split:
    """The periods, as a recipe has them.

    Attributes:
        train, validation, test: A period or several.
        frames: How many frames each has, over all series.
        longest: Frames of the longest run of training frames without interruption.
        tested: The series that are forecast.
        joined: Whether several runs stay one series.
        years: Whole years of training; 0 where there are no dates or borders are no years.
        margin: Frames left out at each border.
        repeated: Frames of validation or test that training or validation has too, bit for bit.
    """

    train: tuple[Period, ...]
    validation: tuple[Period, ...]
    test: tuple[Period, ...]
    frames: tuple[int, int, int]
    longest: int
    tested: tuple[str, ...]
    joined: bool = False
    years: int = 0
    margin: int = 0
    repeated: int = 0

    def as_setting(self) -> dict[str, Any]:
        """As the recipe has it: one period without a list."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: own[0] if len(own) == 1 else list(own) for name, own in parts.items()}


def split(facts: Facts, name: str) -> Split:
    """The periods for what was seen.

    Args:
        facts: What was seen.
        name: What the recipe calls a series that has no name of its own.

    Raises:
        InputError: There are too few frames.
    """
    series = facts.first
    if series.frames < LEAST or max(series.runs) < 3:
        raise InputError(
            f"{series.sources[0]} has {series.frames} frames{_in_runs(series)}, and a forecast wants at least {LEAST} "
            "in all and 3 in a run: to learn from, to choose by and to be tested on; name more files"
        )
    if len(series.runs) > 1:
        return _by_runs(series, name) if len(series.runs) <= APART else _joined(series, name)
    return _along_time(facts, name)


def _in_runs(series: Series) -> str:
    return f" in {len(series.runs)} runs" if len(series.runs) > 1 else ""


def _by_runs(series: Series, name: str) -> Split:
    """Whole runs are left out; of two runs the end of the first chooses."""
    names = [f"{name}.run{number + 1}" for number in range(len(series.runs))]
    if len(names) == 2:
        border = max(2, round(0.8 * series.runs[0]))
        last, first = _ends(series.times, border - 1, border, "numbers" if _whole(series.times) else "seconds")
        sizes = (border, series.runs[0] - border, series.runs[1])
        return Split(
            ({"series": names[0], "last": last},), ({"series": names[0], "first": first},), ({"series": names[1]},),
            sizes, longest=border, tested=(names[1],),
        )  # fmt: skip
    out = max(1, round(0.1 * len(names)))
    parts = names[: -2 * out], names[-2 * out : -out], names[-out:]
    counts = dict(zip(names, series.runs, strict=True))
    return Split(
        *(tuple({"series": one} for one in part) for part in parts),
        frames=tuple(sum(counts[one] for one in part) for part in parts),
        longest=max(counts[one] for one in parts[0]),
        tested=tuple(parts[2]),
    )


def _joined(series: Series, name: str) -> Split:
    """Many runs: one series, cut where runs begin."""
    ends = list(itertools.accumulate(series.runs))
    out = max(1, round(0.1 * len(ends)))
    clock = "numbers" if _whole(series.times) else "seconds"
    train, chosen = ends[-2 * out - 1], ends[-out - 1]
    (one, two), (three, four) = (_ends(series.times, border - 1, border, clock) for border in (train, chosen))
    return Split(
        ({"series": name, "last": one},),
        ({"series": name, "first": two, "last": three},),
        ({"series": name, "first": four},),
        frames=(train, chosen - train, ends[-1] - chosen),
        longest=max(series.runs[: -2 * out]),
        tested=(name,),
        joined=True,
    )


def _along_time(facts: Facts, name: str) -> Split:
    """One recording, or several series at the same times: the beginning, the middle and the end of it."""
    series, sample = facts.first, facts.sample
    starts, years = _borders(facts)
    widest = int(min(WIDEST * series.frames, (starts[1] - starts[0]) / 2, (series.frames - starts[1]) / 2))
    margin = min(math.ceil(sample.memory), widest) if sample.memory >= 2 else 0
    wider = (m for m in range(margin, widest + 1) if not _repeated(sample.alike, _spans(starts, m, series.frames)))
    margin = next(wider, margin)  # what stands still at a border is left out; what comes again elsewhere cannot be
    spans = _affordable(facts, _spans(starts, margin, series.frames), margin, years)
    names = [one.name or name for one in facts.series]
    periods = [[_period(facts, own, spans, part) for own in facts.series] for part in range(3)]
    parts = [
        tuple({"series": one, **period} for one, period in zip(names, own, strict=True) if period is not None)
        for own in periods
    ]
    if not all(parts):
        raise InputError(f"the series {', '.join(names)} have no times in common; write a recipe for each")
    return Split(
        *parts,
        frames=tuple((stop - start) * len(own) for (start, stop), own in zip(spans, parts, strict=True)),
        longest=spans[0][1] - spans[0][0],
        tested=tuple(period["series"] for period in parts[2]),
        years=years,
        margin=margin,
        repeated=_repeated(sample.alike, spans),
    )


def _borders(facts: Facts) -> tuple[tuple[int, int], int]:
    """The first frames of validation and test, and how many years are before them where those begin years."""
    times = facts.first.times
    if facts.clock == "dates":
        firsts = {date.year: number for number, date in reversed(list(enumerate(times)))}
        years = sorted(firsts)
        if len(years) >= YEARS:
            test, chosen = max(1, round(TEST * len(years))), max(1, round(VALIDATION * len(years)))
            return (firsts[years[-test - chosen]], firsts[years[-test]]), len(years) - test - chosen
    test, chosen = max(2, round(TEST * len(times))), max(1, round(VALIDATION * len(times)))
    return (len(times) - test - chosen, len(times) - test), 0


def _spans(starts: tuple[int, int], margin: int, frames: int) -> Spans:
    """The frames [start, stop) of each part, without the margins at the beginnings of the later ones."""
    return (0, starts[0]), (starts[0] + margin, starts[1]), (starts[1] + margin, frames)


def _affordable(facts: Facts, spans: Spans, margin: int, years: int) -> Spans:
    """The spans, of validation no more than can be read again and again where borders are no years: its last part; what
    is before that is learned from."""
    train, (start, stop), test = spans
    most = max(LEAST, int(CHOSEN_BYTES / facts.frame_bytes))
    if years or stop - start <= most:
        return spans
    return (train[0], stop - most - margin), (stop - most, stop), test


def _repeated(alike: Sequence[int], spans: Spans) -> int:
    """How many frames of validation or test an earlier part has too, bit for bit."""
    first: dict[int, int] = {}
    parts = [(part, frame) for part, (start, stop) in enumerate(spans) for frame in range(start, min(stop, len(alike)))]
    return sum(first.setdefault(alike[frame], part) != part for part, frame in parts)


def _period(facts: Facts, series: Series, spans: Spans, part: int) -> Period | None:
    """First and last of a part, open at the ends of the series; `None` where a series has no frame in it."""
    times, (start, stop) = facts.first.times, spans[part]
    period: Period = {}
    if start > 0:
        period["first"] = _ends(times, start - 1, start, facts.clock)[1]
    if stop < len(times):
        period["last"] = _ends(times, stop - 1, stop, facts.clock)[0]
    low, high = times[start], times[stop] if stop < len(times) else None
    has = any(low <= time and (high is None or time < high) for time in series.times)
    return period if has else None


def _ends(times: Sequence[Any], before: int, after: int, clock: str) -> tuple[Any, Any]:
    """What a recipe calls the last frame of one part and the first of the next, which follow each other."""
    one, other = times[before], times[after]
    if clock == "dates":
        whole = one.year < other.year
        if whole:
            return _year(one.year), _year(other.year)
        same_day = one.isoformat()[:10] == other.isoformat()[:10]  # a day as the last one means all of it
        return one.isoformat() if same_day else in_words(one), in_words(other)
    if clock == "numbers":
        return int(one), int(other)
    number = between(float(one), float(other))
    return number, number


def _year(year: int) -> int | str:
    return year if year >= 1000 else f"{year:04d}"


def _whole(times: Sequence[Any]) -> bool:
    return all(float(time).is_integer() for time in times)


def between(low: float, high: float) -> float:
    """The shortest decimal number between two."""
    middle = (low + high) / 2
    for digits in range(16):
        number = round(middle, digits)
        if low < number < high:
            return number
    return middle
