"""What a stage will take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a stage will take, as far as it is known beforehand. Numbers of bytes are before compression.

    Attributes:
        shape: Of what it works on, in words.
        chunks, shards, waves, workers: How the work is cut.
        read, written, moved: Bytes that are read, written, and sent from one worker to another.
        host: Bytes of memory that its largest process takes at most.
        processes: How many such processes there are.
        device: Bytes of GPU memory of a worker, where it has a GPU.
        objects: Bytes of the object store.
        disk: Bytes that stay on the disk, at most.
        seconds: How long it takes; `None` where nothing is known.
        axis: What is cut over the workers, and how carries pass, with the reason.
        remedies: Settings that would make it smaller, nearest first: (as for `--set`, without the stage's name).
    """

    shape: str = ""
    chunks: int = 0
    shards: int = 0
    waves: int = 0
    workers: int = 1
    read: int = 0
    written: int = 0
    moved: int = 0
    host: int = 0
    processes: int = 1
    device: int = 0
    objects: int = 0
    disk: int = 0
    seconds: float | None = None
    axis: str = ""
    remedies: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Foreseen:
    """A stage before it is run.

    Attributes:
        name, kind: Its own.
        finished: Whether there is nothing to be done.
        cost: What it will take; `None` of a finished one, and of a kind of which nothing is known beforehand.
    """

    name: str
    kind: str
    finished: bool
    cost: Cost | None = None


MARGIN = 1.25
"""By which predictions of memory are raised, so that what is measured stays below them."""


def raised(cost: Cost) -> Cost:
    """With the margin."""
    return replace(cost, host=round(MARGIN * cost.host), device=round(MARGIN * cost.device))
