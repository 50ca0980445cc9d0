"""What a command shows while it works, and how it ends when it is interrupted."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

from pipeline.progress import Steps
from workflows.stopping import Cancelled


class Closing(Protocol):
    def close(self) -> None: ...


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception that ends what was started."""


GRACE = 8.0
"""Seconds that a run may take to end after SIGTERM; then its process ends at once, as a kill would end it, and Ray
gives up what it held."""


@contextmanager
def closing_on_signals(*closed: Closing) -> Iterator[None]:
    """Closes all at the end, in order; Ctrl-C, SIGTERM and a request to end become a message and exit codes: 130, 143
    and 130."""

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with _ended_at_last():
            try:
                yield
            except KeyboardInterrupt as interrupt:
                for one in closed:
                    one.close()
                ended = isinstance(interrupt, Terminated)
                what = "terminated" if ended else "cancelled" if isinstance(interrupt, Cancelled) else "interrupted"
                typer.echo(f"{what}; run the same command again to continue", err=True)
                raise typer.Exit(143 if ended else 130) from None
            finally:
                for one in closed:
                    one.close()
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _ended_at_last() -> Iterator[None]:
    """Within, SIGTERM ends this process after `GRACE` seconds if nothing else did: the main thread, which handles
    signals, may be inside a long call of a library. What is on disk is what was committed, as after any kill."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    known = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    ended = threading.Event()

    def watch() -> None:
        while number := theirs.recv(1):
            if number[0] == signal.SIGTERM and not ended.wait(GRACE):
                os.write(2, b"terminated; run the same command again to continue\n")
                os._exit(143)

    thread = threading.Thread(target=watch, name="ends at last", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(known)
        ours.close()
        thread.join()
        theirs.close()


def show(name: str, steps: Steps) -> None:
    """Does the steps of a command in this process, with a bar on a terminal and lines elsewhere."""
    from workflows.display import display
    from workflows.events import Finished, Started

    screen, begun = display(), time.monotonic()
    with closing_on_signals(screen):
        screen.tell(name, Started(name))
        for progress in steps:
            screen.tell(name, progress)
        screen.tell(name, Finished(time.monotonic() - begun))
