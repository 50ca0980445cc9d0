"""How long steps take, and how much of it they wait for their windows.

In a file of its own: the history of a run is the same however often it was killed, its times are not.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.training.history import History


class Timing:
    """Seconds of steps, as JSON lines `{"step": 7, "seconds": 0.21, "waited": 0.001}`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._lines = History(path)
        self._seconds, self._waited = 0.0, 0.0

    def record(self, step: int, seconds: float, waited: float) -> None:
        """Adds a step."""
        self._seconds, self._waited = self._seconds + seconds, self._waited + waited
        self._lines.record(step=step, seconds=round(seconds, 6), waited=round(waited, 6))

    def go_back(self, step: int) -> None:
        """Drops the steps after one."""
        self._lines.go_back(step)

    def share(self) -> float:
        """The part of the time of all recorded steps, also of those dropped since, that was waited."""
        return self._waited / self._seconds if self._seconds > 0 else 0.0
