"""Memory for results on CPUs: whole pages that are there, kept for the next result once nobody looks at them any more.

The system gives fresh memory page by page, each filled with zeros at its first touch. For a scan that takes a few
milliseconds this is a third of its time, and one call after the other wants a result of the same size.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch

LINE = 64
"""Bytes of a cache line."""
KEPT_BYTES = 2**29
"""What a process keeps at most, in all; nor does it keep more than it once had lent at a time, less what it lends now:
to keep rooms does not raise the most memory that a process takes."""

_kept: dict[int, np.ndarray] = {}
"""Rooms that nobody looks at, by identity. Whoever pops one has it alone, on any thread, without a lock."""

_lent: dict[int, int] = {}
"""The bytes of rooms that somebody looks at."""

_most: dict[str, int] = {"lent": 0}
"""The most bytes that were lent at a time."""


class _Loan:
    """Lends bytes to an array; when the last view of it has gone, they are kept for the next."""

    def __init__(self, room: np.ndarray):
        self.room, self.__array_interface__ = room, room.__array_interface__
        _lent[id(room)] = len(room)
        _most["lent"] = max(_most["lent"], sum(list(_lent.values())))

    def __del__(self, kept: dict[int, np.ndarray] = _kept, lent: dict[int, int] = _lent, most: dict = _most):
        lent.pop(id(self.room), None)
        kept[id(self.room)] = self.room
        bound = min(KEPT_BYTES, most["lent"] - sum(list(lent.values())))
        while sum(len(room) for room in list(kept.values())) > bound:
            with suppress(StopIteration, RuntimeError):  # another thread was here
                kept.pop(next(iter(kept)), None)


def lend(size: int) -> tuple[np.ndarray, bool]:
    """So many bytes from the start of a cache line, uninitialised, and whether they were used before."""
    wanted, room = size + LINE, None
    for key in list(_kept):
        if len(_kept.get(key, ())) == wanted:
            room = _kept.pop(key, None)
            if room is not None:
                break
    used = room is not None
    room = room if used else np.empty(wanted, np.uint8)
    start = -room.ctypes.data % LINE
    return np.asarray(_Loan(room))[start : start + size], used


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array in memory that is lent."""
    room, _ = lend(math.prod(shape) * dtype.itemsize)
    return room.view(dtype).reshape(shape)


def release() -> None:
    """Forgets all rooms that nobody looks at, and how much was lent: for a process that turns to something else."""
    _kept.clear()
    _most["lent"] = sum(list(_lent.values()))


class Rooms:
    """Arrays that their owner uses again and again, for what is about as large at each turn."""

    def __init__(self):
        self._free: list[np.ndarray] = []
        self._lent: dict[int, np.ndarray] = {}

    def take(self, size: int, dtype: torch.dtype) -> np.ndarray:
        """An uninitialised flat array from the start of a cache line; what was given back is used again."""
        wanted = size * dtype.itemsize
        fitting = [n for n, room in enumerate(self._free) if len(room) >= wanted]
        if fitting:
            room = self._free.pop(fitting[0])
        else:
            self._free.clear()  # too small for what comes now
            room = np.empty(wanted + LINE, np.uint8)
            room = room[-room.ctypes.data % LINE :]
        self._lent[room.ctypes.data] = room
        return room[:wanted].view(str(dtype).removeprefix("torch."))

    def give(self, lent: np.ndarray) -> None:
        """Takes back what `take` gave."""
        self._free.append(self._lent.pop(lent.ctypes.data))
