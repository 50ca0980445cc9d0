"""What happens in a run: the events that screens show and the event log keeps.

A line of the log is the event as JSON, with `at` (seconds since 1970, UTC), `event` (its name) and `stage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cluster import Usage
from pipeline.progress import Progress


@dataclass(frozen=True)
class Began:
    """A run begins, or goes on.

    Attributes:
        run: Its name.
        stages: In order: name, kind, names of the inputs' stages, folder, whether it was finished before.
        command: What was typed.
        where: Where the work runs.
        host, pid: The driver.
    """

    run: str
    stages: tuple[Mapping[str, Any], ...]
    command: str
    where: str
    host: str
    pid: int


@dataclass(frozen=True)
class Planned:
    """What the stages will take: of each that is foreseen, by name, the fields of `foresight.cost.Cost`."""

    costs: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Skipped:
    """A stage was finished before."""


@dataclass(frozen=True)
class Started:
    """A stage begins."""

    kind: str


@dataclass(frozen=True)
class Spread:
    """Shards of a stage were divided over workers.

    Attributes:
        workers: How many.
        lengths: Shards of each strand.
        strands: Each strand's name, its frames, and the frames of its shards (the last may have fewer).
        spans: For each strand the shards that are to be done, [first, stop).
        teams: For each strand the workers that own its shards in turn.
        exchange: How carries pass.
        moved: Bytes that are predicted to move between workers.
        why: In words.
    """

    workers: int
    lengths: tuple[int, ...]
    strands: tuple[tuple[str, int, int], ...]
    spans: tuple[tuple[int, int], ...]
    teams: tuple[tuple[int, ...], ...]
    exchange: str
    moved: int
    why: str


@dataclass(frozen=True)
class Shard:
    """What a worker does with a shard from now on: `computing`, `waiting` (for a carry), `writing`, or it is `done`."""

    strand: int
    index: int
    worker: int
    doing: str


@dataclass(frozen=True)
class Pulse:
    """A process of a stage lives.

    Attributes:
        worker: Its number, or `None` for the driver or a stage's only worker.
        usage: Its memory.
        seconds: By activity, since it began; of a worker that walks shards also `all`. Where a store failed, beside
            them `retries`: how often it was tried again.
    """

    worker: int | None
    usage: Usage
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """What a worker sent to others in all: messages, and bytes of carries and summaries."""

    worker: int
    messages: int
    size: int


@dataclass(frozen=True)
class Lost:
    """Workers were lost, and the stage goes on from what is committed."""

    why: str


@dataclass(frozen=True)
class Finished:
    """A stage is done.

    Attributes:
        seconds: Since it started, or went on.
        peak, device: Bytes of memory, and of GPU memory, that its largest process took at most.
        moved: Bytes that carries and summaries took from worker to worker.
    """

    seconds: float
    peak: int = 0
    device: int = 0
    moved: int = 0


@dataclass(frozen=True)
class Ended:
    """The run ended.

    Attributes:
        how: `finished`, `failed`, `cancelled` or `interrupted`.
        why: What failed.
    """

    how: str
    seconds: float
    why: str = ""


Event = Began | Planned | Skipped | Started | Progress | Spread | Shard | Pulse | Sent | Lost | Finished | Ended


def as_line(at: float, stage: str | None, event: Event) -> dict[str, Any]:
    """The line of the log. What is empty is left out."""
    found = {item.name: getattr(event, item.name) for item in fields(event)}
    told = {name: asdict(value) if isinstance(value, Usage) else value for name, value in found.items()}
    told = {name: value for name, value in told.items() if value not in ("", None, {}, ())}
    return {"at": round(at, 3), "event": type(event).__name__.lower()} | ({"stage": stage} if stage else {}) | told
