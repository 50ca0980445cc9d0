"""A lazy volume walked block by block: some blocks of frames in memory at a time, a small result of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import dask
import dask.array
import numpy as np

TOGETHER = 4
"""Blocks that are asked for at a time, for the threads or workers of whatever scheduler dask has."""

Result = TypeVar("Result")


def over_blocks(data: dask.array.Array, function: Callable[[np.ndarray, int], Result]) -> Iterator[tuple[int, Result]]:
    """The first frame of each block of `data` along time, and `function(block, first)`, in order.

    Blocks hold whole frames. The function runs where dask computes, so it should return little.
    """
    whole = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
    blocks = whole.to_delayed().ravel()
    firsts = np.cumsum([0, *whole.chunks[0][:-1]]).tolist()
    lazily = dask.delayed(function, pure=False, traverse=False)
    for start in range(0, len(blocks), TOGETHER):
        some = slice(start, start + TOGETHER)
        results = dask.compute(*(lazily(block, first) for block, first in zip(blocks[some], firsts[some], strict=True)))
        yield from zip(firsts[some], results, strict=True)
