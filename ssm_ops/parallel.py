"""Independent pieces of a scan on the threads that torch was granted, one torch thread each.

On a CPU a piece that fits a core's cache is faster alone on its core than split over all of them, and its bits do not
depend on how many there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch

Job = TypeVar("Job")

CPU = torch.device("cpu")
KEPT_BYTES = 2**24
"""Freeing one block of this size teaches the C library to keep freed blocks up to it (glibc's dynamic mmap threshold).
Otherwise it gives a tile's arrays back to the system after each tile and fetches them again page by page, which made an
inverse transform of a tile five times slower."""


@contextmanager
def one_thread(device: torch.device) -> Iterator[int]:
    """Torch works with one thread on a CPU; gives how many it was granted. Elsewhere it changes nothing and gives 1."""
    if device.type != "cpu":
        yield 1
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def on_threads(work: Callable[[Job], None], jobs: Iterable[Job], device: torch.device) -> None:
    """Calls `work(job)` for every job: side by side on a CPU, one after the other elsewhere.

    Raises what the first failing job of a thread raised, once all threads have ended.
    """
    jobs = list(jobs)
    queue = iter(jobs)  # shared: each thread takes the next job

    def drain() -> None:
        for job in queue:
            work(job)

    def helper() -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            drain()

    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    with one_thread(device) as threads:
        if device.type == "cpu":
            torch.empty(KEPT_BYTES, dtype=torch.uint8)  # freed at once; see KEPT_BYTES
        helpers = [_pool(threads).submit(helper) for _ in range(min(threads, len(jobs)) - 1)]
        try:
            drain()
        finally:
            wait(helpers)
        for one in helpers:
            one.result()


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device = CPU) -> torch.Tensor:
    """An uninitialised tensor. Numpy asks the system for huge pages: 34 MB cost 2.5 instead of 17 ms."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.dtype(str(dtype).removeprefix("torch."))))
    return torch.empty(shape, dtype=dtype, device=device)


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "scan", torch.set_num_threads, (1,))


os.register_at_fork(after_in_child=_pool.cache_clear)
