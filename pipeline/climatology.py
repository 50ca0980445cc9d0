"""What a calendar alone knows: the mean of the training frames of the same phase of the year."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.dataset import Truth
from pipeline.phases import Phases, named
from pipeline.splits import Span, by_series
from pipeline.times import are_dates

Expected = Callable[[int], Float[np.ndarray, "channel depth height width"]]
"""What is expected of a frame, by its number."""

BLOCK = 16
"""Frames read at a time."""

YEARS = 2
"""In how many years a month must have training frames for their mean to say something about other years."""


def climatology(prepared: Path, splits: Mapping[str, list[Span]]) -> dict[str, Expected]:
    """Of each validation and test series what is expected of a frame by the time of year; of none where there is no
    yearly cycle to be known.

    It is the climatology that was subtracted, where the data are anomalies. Else it is the mean of the training frames
    of the same calendar month, NaN in voxels without a value in it; if every series has dates, there are several such
    months, and each one that is validated or tested on has training frames in two years at least.
    """
    spans = [*splits["validation"], *splits["test"]]
    truths = {series: Truth(prepared, series) for series in by_series([*spans, *splits["train"]])}
    wanted = by_series(spans)
    if all(truth.phases is not None for truth in truths.values()):
        return {series: truths[series].expected for series in wanted}
    times = {series: truth.volume["time"].values for series, truth in truths.items()}
    if not all(are_dates(own) for own in times.values()):
        return {}
    learned = [times[span.series][span.start : span.stop] for span in splits["train"]]
    months = [month for _, month in {(date.year, named(date, "month")) for own in learned for date in own}]
    asked = {named(times[span.series][frame], "month") for span in spans for frame in span.scored}
    if len(set(months)) == 1 or any(months.count(month) < YEARS for month in asked):
        return {}
    phases = Phases.found("month", learned)
    means = monthly_means(truths, splits["train"], phases)

    def of(series: str) -> Expected:
        return lambda frame: means[phases.of(times[series][frame : frame + 1])[0]]

    return {series: of(series) for series in wanted}


def monthly_means(
    truths: Mapping[str, Truth], spans: list[Span], phases: Phases
) -> Float[np.ndarray, "phase channel depth height width"]:
    """The mean of the frames of some periods in each phase of the year, float64; NaN in voxels without any value."""
    totals = counts = None
    for span in spans:
        truth = truths[span.series]
        numbers = phases.of(truth.volume["time"].values[span.start : span.stop])
        for first in range(span.start, span.stop, BLOCK):
            frames = truth.frames(first, min(first + BLOCK, span.stop))
            for phase, frame in zip(numbers[first - span.start :], frames, strict=False):
                if totals is None:
                    totals, counts = (np.zeros((len(phases.names), *frame.shape)) for _ in range(2))
                valued = ~np.isnan(frame)
                totals[phase] += np.where(valued, frame, 0.0)
                counts[phase] += valued
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
