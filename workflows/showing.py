"""What a command shows while it works, and how it ends when it is interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

from pipeline.progress import Steps


class Closing(Protocol):
    def close(self) -> None: ...


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception that ends what was started."""


@contextmanager
def closing_on_signals(*closed: Closing) -> Iterator[None]:
    """Closes all at the end, in order; Ctrl-C and SIGTERM become a message and the exit codes 130 and 143."""

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        closed[0].close()
        ended = isinstance(interrupt, Terminated)
        what = "terminated" if ended else "interrupted"
        typer.echo(f"{what}; run the same command again to continue", err=True)
        raise typer.Exit(143 if ended else 130) from None
    finally:
        for one in closed:
            one.close()
        signal.signal(signal.SIGTERM, before)


def show(name: str, steps: Steps) -> None:
    """Does the steps of a command in this process, with a bar on a terminal and lines elsewhere."""
    from workflows.display import display

    screen, begun = display(), time.monotonic()
    with closing_on_signals(screen):
        screen.start(name)
        for progress in steps:
            screen.progress(progress)
        screen.finish(name, time.monotonic() - begun)
