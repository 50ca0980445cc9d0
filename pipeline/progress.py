"""How a stage says where it is: it is a generator, and yields one of these whenever it got further."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        done: Steps that are done, and committed.
        total: Steps in all.
        note: In short, `loss 0.61`.
        line: What is to stay on the screen.
        frames: Frames that were worked on since the stage began or went on; 0 where nothing is said.
        size: Their bytes, uncompressed.
        shares: Seconds by activity since then, where the stage knows them; where a store failed, beside them `retries`:
            how often it was tried again.
    """

    done: int
    total: int
    note: str = ""
    line: str = ""
    frames: int = 0
    size: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)


Steps = Iterator[Progress]
