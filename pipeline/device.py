"""The device that a stage computes on, and the CPU threads it may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
