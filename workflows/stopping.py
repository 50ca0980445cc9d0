"""How a run is asked to end, by whoever sees its folder: a request is left there, which the run looks for."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".cancel"
LOCK = ".lock"

LOOK_SECONDS = 0.5
"""How often a run looks for a request."""


class Cancelled(KeyboardInterrupt):
    """A request ended the run."""


def request_stop(folder: Path, now: bool) -> None:
    """Asks the run in a folder to end: at its next safe point, which is when something was committed, or `now`."""
    from pipeline.storage.atomic import write_text  # brings numpy, which help does without

    write_text(folder / NAME, json.dumps({"now": now}) + "\n")


def is_running(folder: Path) -> bool:
    """Whether a process works on the run."""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def await_end(folder: Path, seconds: float) -> bool:
    """Waits until no process works on the run, at most so long; whether that is so."""
    deadline = time.monotonic() + seconds
    while is_running(folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS / 2)
    return True


@dataclass
class Stop:
    """Whether the run was asked to end."""

    wanted: bool = False

    def obey(self) -> None:
        """At a safe point.

        Raises:
            Cancelled: It was.
        """
        if self.wanted:
            raise Cancelled


@contextmanager
def stoppable(folder: Path) -> Iterator[Stop]:
    """Within, requests are looked for; one that was left before counts for nothing. One to end now interrupts the main
    thread, as Ctrl-C and SIGTERM do."""
    stop, ended = Stop(), threading.Event()
    (folder / NAME).unlink(missing_ok=True)

    def look() -> None:
        interrupted = False
        while not ended.wait(LOOK_SECONDS):
            now = asked(folder)
            stop.wanted = stop.wanted or now is not None
            if now and not interrupted:
                interrupted = True
                os.kill(os.getpid(), signal.SIGTERM if callable(signal.getsignal(signal.SIGTERM)) else signal.SIGINT)

    thread = threading.Thread(target=look, name="looks for a request to end", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        ended.set()
        thread.join()
        (folder / NAME).unlink(missing_ok=True)


def asked(folder: Path) -> bool | None:
    """Whether the request says now; `None` without one."""
    try:
        return bool(json.loads((folder / NAME).read_text())["now"])
    except (OSError, ValueError, KeyError):
        return None
