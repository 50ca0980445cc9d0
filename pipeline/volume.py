"""What a volume is here: a (time, channel, depth, height, width) array named `data`, cut into chunks along time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

AXES = ("time", "channel", "depth", "height", "width")
SPACE = AXES[2:]
DATA = "data"

CHUNK_BYTES = 4 << 20
"""About a chunk, before compression: large enough to stream, small enough to move."""


class InputError(ValueError):
    """Something a user can mend: what happened, the two values that disagree, the remedy."""


class Settings:
    """Base of the stages' settings: plain frozen dataclasses, strict about types and unknown keys.

    The attribute is read by whoever validates a recipe (pydantic); nothing here imports it.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, order=True)
class Shard:
    """A run of whole chunks along time, owned and written by one worker: frames [start, stop)."""

    index: int
    start: int
    stop: int
    chunk: int

    def chunks(self) -> list[tuple[int, int]]:
        """The frames [start, stop) of each chunk, in order."""
        return [(t, min(t + self.chunk, self.stop)) for t in range(self.start, self.stop, self.chunk)]


def cut(frames: int, chunk: int, chunks_per_shard: int) -> list[Shard]:
    """Cuts `frames` frames into shards of whole chunks; only the last may be shorter."""
    length = chunk * chunks_per_shard
    return [
        Shard(index, start, min(start + length, frames), chunk) for index, start in enumerate(range(0, frames, length))
    ]


def default_chunk(frame_bytes: int) -> int:
    """Frames a chunk so that it holds about 4 MB: large enough to stream, small enough to move."""
    return max(1, CHUNK_BYTES // frame_bytes)
