"""What somebody wants of a store in a file: which series, which part of each axis, and how a movie shows numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wish:
    """All that a writer is told beside the store.

    Attributes:
        series: The group of the store, where it has several.
        channel: The one channel to write; empty for all.
        select: For each axis that is restricted its name and what is taken of it, see `pipeline.archive.select`.
        span: The values that are black and white in a movie; by default the smallest and the largest there are.
        rate: Frames a second of a movie; by default what the times say.
    """

    series: str = ""
    channel: str = ""
    select: tuple[tuple[str, str], ...] = ()
    span: tuple[float, float] | None = None
    rate: float | None = None
