"""The event log of a run: `events.jsonl`, one event a line; whoever watches a run reads it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

from pipeline.progress import Progress
from workflows.events import Began, Event, Pulse, Shard, as_line

NAME = "events.jsonl"

PAUSE = 0.25
"""Seconds in which of the news of one kind about one thing only the last is kept."""

PULSES, RAREST = 0.01, 60.0
"""Of how a process is only the last is kept, of this share of the time since the log was opened, or of so many seconds:
a log of a day is not mostly pulses."""

KEEP = 20e6
"""Bytes from which on a log is put aside when a run begins, as `events-1.jsonl`; the one before that is given up."""


class Journal:
    """Writes events as lines.

    Args:
        file: Where to.
    """

    def __init__(self, file: TextIO):
        self._file, self._held, self._written = file, {}, 0.0
        self._opened = self._pulsed = time.time()

    @classmethod
    def of_run(cls, folder: Path) -> Journal:
        """Goes on with the log of a run."""
        path = folder / NAME
        if path.exists() and path.stat().st_size > KEEP:
            path.replace(path.with_stem(path.stem + "-1"))
        file = path.open("a")
        file.write("" if _is_whole(path) else "\n")  # who wrote it was killed within a line
        return cls(file)

    def tell(self, stage: str | None, event: Event) -> None:
        """Takes an event; frequent ones are written a moment later, and only the last of those about one thing."""
        now = time.time()
        if key := _passing(event):
            self._held.pop((stage, *key), None)
            self._held[stage, *key] = (now, stage, event)
            if now >= self._written + PAUSE:
                self._write_passing(now)
            return
        self.flush()
        self._write([(now, stage, event)])

    def close(self) -> None:
        self.flush()
        self._file.close()

    def flush(self) -> None:
        """Writes what is held."""
        self._write(list(self._held.values()))
        self._held.clear()
        self._written = self._pulsed = time.time()

    def _write_passing(self, now: float) -> None:
        """Writes what is held, pulses where it is time for them."""
        if now >= self._pulsed + min(PULSES * (now - self._opened), RAREST):
            self.flush()
            return
        kept = {key: line for key, line in self._held.items() if isinstance(line[2], Pulse)}
        self._write([line for key, line in self._held.items() if key not in kept])
        self._held, self._written = kept, now

    def _write(self, lines: list[tuple[float, str | None, Event]]) -> None:
        self._file.write("".join(json.dumps(as_line(*line)) + "\n" for line in lines))
        self._file.flush()


def _is_whole(path: Path) -> bool:
    """Whether a file ends with a line's end, or is empty."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


def _passing(event: Event) -> tuple | None:
    """What an event is about, if a later one about the same takes its place."""
    if isinstance(event, Shard):
        return "shard", event.strand, event.index
    if isinstance(event, Pulse):
        return "pulse", event.worker, event.usage.pid
    if isinstance(event, Progress) and not event.line:
        return ("progress",)
    return None


def last_run(path: Path) -> list[dict[str, Any]]:
    """The events of a log, from the last beginning of a run on. A line that is not whole is left out."""
    found: list[dict[str, Any]] = []
    with path.open() as file:
        for line in filter(None, map(parsed, file)):
            if line["event"] == Began.__name__.lower():
                found.clear()
            found.append(line)
    return found


def parsed(text: str) -> dict[str, Any] | None:
    """A line of a log; `None` where it is not whole, as after a kill."""
    try:
        return json.loads(text)
    except ValueError:
        return None
