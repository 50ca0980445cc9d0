"""The frames of the steps that come, read by a thread while a step computes.

Which they are depends on the seed, the step and how often training went back alone, so it is known what comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.dataset import Sample, Windows
from pipeline.stream import Clock, Reader, patiently

AHEAD = 2
"""Windows that are read beyond the one in use, and held. Where a read took half the time of its step on average, as
irregularly as an exponential draw, 300 steps waited 39 % of their time with none, 10, 2.6, 1.2 and 0.2 % with 1 to 4;
at eight tenths 50 %, and 24, 14, 10 and 7 %. Where `recompute` makes steps small, more would be most of the memory."""

WAITING = "waiting for reads"
"""What the clock of a `Reader` calls it."""

Part = tuple[tuple[str, int], int, int]
"""The frames [start, stop) of a window, which is given by its series and first frame."""


class Loader:
    """Reads ahead, at most `AHEAD` windows.

    Args:
        windows: Where they are cut.
        parts: What a step reads, given the steps before it; what it returns may change when training goes back.
        steps: How many there are.
    """

    def __init__(self, windows: Windows, parts: Callable[[int], list[Part]], steps: int):
        self._windows, self._parts, self._steps = windows, parts, steps
        self._clock = Clock()
        self._reader = Reader(self._read, self._clock, ahead=AHEAD)

    def frames(self, step: int) -> Iterator[Sample]:
        """What the step after so many reads, one part after another. What was read ahead and is not asked for any more
        is forgotten.

        Raises:
            StoreError: The store failed again and again; whatever else the thread came to is raised here too.
        """
        own = self._parts(step)
        expected, later = list(own), step + 1
        while later < self._steps and len(expected) < len(own) + AHEAD:
            expected += self._parts(later)
            later += 1
        self._reader.expect(expected)
        return map(self._reader.take, own)

    @property
    def waited(self) -> float:
        """Seconds that were waited for `frames`, in all."""
        return self._clock.seconds().get(WAITING, 0.0)

    @property
    def seconds(self) -> dict[str, float]:
        """By activity: `reading`, beside the steps, and `waiting for reads`."""
        return self._clock.seconds()

    def close(self) -> None:
        """Ends the thread, after the read that it is at."""
        self._reader.close()

    def _read(self, part: Part) -> Sample:
        window, start, stop = part
        series, first = window
        what = f"reading frames {first + start} to {first + stop - 1} of series {series}"
        return patiently(lambda: self._windows.read(window, start, stop), what, self._clock)
