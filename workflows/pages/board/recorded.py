"""One execution of a run as its log tells it, at any time between its beginning and the newest line."""

from __future__ import annotations

import copy
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, BinaryIO

from workflows.journal import parsed
from workflows.pages.board.history import History
from workflows.pages.board.standing import Standing

SPACING = 1000
"""Lines between two standings that are kept, at first."""

KEPT = 64
"""Standings that are kept; where there are more, every second one is given up, and they lie twice as far apart."""


class Recorded:
    """An execution.

    Args:
        file: The log, open for reading; lines are read again from it when a time in between is asked for.

    Attributes:
        standing: After the newest line.
        history: How it went.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.standing, self.history = Standing(), History()
        self._times, self._offsets = array("d"), array("q")
        self._kept: list[tuple[int, Standing]] = [(0, Standing())]
        self._spacing = SPACING

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._times)

    @property
    def begun(self) -> float:
        return self.standing.begun

    @property
    def last(self) -> float:
        """When the newest line was written."""
        return self.standing.at

    def take(self, line: Mapping[str, Any], start: int, stop: int) -> None:
        """Takes a line, which is the bytes [start, stop) of the file."""
        self.standing.take(line)
        at = self.standing.at
        if line["event"] == "progress":
            self.history.progress(at, line)
        elif line["event"] == "pulse":
            self.history.pulse(at, line["stage"], self.standing.name_of(line), line["usage"]["resident"])
        self._times.append(at)
        self._offsets.extend((start, stop) if not self._offsets else (stop,))
        if len(self) - self._kept[-1][0] >= self._spacing:
            self._keep()

    def _keep(self) -> None:
        self._kept.append((len(self), copy.deepcopy(self.standing)))
        if len(self._kept) > KEPT:
            self._kept = self._kept[::2]
            self._spacing *= 2

    def at(self, time: float) -> Standing:
        """How it stood at a time; the newest standing itself for the newest time and later."""
        stop = bisect_right(self._times, time)
        if stop == len(self):
            return self.standing
        number = bisect_right(self._kept, stop, key=lambda kept: kept[0]) - 1
        start, kept = self._kept[number]
        standing = copy.deepcopy(kept)
        if stop > start:
            self._file.seek(self._offsets[start])
            for text in self._file.read(self._offsets[stop] - self._offsets[start]).splitlines():
                if line := known(text):
                    standing.take(line)
        return standing


def known(text: bytes) -> dict[str, Any] | None:
    """A line of the log; `None` where it is not whole, as after a kill."""
    line = parsed(text.decode(errors="replace"))
    return line if isinstance(line, dict) and {"at", "event"} <= line.keys() else None
