"""A run that is watched: its log, and whether a process works on it."""

from __future__ import annotations

import time
from pathlib import Path

from workflows.journal import NAME
from workflows.pages.board.log import Log
from workflows.pages.board.recorded import Recorded
from workflows.stopping import is_running

ASK_SECONDS = 2.0
"""How often it is asked whether a process works on the run, where the log does not say that it ended."""


class Watched:
    """Follows a run.

    Args:
        folder: Of the run.

    Attributes:
        running: Whether a process works on it.
    """

    def __init__(self, folder: Path):
        self.folder, self.running = folder, False
        self._log, self._asked = Log(folder / NAME), 0.0

    @property
    def executions(self) -> list[Recorded]:
        """What the log tells, one for each time that the run was begun or gone on with."""
        return self._log.executions

    def look(self) -> None:
        """Reads what was added to the log, and asks whether the run is alive.

        It is asked only of a run whose log has no end, and once more after it was found dead, when the log grows: to
        ask is to try the run's lock.
        """
        first, news = not self._asked, self._log.read()
        now = time.monotonic()
        if self.executions and self.executions[-1].standing.how:
            self.running, self._asked = False, now
        elif first or (now >= self._asked + ASK_SECONDS if self.running else news):
            self.running, self._asked = is_running(self.folder), now
