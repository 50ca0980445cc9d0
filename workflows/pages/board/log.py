"""The event log of a run, read on as it grows."""

from __future__ import annotations

import os
from pathlib import Path

from workflows.pages.board.recorded import Recorded, known

PIECE = 1 << 22
"""Bytes that are read at a time."""


class Log:
    """Follows a log. A line counts when its end is written; a log that was put aside, made anew or cut is begun anew.

    Args:
        path: The file; it need not exist yet.

    Attributes:
        executions: What the log tells, one for each time that the run was begun or gone on with; the newest last.
    """

    def __init__(self, path: Path):
        self._path, self._file, self._offset = path, None, 0
        self.executions: list[Recorded] = []

    def read(self) -> bool:
        """Reads what was added; whether there was something."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file is None or not self._continues(found):
            self._begin()
        return self._read_on()

    def _continues(self, found: os.stat_result) -> bool:
        held = os.fstat(self._file.fileno())
        return (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino) and found.st_size >= self._offset

    def _begin(self) -> None:
        self._file, self._offset = self._path.open("rb"), 0  # who still shows the one before reads on from that
        self.executions = []

    def _read_on(self) -> bool:
        before, rest = self._offset, b""
        self._file.seek(before)
        while piece := self._file.read(PIECE):
            whole, end, rest = (rest + piece).rpartition(b"\n")
            for text in (whole + end).splitlines(keepends=True):
                self._take(text)
        return self._offset > before

    def _take(self, text: bytes) -> None:
        start = self._offset
        self._offset += len(text)
        line = known(text)
        if line is None:
            return
        if line["event"] == "began":
            self.executions.append(Recorded(self._file))
        if self.executions:
            self.executions[-1].take(line, start, self._offset)
