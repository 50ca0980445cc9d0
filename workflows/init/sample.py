"""A bounded look at the numbers of an archive: a few runs of frames, spread over all of it."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import dask.array
import numpy as np
import xarray as xr
import xxhash

from pipeline.times import are_dates
from pipeline.volume import DATA

WHOLE_BYTES = 64e6
"""An archive with fewer bytes of float32 is looked at whole."""
READ_BYTES = 256e6
"""About what is read of a larger one."""
PLACES, TOGETHER = 8, 4
"""How many runs of frames are looked at then, and how many frames each has at most."""
SECONDS = 10.0
"""After which no further run is begun."""
SMALLEST = 16
"""Voxels along an axis of frames, of which fewer are not looked at."""
YEARS = 3
"""So many are needed for means of months that say something."""

FIRST = 0.6
"""The share of a recording that is learned from whatever is chosen: of the rest only ranges and gaps are looked at."""


@dataclass(frozen=True)
class Sample:
    """What was seen of the numbers of one series. Mean squares are of the frames that will be learned from, over
    voxels, in the data's units squared; NaN where there were too few frames.

    Attributes:
        frames: How many frames were looked at.
        whole: Whether that is all of it; else places of each frame are left out as well, where frames are large.
        missing: The share of values that are NaN.
        moves: Whether other voxels are missing in one frame than in another.
        infinite: Values that are infinite.
        low, high: The smallest and the largest value.
        deviations: Of each channel the standard deviation of all its values.
        spread: The mean square about each voxel's own mean over time.
        step: The mean square of what a voxel changes by from one frame to the next.
        still: The share of voxels that never change.
        seasonal: The share of `spread` that the means of the calendar months explain; NaN where it was not looked at
            whole, has no dates, or less than three years are learned from.
        step_of_anomalies: `step` of departures from the means of the months over their mean square; NaN as `seasonal`.
        alike: Of each frame the first frame with the same bits; empty where it was not looked at whole.
    """

    frames: int
    whole: bool
    missing: float = 0.0
    moves: bool = False
    infinite: int = 0
    low: float = math.nan
    high: float = math.nan
    deviations: tuple[float, ...] = ()
    spread: float = math.nan
    step: float = math.nan
    still: float = 0.0
    seasonal: float = math.nan
    step_of_anomalies: float = math.nan
    alike: tuple[int, ...] = ()

    @property
    def restless(self) -> float:
        """The error of the frame before as a forecast over that of the mean over time; NaN where it is not known."""
        return self.step / self.spread if self.spread > 0 else math.nan

    @property
    def memory(self) -> float:
        """Frames after which a departure from the mean has faded to 1/e, as the steps and the spread have it: of an
        autoregressive process of order one, step = 2 (1 - r) spread; 0 where it is not known or less than a frame."""
        kept = 1 - self.restless / 2
        return -1 / math.log(kept) if math.exp(-1) < kept < 1 else 0.0


def learned_from(runs: Sequence[int]) -> int:
    """How many first frames are learned from, whatever splits are chosen.

    Args:
        runs: Frames of each recording without interruption.
    """
    return max(1, int(FIRST * runs[0])) if len(runs) < 3 else sum(runs[: len(runs) // 3])


def sampled(volume: xr.Dataset, runs: Sequence[int], *, near: bool = False) -> Sample:
    """A look at a volume (time, channel, depth, height, width), lazy: some hundred megabytes are read at most, and
    what was read is held as 64 MB of float32 at most, beside the block that is being read.

    Args:
        volume: The volume.
        runs: Frames of each recording without interruption.
        near: Whether only beginnings of runs are looked at: of a compressed file all before a frame is read with it.
    """
    data = volume[DATA].data
    frames = data.shape[0]
    whole = 4.0 * math.prod(data.shape) <= WHOLE_BYTES and not near
    spans = [(0, frames)] if whole else _beginnings(runs) if near else _places(frames)
    box = () if whole else _box(data)
    parts, numbers, begun = [], [], time.monotonic()
    for start, stop in spans:
        if parts and time.monotonic() - begun > SECONDS:
            break
        parts.append(np.array(data[(slice(start, stop), slice(None), *box)]))
        numbers += range(start, stop)
    looked = np.concatenate(parts)
    learned = np.array(numbers) < learned_from(runs)
    borders = set(itertools.accumulate(runs))
    follows = np.array([a + 1 == b and b not in borders for a, b in itertools.pairwise(numbers)], bool)
    months = _months(volume, learned) if whole else None
    return measured(looked, learned, follows, months, whole=whole)


def measured(
    looked: np.ndarray, learned: np.ndarray, follows: np.ndarray, months: np.ndarray | None, *, whole: bool
) -> Sample:
    """What frames (time, channel, depth, height, width) show.

    Args:
        looked: The frames.
        learned: (time) whether each will be learned from.
        follows: (time - 1) whether each but the first comes right after the one before it.
        months: The calendar month of each frame that is learned from, where the means of months are to be looked at.
        whole: Whether these are all frames.
    """
    empty, infinite = np.isnan(looked), int(np.isinf(looked).sum())
    known = np.isfinite(looked)
    mine = looked[learned].astype(np.float32)
    mine[~known[learned]] = np.nan
    pairs = np.flatnonzero(follows & learned[1:] & learned[:-1])
    channels = np.moveaxis(looked.astype(np.float32), 1, 0).reshape(looked.shape[1], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN, as they should be
        spread = _mean_square(mine - np.nanmean(mine, axis=0)) if len(mine) > 1 else math.nan
        ordered = np.cumsum(learned) - 1  # the place of a frame among those that are learned from
        step = _mean_square(mine[ordered[pairs + 1]] - mine[ordered[pairs]]) if len(pairs) else math.nan
        still = float(np.mean(np.nanmax(mine, axis=0) == np.nanmin(mine, axis=0))) if len(mine) > 1 else 0.0
        deviations = tuple(float(np.nanstd(own[np.isfinite(own)], dtype=np.float64)) for own in channels)
        seasonal, restless = _seasons(mine, months, spread) if months is not None else (math.nan, math.nan)
    return Sample(
        frames=len(looked),
        whole=whole,
        missing=float(empty.mean()),
        moves=bool((empty != empty[:1]).any()),
        infinite=infinite,
        low=float(looked[known].min()) if known.any() else math.nan,
        high=float(looked[known].max()) if known.any() else math.nan,
        deviations=deviations,
        spread=spread,
        step=step,
        still=still,
        seasonal=seasonal,
        step_of_anomalies=restless,
        alike=_alike(looked) if whole else (),
    )


def _places(frames: int) -> list[tuple[int, int]]:
    """Runs of frames [start, stop), evenly spread over all, the first and the last among them."""
    together = min(TOGETHER, frames)
    starts = np.unique(np.linspace(0, frames - together, PLACES).astype(int))
    return [(int(start), int(start) + together) for start in starts]


def _beginnings(runs: Sequence[int]) -> list[tuple[int, int]]:
    """The first frames [start, stop) of runs, evenly spread over all of them; more of a single one."""
    starts = [0, *itertools.accumulate(runs)][:-1]
    chosen = np.unique(np.linspace(0, len(runs) - 1, min(PLACES, len(runs))).astype(int))
    each = PLACES * TOGETHER // len(chosen)
    return [(starts[run], starts[run] + min(each, runs[run])) for run in chosen]


def _box(data: dask.array.Array) -> tuple[slice, ...]:
    """The middle part (depth, height, width) of frames that keeps what is read, and what is held, within the limits."""
    parts = [slice(0, size) for size in data.shape[2:]]

    def touched(part: slice, blocks: Sequence[int]) -> int:
        ends = itertools.pairwise(itertools.accumulate(blocks, initial=0))
        return sum(stop - start for start, stop in ends if start < part.stop and stop > part.start)

    def too_much() -> bool:
        read = math.prod(map(touched, parts, data.chunks[2:])) * data.chunks[0][0] * data.dtype.itemsize
        held = math.prod(part.stop - part.start for part in parts) * TOGETHER * 4
        return PLACES * data.shape[1] * read > READ_BYTES or PLACES * data.shape[1] * held > WHOLE_BYTES

    while too_much():
        longest = max(range(3), key=lambda axis: parts[axis].stop - parts[axis].start)
        first, last = parts[longest].start, parts[longest].stop
        if last - first < SMALLEST:
            break
        quarter = (last - first) // 4
        parts[longest] = _within_a_block(first + quarter, last - quarter, data.chunks[2 + longest])
    return tuple(parts)


def _within_a_block(first: int, last: int, blocks: Sequence[int]) -> slice:
    """A part of an axis, moved so that it lies within the block that its middle is in, where it fits into that."""
    ends = list(itertools.accumulate(blocks, initial=0))
    number = max(n for n, start in enumerate(ends[:-1]) if start <= (first + last) // 2)
    low, high = ends[number], ends[number + 1]
    if last - first > high - low:
        return slice(first, last)
    moved = min(max(first, low), high - (last - first))
    return slice(moved, moved + last - first)


def _months(volume: xr.Dataset, learned: np.ndarray) -> np.ndarray | None:
    """The calendar month of each frame that is learned from; `None` where there are no dates, or of less than three
    years."""
    times = volume.indexes.get("time")
    if times is None or not are_dates(times):
        return None
    mine = times[learned]
    return None if (mine[-1] - mine[0]).days < YEARS * 360 - 31 else np.array([date.month for date in mine])


def _seasons(mine: np.ndarray, months: np.ndarray, spread: float) -> tuple[float, float]:
    """The share of the spread that means of months explain, and what is left as `Sample.step_of_anomalies` has it."""
    departures = mine.copy()
    for month in np.unique(months):
        departures[months == month] -= np.nanmean(mine[months == month], axis=0)
    left = _mean_square(departures)
    return 1 - left / spread, _mean_square(np.diff(departures, axis=0)) / left


def _mean_square(values: np.ndarray) -> float:
    return float(np.nanmean(np.square(values), dtype=np.float64))


def _alike(looked: np.ndarray) -> tuple[int, ...]:
    """Of each frame the first one with the same bits."""
    first: dict[bytes, int] = {}
    digests = (xxhash.xxh3_128_digest(np.ascontiguousarray(frame)) for frame in looked)
    return tuple(first.setdefault(digest, number) for number, digest in enumerate(digests))
