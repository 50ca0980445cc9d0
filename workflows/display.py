"""What a run shows: a bar with an ETA for each stage on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline.progress import Progress

EVERY_SECONDS = 10.0
"""Between the plain lines of one stage."""


class TerminalDisplay:
    """One bar a stage, which stays on the screen when the stage is done."""

    def __init__(self, console: Console):
        self._console = console
        self._bar: Bar | None = None

    def skip(self, stage: str) -> None:
        self._console.print(f"[dim]{stage:24s} finished before, skipped")

    def start(self, stage: str) -> None:
        self._bar = Bar(
            TextColumn("{task.description:24s}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self._console,
        )
        self._task = self._bar.add_task(stage, total=None, note="")
        self._bar.start()

    def progress(self, progress: Progress) -> None:
        if progress.line:
            self._console.print(f"  {progress.line}", style="dim", markup=False, highlight=False, soft_wrap=True)
        self._bar.update(self._task, completed=progress.done, total=progress.total, note=progress.note)

    def finish(self, stage: str, seconds: float) -> None:
        del stage, seconds
        self.close()

    def close(self) -> None:
        """Gives the terminal back, whatever happened."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class PlainDisplay:
    """Lines for a log: when a stage starts, every few seconds while it runs, and when it ends."""

    def __init__(self, console: Console):
        self._console = console
        self._stage, self._last = "", 0.0

    def skip(self, stage: str) -> None:
        self._say(f"{stage}: finished before, skipped")

    def start(self, stage: str) -> None:
        self._stage, self._begun, self._first = stage, time.monotonic(), None
        self._last = self._begun
        self._say(f"{stage}: started")

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.line:
            self._say(f"{self._stage}: {progress.line}")
        if self._first is None:
            self._first = progress.done
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        made = progress.done - self._first
        left = f", {(progress.total - progress.done) * (now - self._begun) / made:.0f} s left" if made > 0 else ""
        self._say(f"{self._stage}: {progress.done} of {progress.total}{left}; {progress.note}")

    def finish(self, stage: str, seconds: float) -> None:
        self._say(f"{stage}: done in {seconds:.1f} s")

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def display() -> TerminalDisplay | PlainDisplay:
    """The display that suits where the output goes."""
    console = Console()
    return TerminalDisplay(console) if console.is_terminal else PlainDisplay(console)
