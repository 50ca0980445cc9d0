"""What a run shows: bars with an ETA and what goes on beneath them on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Collection
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from pipeline.progress import Progress
from pipeline.stream import RETRIES
from workflows.events import Began, Ended, Event, Finished, Lost, Planned, Pulse, Skipped, Spread, Started
from workflows.journal import Journal

EVERY_SECONDS = 60.0
"""Between the plain lines of one stage."""

RATE_SECONDS = 30.0
"""Rates are those of so many seconds."""

ACTIVITIES = {
    "reading": "reading",
    "encoding": "encoding",
    "computing": "computing",
    "writing": "writing",
    "waiting for reads": "waiting for reads",
    "waiting for carries": "exchanging",
    "waiting for writes": "waiting for writes",
}
"""What processes do, and how it is called on a screen."""


class Pace:
    """How fast a stage goes, and what its workers do: gathered from what it says."""

    def __init__(self):
        self._marks: deque[tuple[float, int, int]] = deque()
        self._seconds: dict[int | None, dict[str, float]] = {}
        self._workers = self._lost = 0

    def hear(self, event: Event) -> None:
        """Takes what a stage said."""
        if isinstance(event, Progress):
            if event.frames:
                self._mark(event)
            if event.shares:
                self._seconds[None] = dict(event.shares)
        elif isinstance(event, Pulse) and event.seconds:
            self._seconds[event.worker] = dict(event.seconds)
        elif isinstance(event, Spread):
            self._workers, self._seconds = event.workers, {}
        elif isinstance(event, Lost):
            self._lost += 1

    def _mark(self, progress: Progress) -> None:
        now = time.monotonic()
        self._marks.append((now, progress.frames, progress.size))
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_SECONDS:
            self._marks.popleft()

    def told(self) -> str:
        """In words; empty where nothing is known yet."""
        return " · ".join(filter(None, (self.rates(), self.shares(), self.workers(), self.retries())))

    def rates(self) -> str:
        """Frames and bytes a second, of the last seconds."""
        if len(self._marks) < 2:
            return ""
        (since, frames, size), (now, all_frames, whole) = self._marks[0], self._marks[-1]
        if now <= since:
            return ""
        return f"{(all_frames - frames) / (now - since):.3g} frames/s, {(whole - size) / (now - since) / 1e6:.3g} MB/s"

    def shares(self) -> str:
        """What the workers did, of their time. Some go on side by side, so it may be over 100 %."""
        whole = sum(one.get("all", 0.0) for one in self._seconds.values())
        if not whole:
            return ""
        spent = {name: sum(one.get(name, 0.0) for one in self._seconds.values()) for name in ACTIVITIES}
        return ", ".join(f"{ACTIVITIES[name]} {one / whole:.0%}" for name, one in spent.items() if one / whole >= 0.005)

    def workers(self) -> str:
        if not self._workers:
            return ""
        alive = f"{self._workers} worker{'s' if self._workers > 1 else ''}"
        return f"{alive}, {self._lost} lost on the way" if self._lost else alive

    def retries(self) -> str:
        """How often stores were tried again."""
        count = round(sum(one.get(RETRIES, 0.0) for one in self._seconds.values()))
        return f"stores tried again {count} time{'s' if count > 1 else ''}" if count else ""


class TerminalDisplay:
    """One bar a stage, which stays on the screen when the stage is done; beneath the last one how fast it goes."""

    def __init__(self, console: Console):
        self._console = console
        self._live: Live | None = None

    def tell(self, stage: str | None, event: Event) -> None:
        match event:
            case Skipped():
                self._console.print(f"[dim]{stage:24s} finished before, skipped")
            case Started():
                self._start(stage)
            case Finished():
                self.close()
            case Ended():
                self.close()
        if self._live is None:
            return
        self._pace.hear(event)
        if isinstance(event, Progress):
            if event.line:
                self._console.print(f"  {event.line}", style="dim", markup=False, highlight=False, soft_wrap=True)
            self._bar.update(self._task, completed=event.done, total=event.total, note=event.note)
        self._beneath.plain = f"{'':24s} {self._pace.told()}"

    def _start(self, stage: str) -> None:
        self.close()
        self._pace, self._beneath = Pace(), Text("", style="dim")
        self._bar = Bar(
            TextColumn("{task.description:24s}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
        )
        self._task = self._bar.add_task(stage, total=None, note="")
        self._live = Live(Group(self._bar, self._beneath), console=self._console, refresh_per_second=8)
        self._live.start()

    def close(self) -> None:
        """Gives the terminal back, whatever happened."""
        if self._live is not None:
            self._live.update(self._bar)
            self._live.stop()
            self._live = None


class PlainDisplay:
    """Lines for a log: when a stage starts, every minute while it runs, and when it ends."""

    def __init__(self, console: Console):
        self._console = console

    def tell(self, stage: str | None, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Skipped():
                self._say(f"{stage}: finished before, skipped")
            case Started():
                self._begun = self._last = now
                self._first, self._note, self._pace = None, "", Pace()
                self._say(f"{stage}: started")
            case Progress():
                self._pace.hear(event)
                self._note = event.note
                if event.line:
                    self._say(f"{stage}: {event.line}")
                if self._first is None:
                    self._first = event.done
                if now - self._last >= EVERY_SECONDS:
                    self._last = now
                    self._say(f"{stage}: {self._standing(event, now)}")
            case Finished():
                note = f"; {self._note}" if self._note else ""
                self._say(f"{stage}: done in {event.seconds:.1f} s{note}")
            case Began() | Planned() | Ended():
                pass
            case _:
                self._pace.hear(event)

    def _standing(self, progress: Progress, now: float) -> str:
        """How far a stage is."""
        made = progress.done - self._first
        left = (progress.total - progress.done) * (now - self._begun) / made if made > 0 else None
        until = "" if left is None else f", {left:.0f} s left"
        told = "; ".join(filter(None, (progress.note, self._pace.told())))
        return f"{progress.done} of {progress.total}{until}; {told}"

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class JsonDisplay:
    """The lines of the event log, for another program."""

    def __init__(self, file: TextIO | None = None):
        self._journal = Journal(file or sys.stdout)

    def tell(self, stage: str | None, event: Event) -> None:
        self._journal.tell(stage, event)

    def close(self) -> None:
        self._journal.flush()


class SkipsOnce:
    """A display that does not tell again, workflow after workflow, that some stages were finished before."""

    def __init__(self, shown: TerminalDisplay | PlainDisplay, stages: Collection[str]):
        self._shown, self._stages = shown, frozenset(stages)

    def tell(self, stage: str | None, event: Event) -> None:
        if not (isinstance(event, Skipped) and stage in self._stages):
            self._shown.tell(stage, event)

    def close(self) -> None:
        self._shown.close()


def display(*, json: bool = False) -> TerminalDisplay | PlainDisplay | JsonDisplay:
    """The display that suits where the output goes."""
    console = Console()
    if json:
        return JsonDisplay()
    return TerminalDisplay(console) if console.is_terminal else PlainDisplay(console)
