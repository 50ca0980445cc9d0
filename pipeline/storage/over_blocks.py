"""A lazy volume walked block by block: some blocks of frames in memory at a time, a small result of each."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import dask.array
import numpy as np

from pipeline.storage.lazy import LazyBlocks

Result = TypeVar("Result")


def over_blocks(
    data: dask.array.Array, function: Callable[[np.ndarray, int], Result], hands: int | None = None
) -> Iterator[tuple[int, Result]]:
    """The first frame of each block of `data` along time, and `function(block, first)`, in order.

    Blocks hold whole frames. So many are in work as there are hands, by default one for each CPU, and
    one more waits. The function runs where dask's scheduler
    says, by default on threads here, so it should return little.
    """
    blocks = LazyBlocks(data.rechunk(dict.fromkeys(range(1, data.ndim), -1)))
    hands = hands or len(os.sched_getaffinity(0))
    begun: deque[tuple[int, Future]] = deque()
    pool = ThreadPoolExecutor(hands, "blocks")
    try:
        for place in blocks.places:
            first = blocks.box(place)[0].start
            begun.append((first, pool.submit(blocks.compute, place, function, first)))
            if len(begun) > hands:
                place, future = begun.popleft()
                yield place, future.result()
        while begun:
            place, future = begun.popleft()
            yield place, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
