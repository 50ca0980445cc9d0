"""Splits: which frames may be learned from, which choose among models, which are looked at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import xarray as xr

from pipeline.period import Time, extent, frames_between, told
from pipeline.volume import InputError, Settings


@dataclass(frozen=True)
class Period(Settings):
    """The frames of one series from `first` to `last`, both included.

    Attributes:
        series: The series.
        first, last: Years or ISO dates in the series' calendar; of a series without dates, numbers in the unit of its
            time (seconds), or numbers of frames where it has none. What is left out is the series' own beginning or
            end.
    """

    series: str
    first: Time | None = None
    last: Time | None = None

    def __str__(self) -> str:
        return f"{self.series} {told(self.first, self.last)}"


Periods = tuple[Period, ...]


@dataclass(frozen=True)
class Splits(Settings):
    """Which frames are for what: each split is one period or a list of them.

    Attributes:
        train: The frames that may be learned from.
        validation: Those that choose among models.
        test: Those that are looked at once.
    """

    train: Period | Periods
    validation: Period | Periods
    test: Period | Periods

    def __post_init__(self):
        for split, periods in self.items():
            if not periods:
                raise ValueError(f"{split} is an empty list; give at least one period")

    def items(self) -> list[tuple[str, Periods]]:
        """Each split's name and periods."""
        named = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(name, (given,) if isinstance(given, Period) else given) for name, given in named]

    def names(self) -> dict[tuple[str | int, ...], str]:
        """Where a series is named, and which."""
        found: dict[tuple[str | int, ...], str] = {}
        for name, periods in self.items():
            single = isinstance(getattr(self, name), Period)
            for number, period in enumerate(periods):
                found[(name, "series") if single else (name, number, "series")] = period.series
        return found


@dataclass(frozen=True)
class Span:
    """Frames [start, stop) of a series, all in one run of it.

    Attributes:
        series: The series.
        start, stop: The frames.
        first: The first frame of the run: what is before it is forgotten.
    """

    series: str
    start: int
    stop: int
    first: int = 0

    @property
    def frames(self) -> range:
        """The numbers of its frames."""
        return range(self.start, self.stop)

    @property
    def scored(self) -> range:
        """The frames that have one before them to be forecast from."""
        return range(max(self.start, self.first + 1), self.stop)

    def within(self, starts: Iterable[int]) -> list[Span]:
        """Its parts in each run of the series, given the frames that begin a run but the first."""
        borders = [0, *starts]
        ends = [*borders[1:], max(self.stop, *borders)]
        runs = zip(borders, ends, strict=True)
        found = [Span(self.series, max(self.start, one), min(self.stop, end), one) for one, end in runs]
        return [span for span in found if span.start < span.stop]


def by_series(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each series, in their order in time; series in the order in which they are first named."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.series, []).append(span)
    return {series: sorted(own, key=lambda span: span.start) for series, own in found.items()}


def spans_of(series: dict[str, xr.Dataset], splits: Splits) -> dict[str, list[Span]]:
    """The frames of each split's periods.

    Raises:
        InputError: A series is unknown, a period holds no frame of it, or two of one split share frames.
    """
    spans = {split: [_span(series, period) for period in periods] for split, periods in splits.items()}
    for split, periods in splits.items():
        _refuse_overlaps(split, dict(zip(spans[split], periods, strict=True)), spans[split])
    return spans


def _span(series: dict[str, xr.Dataset], period: Period) -> Span:
    if period.series not in series:
        raise InputError(f"split names series {period.series!r}; the series are {', '.join(series)}")
    times = series[period.series].indexes["time"]
    start, stop = frames_between(times, period.first, period.last)
    if start == stop:
        raise InputError(
            f"no frame of series {period.series!r} lies in {told(period.first, period.last)}; it runs {extent(times)}"
        )
    return Span(period.series, start, stop)


def _refuse_overlaps(split: str, periods: dict[Span, Period], spans: list[Span]) -> None:
    if len(periods) < len(spans):
        twice = next(span for span in spans if spans.count(span) > 1)
        raise InputError(f"{split} has the period {periods[twice]} twice; give it once")
    for own in by_series(spans).values():
        for one, other in itertools.pairwise(own):
            if other.start < one.stop:
                raise InputError(
                    f"two periods of {split} share {min(one.stop, other.stop) - other.start} frames: {periods[one]} "
                    f"and {periods[other]}; let one end before the other begins"
                )
