"""From where to where colours go: of a few frames all along, so that it costs little and holds while playing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from workflows.pages.view.together import Item, Together

TIMES = 7
"""So many times are looked at."""
ALONG = 160
"""And so many rows and columns of each plane, about."""

OUTLIERS = 0.5
"""Per cent of the numbers that may lie beyond each end."""
NEAR = 0.15
"""Where no number lies further beyond than this part of the range, all are within it."""


def sampled(
    together: Together, items: Sequence[Item], times: Iterable[int], channel: str, voxel: Sequence[int]
) -> tuple[float, float] | None:
    """From where to where most numbers are, see `levels`."""
    found = []
    for time in times:
        for item in items:
            if together.empty(item, time, channel):
                continue
            for plane in together.planes:
                box = [slice(0, size, max(1, size // ALONG)) for size in together.sizes]
                box[plane.across] = slice(voxel[plane.across], voxel[plane.across] + 1)
                found.append(together.read(item, time, channel, tuple(box)).ravel())
    return levels(np.concatenate(found)) if found else None


def spread(together: Together, items: Sequence[Item], channel: str, count: int = TIMES) -> list[int]:
    """A few times all along at which something is to be shown of each item."""
    having = np.zeros(len(together.timeline), bool)
    for item in items:
        of = [number for number in (item.volume, item.less) if number is not None]
        if all(together.channel(number, channel) is not None for number in of):
            having |= np.logical_and.reduce([together.timeline.frames[number] >= 0 for number in of])
    times = np.flatnonzero(having)
    places = np.unique(np.linspace(0, len(times) - 1, count).round().astype(int)) if len(times) else []
    return [int(times[place]) for place in places]


def levels(values: np.ndarray) -> tuple[float, float] | None:
    """From where to where colours go for some numbers: all but half a per cent at each end, or all, where that is
    hardly more; `None` without a number that is finite."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return None
    low, high = np.percentile(known, (OUTLIERS, 100 - OUTLIERS))
    least, most = float(known.min()), float(known.max())
    if least >= low - NEAR * (high - low) and most <= high + NEAR * (high - low):
        low, high = least, most
    return _round(float(low), float(high))


def _round(low: float, high: float) -> tuple[float, float]:
    """A little further out, such that both are read easily: to about a hundredth of the range."""
    if not low < high:
        return low, high
    digits = 2 - int(np.floor(np.log10(high - low)))
    unit = 10.0**-digits
    return round(float(np.floor(low / unit)) * unit, digits), round(float(np.ceil(high / unit)) * unit, digits)


def drawn(low: float, high: float, *, centred: bool) -> tuple[float, float]:
    """The ends of the colours: not one and the same; as far on either side of zero where they are `centred`."""
    if centred:
        far = max(abs(low), abs(high)) or 1.0
        return -far, far
    return (low, high) if low < high else (low - 0.5, low + 0.5)
