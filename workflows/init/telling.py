"""What was seen, in a few lines: for the terminal, and for the head of a recipe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from pipeline.times import in_words
from workflows.init.facts import Facts, Series

MOST = 6
"""Series or runs that are told one by one."""

DAY = 86400.0


def told(facts: Facts) -> list[str]:
    """Files and format, frames and times, grid, values, and what is missing."""
    return [*files(facts), *when(facts), where(facts), values(facts)]


def files(facts: Facts) -> list[str]:
    """Which files, of what format, and which channels become of them."""
    lines = []
    for series in facts.series[:MOST]:
        names = [Path(source).name or source for source in series.sources]
        shown = ", ".join(names[:MOST]) + (f", ... ({len(names)} files)" if len(names) > MOST else "")
        lines.append(f"{shown}: {facts.format}" + (f", series {series.name}" if series.name else ""))
    if len(facts.series) > MOST:
        lines.append(f"... {len(facts.series)} series")
    unit = f" ({facts.units})" if facts.units else ""
    lines.append(f"{plural(len(facts.channels), 'channel')}: {some(facts.channels)}{unit}")
    if facts.others:
        lines.append(f"not taken: the variables {some(facts.others)} (--variable)")
    return lines


def when(facts: Facts) -> list[str]:
    """How many frames, from when to when, how far apart, in how many runs."""
    lines = []
    for series in facts.series[:MOST]:
        name = f"{series.name}: " if series.name else ""
        lines.append(f"{name}{plural(series.frames, 'frame')}{span(facts, series)}")
        if len(series.runs) > 1:
            same = len(set(series.runs)) == 1
            each = f"{series.runs[0]} frames each" if same else f"{min(series.runs)} to {max(series.runs)} frames"
            lines.append(f"{len(series.runs)} runs, {each}; nothing is carried from one to the next")
    return lines


def span(facts: Facts, series: Series) -> str:
    """From when to when, and how far apart, with a comma before it; empty where nothing is known of it."""
    if facts.clock == "numbers" or series.frames < 2:
        return "" if facts.clock != "numbers" else ", no times known: they are numbered from 0"
    ends = f"{in_words(series.times[0])} to {in_words(series.times[-1])}"
    if facts.clock == "dates":
        return f", {ends}, {facts.calendar} calendar, {apart(facts, series)}"
    step = median_step(facts, series)
    rate = f" ({1 / step:.4g} a second)" if step < 1 else ""
    return f", {step:.4g} s apart{rate}"


def median_step(facts: Facts, series: Series) -> float:
    """The median time from frame to frame, in seconds, or in frames where no times are known."""
    steps = steps_of(facts, series)
    return sorted(steps)[len(steps) // 2]


def steps_of(facts: Facts, series: Series) -> list[float]:
    """The times from frame to frame within runs, in seconds, or in frames where no times are known."""
    borders = set(itertools.accumulate(series.runs))
    pairs = [(a, b) for n, (a, b) in enumerate(itertools.pairwise(series.times), start=1) if n not in borders]
    if facts.clock == "dates":
        return [(b - a).total_seconds() for a, b in pairs] or [DAY]
    return [float(b) - float(a) for a, b in pairs] or [1.0]


def apart(facts: Facts, series: Series) -> str:
    """How far apart dates are, in the words that people have for it."""
    seconds = median_step(facts, series)
    for word, low, high in (
        ("a year", 350, 380),
        ("a month", 27, 32),
        ("a day", 0.999, 1.001),
        ("an hour", 0.0416, 0.0417),
    ):
        if low * DAY <= seconds <= high * DAY:
            return f"{word} apart"
    return f"{seconds / DAY:.4g} days apart" if seconds >= DAY else f"{seconds / 3600:.4g} hours apart"


def unit_of_time(facts: Facts) -> str:
    """What one step is called: a month, a frame."""
    if facts.clock != "dates":
        return "frame"
    words = apart(facts, facts.first)
    known = {"a year apart": "year", "a month apart": "month", "a day apart": "day", "an hour apart": "hour"}
    return known.get(words, "frame")


def where(facts: Facts) -> str:
    """The grid: sizes, levels, voxels, whether it closes."""
    depth, height, width = facts.grid
    size = f"{height} x {width}" if depth == 1 else f"{depth} x {height} x {width}"
    parts = [f"frames of {size} voxels ({facts.dtype}, {megabytes(facts.frame_bytes)} as float32)"]
    if facts.levels and depth > 1:
        places, unit = facts.levels
        parts.append(f"levels {places[0]:g} to {places[-1]:g}{f' {unit}' if unit else ''}")
    if facts.latitudes:
        parts.append(f"latitudes {facts.latitudes[0]:g} to {facts.latitudes[1]:g}")
        parts.append("longitudes go once around" if facts.closes else "longitudes do not close")
    if facts.voxel and any(facts.voxel[0]):
        sizes = " x ".join(f"{one:.3g}" for one in facts.voxel[0] if one)
        parts.append(f"voxels of {sizes} {facts.voxel[1]}")
    return "; ".join(parts)


def values(facts: Facts) -> str:
    """The range of the values that were looked at, and what is missing of them."""
    sample = facts.sample
    looked = "all values" if sample.whole else f"values of {sample.frames} frames were looked at"
    lost = f"{sample.missing:.1%} are missing" if sample.missing else "none is missing"
    if sample.missing and sample.moves:
        lost += ", not the same places in every frame"
    found = f"{sample.low:.4g} to {sample.high:.4g}" if math.isfinite(sample.low) else "none"
    infinite = f"; {sample.infinite} are infinite" if sample.infinite else ""
    return f"{looked}: {found}; {lost}{infinite}"


def some(names: Sequence[str]) -> str:
    """Names, the first ones of many."""
    return ", ".join(names[:MOST]) + (f", ... ({len(names)})" if len(names) > MOST else "")


def plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def megabytes(count: float) -> str:
    """Bytes in a unit that suits them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
