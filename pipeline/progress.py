"""How a stage says where it is: it is a generator, and yields one of these whenever it got further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps, with a short note (`loss 0.61`), and perhaps a line that is to stay on the screen."""

    done: int
    total: int
    note: str = ""
    line: str = ""


Steps = Iterator[Progress]
