"""The device that a stage computes on, the CPU threads it may use, and the memory that they share."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from pipeline.storage import arrays

_M_ARENA_MAX = -8
"""Of mallopt(3), glibc's."""


def own_device() -> torch.device:
    """The GPU that this process was given (the first visible one), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def threads_kept(threads: int | None = None) -> Iterator[None]:
    """Within, torch uses `threads` CPU threads; afterwards as many as before."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def own_resources(threads: int) -> torch.device:
    """What a worker does when it starts: takes its device, computes on `threads` threads, compresses on as many
    beside them, and has one heap for all.

    Each thread would else keep, in a heap of its own, what it once freed (glibc): memory that grows for hours.
    """
    torch.set_num_threads(threads)
    arrays.limit_threads(threads)
    with suppress(OSError, AttributeError, TypeError):  # another system, another allocator
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    return own_device()
