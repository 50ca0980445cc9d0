"""The blocks of a lazy array, computed one by one: each costs what it needs, however many there are.

Dask looks at the whole graph of an array for every part of it that is computed. Here the graph is optimised once, and
what a block needs is taken out of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dask
import dask.array
import numpy as np
from dask.delayed import Delayed
from dask.optimization import cull

from pipeline.storage.blocks import Box, overlap, sizes, within


class LazyBlocks:
    """The blocks of an array.

    Args:
        data: The array.

    Attributes:
        places: The number of each block along each axis, in C order.
    """

    def __init__(self, data: dask.array.Array):
        (self._data,) = dask.optimize(data)
        self._graph = dict(self._data.__dask_graph__())
        self._ends = [np.cumsum((0, *lengths)) for lengths in data.chunks]
        self.places = list(itertools.product(*(range(len(lengths)) for lengths in data.chunks)))

    def box(self, place: tuple[int, ...]) -> Box:
        """The part of the array that a block holds."""
        return tuple(slice(int(ends[p]), int(ends[p + 1])) for p, ends in zip(place, self._ends, strict=True))

    def compute(self, place: tuple[int, ...], function: Callable[..., Any] | None = None, *arguments: Any) -> Any:
        """A block, or what a function gives of it and further arguments; where dask's scheduler says, by default in the
        thread that asks."""
        key = (self._data.name, *place)
        needed, _ = cull(self._graph, [key])
        block = Delayed(key, needed)
        if function is not None:
            block = dask.delayed(function, pure=False, traverse=False)(block, *arguments)
        return block.compute(scheduler=dask.config.get("scheduler", None) or "synchronous", optimize_graph=False)

    def part(self, wanted: Box) -> np.ndarray:
        """A part of the array, block by block."""
        spans = [
            range(int(np.searchsorted(ends, one.start, "right")) - 1, int(np.searchsorted(ends, one.stop)))
            for one, ends in zip(wanted, self._ends, strict=True)
        ]
        places = list(itertools.product(*spans))
        if len(places) == 1:
            return self.compute(places[0])[within(wanted, self.box(places[0]))]
        values = np.empty(sizes(wanted), self._data.dtype)
        for place in places:
            own = self.box(place)
            shared = overlap(wanted, own)
            values[within(shared, wanted)] = self.compute(place)[within(shared, own)]
        return values
