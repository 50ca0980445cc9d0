"""A lazy volume walked block by block: some blocks of frames in memory at a time, a small result of each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import dask
import dask.array
import numpy as np

Result = TypeVar("Result")


def over_blocks(data: dask.array.Array, function: Callable[[np.ndarray, int], Result]) -> Iterator[tuple[int, Result]]:
    """The first frame of each block of `data` along time, and `function(block, first)`, in order.

    Blocks hold whole frames. One for each CPU is in work, and one more waits. The function runs where dask's scheduler
    says, by default on threads here, so it should return little.
    """
    whole = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
    blocks = whole.to_delayed().ravel()
    firsts = np.cumsum([0, *whole.chunks[0][:-1]]).tolist()
    lazily = dask.delayed(function, pure=False, traverse=False)
    scheduler = dask.config.get("scheduler", None) or "synchronous"
    hands = len(os.sched_getaffinity(0))
    begun: deque[tuple[int, Future]] = deque()
    pool = ThreadPoolExecutor(hands, "blocks")
    try:
        for block, first in zip(blocks, firsts, strict=True):
            begun.append((first, pool.submit(lazily(block, first).compute, scheduler=scheduler)))
            if len(begun) > hands:
                place, future = begun.popleft()
                yield place, future.result()
        while begun:
            place, future = begun.popleft()
            yield place, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
