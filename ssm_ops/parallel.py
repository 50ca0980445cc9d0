"""Independent pieces of a scan on the threads that torch was granted, one torch thread each.

On a CPU a piece that fits a core's cache is faster alone on its core than split over all of them, and its bits do not
depend on how many there are.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch

from ssm_ops.compiled import compiled
from ssm_ops.memory import lend

Job = TypeVar("Job")

PAGE = 4096
"""Bytes of the smallest page of memory."""
MANY_BYTES = 2**20
"""What is worth a thread's touching it."""
KEPT_BYTES = 2**24
"""Freeing one block of this size teaches the C library to keep freed blocks up to it (glibc's dynamic mmap threshold).
Otherwise it gives a tile's arrays back to the system after each tile and fetches them again page by page, which made an
inverse transform of a tile five times slower."""


@dataclass(frozen=True)
class Threads:
    """The threads that torch was granted on a device; see `granted`."""

    count: int
    device: torch.device

    def run(self, work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
        """Calls `work(job)` for every job: side by side on a CPU, one after the other elsewhere.

        Raises what the first failing job of a thread raised, once all threads have ended.
        """
        jobs = list(jobs)
        queue, failures = iter(jobs), []  # shared: each thread takes the next job
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def drain() -> None:
            try:
                with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                    for job in queue:
                        work(job)
            except BaseException as failure:  # a thread of torch's has nowhere to raise it
                failures.append(failure)
                for _ in queue:  # nobody begins another job
                    pass

        _on_all(drain, min(self.count, len(jobs)))
        if failures:
            raise failures[0]

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialised tensor; on a CPU of memory that is there, and begins on a cache line.

        Numpy asks the system for huge pages: 34 MB cost 2.5 instead of 17 ms. All threads touch them here in equal
        shares; in a scan they would meet at each and wait for each other.
        """
        if self.device.type != "cpu":
            return torch.empty(shape, dtype=dtype, device=self.device)
        size = math.prod(shape) * dtype.itemsize
        room, used = lend(size)
        pieces = 0 if used else min(self.count, size // MANY_BYTES)
        self.run(lambda i: _touch(room, size * i // pieces, size * (i + 1) // pieces), range(pieces))
        return torch.from_numpy(room).view(dtype).reshape(shape)


@contextmanager
def granted(device: torch.device) -> Iterator[Threads]:
    """Within, each operation of torch's works with one thread on a CPU, and `Threads` has as many as it was granted.

    Elsewhere this changes nothing.
    """
    if device.type != "cpu":
        yield Threads(1, device)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.empty(KEPT_BYTES, dtype=torch.uint8)  # freed at once; see KEPT_BYTES
        yield Threads(threads, device)
    finally:
        torch.set_num_threads(threads)


@compiled
def _touch(room, start, stop):
    for i in range(start, stop, PAGE):
        room[i] = 0


def _on_all(call: Callable[[], None], threads: int) -> None:
    """Calls it once on each of so many threads, this one among them."""
    team = (
        _team() if os.getpid() == _BORN else None
    )  # a forked process has lost torch's threads, and would wait for them
    if threads <= 1:
        call()
    elif team is not None:
        team(_CALL(lambda _: call()), None, threads, 0)
    else:
        helpers = [_pool(threads).submit(call) for _ in range(threads - 1)]
        call()
        wait(helpers)


_BORN = os.getpid()
_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache
def _team() -> Callable | None:
    """What starts torch's own threads (GNU's OpenMP, where torch has loaded it).

    They spin for some milliseconds after each of torch's operations; threads of our own would wait for their cores.
    """
    try:
        team = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY).GOMP_parallel
    except (OSError, AttributeError):
        return None
    team.argtypes, team.restype = [_CALL, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return team


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "scan", torch.set_num_threads, (1,))


os.register_at_fork(after_in_child=_pool.cache_clear)
