"""How a run went: progress and memory through time, kept as columns of numbers that only grow."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

RECENT = 30.0
"""Seconds that the rate of a moment is a mean of, as on the terminal."""


class Marks:
    """What a stage told of its progress.

    Attributes:
        at: When, seconds since 1970, not decreasing.
        done: Steps.
        frames, size: Frames that were worked on, and their bytes.
        first: The number of the mark with which the counting of these steps began: a stage that counts something else
            from then on begins anew.
    """

    def __init__(self):
        self.at, self.done = array("d"), array("q")
        self.frames, self.size, self.first = array("q"), array("q"), array("q")
        self._total: int | None = None

    def __len__(self) -> int:
        return len(self.at)

    def take(self, at: float, line: Mapping[str, Any]) -> None:
        done, frames, size = line["done"], line.get("frames", 0), line.get("size", 0)
        counted = bool(self.at) and self._total == line["total"] and done >= self.done[-1]
        self.first.append(self.first[-1] if counted else len(self.at))
        if self.at:  # a line that tells no frames does not take back those told before
            frames, size = max(frames, self.frames[-1]), max(size, self.size[-1])
        for column, value in ((self.at, at), (self.done, done), (self.frames, frames), (self.size, size)):
            column.append(value)
        self._total = line["total"]

    def until(self, time: float) -> int:
        """How many marks there are up to then."""
        return bisect_right(self.at, time)

    def left(self, time: float, total: int) -> float | None:
        """Seconds that the rest of `total` steps will take from then on, if it goes on as for the later half of those
        made so far; `None` where nothing is known."""
        last = self.until(time) - 1
        if last < 0:
            return None
        first = self.first[last]
        middle = (self.done[first] + self.done[last]) // 2
        since = bisect_right(self.done, middle, first, last + 1) - 1
        made, spent = self.done[last] - self.done[since], self.at[last] - self.at[since]
        if total <= self.done[last]:
            return 0.0
        if made <= 0 or spent <= 0:
            return None
        return max(0.0, (total - self.done[last]) * spent / made - (time - self.at[last]))

    def rate(self, time: float) -> tuple[float, float, float] | None:
        """Steps, frames and bytes a second, of the last `RECENT` seconds; `None` where nothing is known."""
        stop = self.until(time)
        start = max(bisect_right(self.at, time - RECENT, 0, stop) - 1, self.first[stop - 1] if stop else 0)
        if stop - start < 2 or self.at[stop - 1] <= self.at[start]:
            return None
        spent = max(time, self.at[stop - 1]) - self.at[start]
        return tuple((column[stop - 1] - column[start]) / spent for column in (self.done, self.frames, self.size))

    def rates(self, start: float, stop: float, bins: int) -> tuple[np.ndarray, np.ndarray, str]:
        """Through time, from `start` to `stop`.

        Returns:
            The ends of spans of time, (bin + 1,), the mean rate within each, (bin,), both float64; and what it is of:
            `frames` where they are told, else `steps`.
        """
        count = self.until(stop)
        times = np.linspace(start, stop, bins + 1)
        if count < 2:
            return times, np.zeros(bins), "steps"
        at = np.frombuffer(self.at, np.float64, count)
        frames = np.frombuffer(self.frames, np.int64, count)
        if frames[-1] > 0:
            made, what = frames, "frames"
        else:
            steps = np.maximum(np.diff(np.frombuffer(self.done, np.int64, count), prepend=self.done[0]), 0)
            made, what = np.cumsum(steps), "steps"
        whole = np.interp(times, at, made.astype(np.float64))
        return times, np.diff(whole) / np.maximum(np.diff(times), 1e-9), what


class History:
    """Progress by stage, and memory by stage and process.

    Attributes:
        marks: By stage.
        memory: By stage and process: times, and bytes at them.
    """

    def __init__(self):
        self.marks: dict[str, Marks] = {}
        self.memory: dict[str, dict[str, tuple[array, array]]] = {}

    def progress(self, at: float, line: Mapping[str, Any]) -> None:
        """Takes an event `progress`."""
        self.marks.setdefault(line["stage"], Marks()).take(at, line)

    def pulse(self, at: float, stage: str, process: str, resident: int) -> None:
        """Takes what a process took."""
        times, sizes = self.memory.setdefault(stage, {}).setdefault(process, (array("d"), array("q")))
        times.append(at)
        sizes.append(int(resident))

    def memory_of(self, stage: str, time: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The processes of a stage up to then: times and bytes, float64."""
        found = {}
        for process, (times, sizes) in self.memory.get(stage, {}).items():
            count = bisect_right(times, time)
            if count:
                found[process] = np.array(times[:count]), np.array(sizes[:count], np.float64)
        return found
