"""How a stage says where it is: it is a generator, and yields one of these whenever it got further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps, with a short note (`loss 0.61`)."""

    done: int
    total: int
    note: str = ""


Steps = Iterator[Progress]
