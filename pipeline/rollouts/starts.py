"""Where forecasts start, and which of them can be scored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from pipeline.dataset import splits_of, within_runs
from pipeline.period import Time, extent, frames_between, told
from pipeline.rollouts.settings import RolloutSettings
from pipeline.sequence import run_starts
from pipeline.splits import Span, by_series
from pipeline.times import further, in_words
from pipeline.volume import InputError


@dataclass(frozen=True)
class Start:
    """Where a forecast starts.

    Attributes:
        series: The series.
        frame: The last frame that is seen.
        time: Its time in words, or such words that no other start of the series has them.
        spans: Frames of its run of the series whose forecasts are scored.
    """

    series: str
    frame: int
    time: str
    spans: tuple[Span, ...]

    def __str__(self) -> str:
        return f"{self.series}.{self.time}"

    def scores(self, lead: int) -> bool:
        """Whether the forecast `lead` frames ahead is scored."""
        return any(span.start <= self.frame + lead < span.stop for span in self.spans)

    def last_scored(self, horizon: int) -> int:
        """The last lead, of `horizon`, whose forecast is scored; 0 where none is."""
        return next((lead for lead in range(horizon, 0, -1) if self.scores(lead)), 0)

    def times(self, volume: xr.Dataset, horizon: int) -> list:
        """The times that forecasts are for: those of frames where there are any, and such as follow them.

        Raises:
            InputError: A series of one frame, which has no step of time.
        """
        known = list(volume.indexes["time"])
        own = known[self.frame + 1 : self.frame + 1 + horizon]
        return own + (further(known, horizon - len(own)) if len(own) < horizon else [])


def starts_of(settings: RolloutSettings, prepared: Path, volumes: dict[str, xr.Dataset]) -> dict[str, list[Start]]:
    """The starts of each series, in the order of time.

    Raises:
        InputError: A start or a period is not in a series, or nothing would come of a start.
    """
    spans = scored_spans(settings, prepared, volumes)
    found = {}
    for series, volume in volumes.items():
        times, own = volume.indexes["time"], spans[series]
        if settings.every is not None:
            chosen = {
                frame for span in own for frame in range(_first(span, settings.seen), span.stop - 1, settings.every)
            }
        elif settings.start is None:
            chosen = {len(times) - 1}
        else:
            given = settings.start if isinstance(settings.start, tuple) else (settings.start,)
            frames = {time: _frame_at(volume, series, time) for time in given}
            chosen = set(frames.values())
            if len(chosen) < len(given):
                raise InputError(
                    f"start is {list(given)}, and two of these mean one frame of series {series!r}; give one"
                )
        if not chosen:
            raise InputError(f"no frame of the scored period of series {series!r} has one before it; give more frames")
        words = {frame: in_words(times[frame]) for frame in sorted(chosen)}
        alike = Counter(words.values())
        names = {frame: word if alike[word] == 1 else f"frame-{frame}" for frame, word in words.items()}
        runs = [0, *run_starts(volume).tolist()]
        begun = {frame: max(first for first in runs if first <= frame) for frame in names}
        found[series] = [
            Start(series, frame, name, tuple(span for span in own if span.first == begun[frame]))
            for frame, name in names.items()
        ]
    refuse_idle(settings, found)
    return found


def scored_spans(settings: RolloutSettings, prepared: Path, volumes: dict[str, xr.Dataset]) -> dict[str, list[Span]]:
    """Of each series the frames whose forecasts are scored, cut where runs begin."""
    if settings.split is not None:
        found = by_series(within_runs(prepared, splits_of(prepared))[settings.split])
        for series in volumes:
            if series not in found:
                raise InputError(
                    f"no frame of series {series!r} is in the {settings.split} split, which is of {', '.join(found)}; "
                    "choose among those, or give first and last instead"
                )
        return found
    found = {}
    for series, volume in volumes.items():
        times = volume.indexes["time"]
        start, stop = frames_between(times, settings.first, settings.last)
        if start == stop:
            raise InputError(
                f"no frame of series {series!r} lies in {told(settings.first, settings.last)}; it runs {extent(times)}"
            )
        found[series] = Span(series, start, stop).within(run_starts(volume).tolist())
    return found


def refuse_idle(settings: RolloutSettings, starts: dict[str, list[Start]]) -> None:
    """Refuses a start that nothing would come of."""
    for start in (start for own in starts.values() for start in own):
        if not settings.kept and not start.last_scored(settings.horizon):
            raise InputError(
                f"keep is false, and none of the {settings.horizon} forecasts from {start.time} of series "
                f"{start.series!r} is for a frame that is scored; set keep to true, or choose an earlier start"
            )


def _first(span: Span, seen: int) -> int:
    """The first start of a period: the frame before it, or the last of those `seen` in it; never before its run."""
    return max(span.start + seen - 1, span.first)


def _frame_at(volume: xr.Dataset, series: str, time: Time) -> int:
    times = volume.indexes["time"]
    first, stop = frames_between(times, time, time)
    if first == stop:
        raise InputError(f"start is {time}, and series {series!r} has no frame then; it runs {extent(times)}")
    return stop - 1
