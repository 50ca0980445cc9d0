"""What a command may use: memory and threads."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

FOR_FRAMES = 750e6
"""Bytes for frames where no memory is given."""
FOR_LIBRARIES = 64e6
"""What libraries and small things take beside the frames, once they are used."""
FOR_STATISTICS = 4e9
"""Bytes for statistics where no memory is given."""
NEARLY = 0.65
"""Of the memory that may be taken: beyond it, what is free is given back."""
COPIES = 4.0
"""Copies of a piece that are held while it is read, changed and encoded."""
MOST_BYTES = 16 << 20
"""More at a time gains nothing."""


@dataclass(frozen=True)
class Means:
    """What may be used.

    Attributes:
        memory: Bytes that the process may take in all; by default `FOR_FRAMES` beyond what it takes already.
        threads: On which pieces are read and encoded; by default as many as there are CPUs.
    """

    memory: float | None = None
    threads: int | None = None

    @property
    def hands(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def room(self) -> float:
        """Bytes for frames: what the process takes already is not theirs."""
        return FOR_FRAMES if self.memory is None else max(0.0, self.memory - held_bytes())

    @property
    def piece(self) -> float:
        """Bytes of a piece, such that every thread has one in work and one more waits."""
        return min(self.room / COPIES / (self.hands + 1), float(MOST_BYTES))

    def where_each_holds(self, pieces: float) -> Means:
        """The same memory, and as many threads as can hold so many pieces each, at least one."""
        return replace(self, threads=max(1, min(self.hands, int(self.room / (pieces * MOST_BYTES)))))

    @property
    def for_statistics(self) -> float:
        """Bytes for statistics of voxels while they are gathered, beside the pieces that they are gathered from."""
        return FOR_STATISTICS if self.memory is None else self.room / 5

    def keep_within(self) -> None:
        """Gives back what is free and the C library keeps, if the process takes nearly all that it may."""
        if self.memory is not None and taken_bytes() > NEARLY * self.memory:
            give_back()


def held_bytes() -> float:
    """What this process takes already, and its libraries will take; what is free is given back first."""
    give_back()
    return taken_bytes() + FOR_LIBRARIES


def taken_bytes() -> float:
    """What this process takes."""
    try:
        return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not on Linux: the most that it ever took
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def give_back() -> None:
    """Gives back to the system what is free and the C library keeps: with several threads that may be much."""
    with suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
