"""Count, mean and squared deviations of each voxel over frames, the same bits however the frames were cut.

Two sets of frames merge by the update of Chan, Golub and LeVeque (The American Statistician 37, 1983, equation 2.1),
which rounds, so that the order of merging is part of the answer. Here it is part of the definition: frames, counted
from the first, are the leaves of one binary tree, and only neighbours in the tree are ever merged. A block of frames,
wherever it begins, gives the nodes that it holds whole; nodes of several blocks come together in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce

import dask.array
import numpy as np
from jaxtyping import Float, Int, Shaped

from pipeline.storage.over_blocks import over_blocks

Node = tuple[int, int]
"""Level and index: the frames [index << level, (index + 1) << level)."""


@dataclass(frozen=True)
class Moments:
    """What some frames say about each voxel; missing values (NaN) count for nothing.

    Attributes:
        count: Values.
        mean: Their mean, 0 where there are none.
        squares: The sum of their squared deviations from it.
    """

    count: Int[np.ndarray, "channel depth height width"]
    mean: Float[np.ndarray, "channel depth height width"]
    squares: Float[np.ndarray, "channel depth height width"]

    @staticmethod
    def of_frame(frame: Shaped[np.ndarray, "channel depth height width"]) -> Moments:
        """Those of one frame of any real type."""
        values = frame.astype(np.float64)
        missing = np.isnan(values)
        values[missing] = 0.0
        return Moments((~missing).astype(np.int64), values, np.zeros_like(values))

    @staticmethod
    def of_nothing(shape: tuple[int, ...]) -> Moments:
        """Those of no frame."""
        return Moments(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))

    def then(self, later: Moments) -> Moments:
        """Those of these frames and later ones."""
        count = self.count + later.count
        delta = later.mean - self.mean
        share = later.count / np.maximum(count, 1)
        mean = self.mean + delta * share
        return Moments(count, mean, self.squares + later.squares + delta * delta * self.count * share)


Nodes = dict[Node, Moments]


class Tree:
    """Moments of some of the frames of a period, as the nodes of its tree; two children become their parent."""

    def __init__(self) -> None:
        self.nodes: Nodes = {}

    def add(self, node: Node, moments: Moments) -> None:
        level, index = node
        while (sibling := (level, index ^ 1)) in self.nodes:
            other = self.nodes.pop(sibling)
            moments = other.then(moments) if index & 1 else moments.then(other)
            level, index = level + 1, index >> 1
        self.nodes[level, index] = moments

    def update(self, nodes: Nodes) -> None:
        """Takes in the nodes of another part of the frames."""
        for node, moments in nodes.items():
            self.add(node, moments)

    def total(self) -> Moments:
        """Of all frames from the first on: what is left over at the end is merged from the last node to the first."""
        ordered = sorted(self.nodes, key=lambda node: node[1] << node[0])
        stops = [0, *((index + 1) << level for level, index in ordered)]
        assert [index << level for level, index in ordered] == stops[:-1], f"frames are missing among {ordered}"
        return reduce(lambda later, earlier: earlier.then(later), (self.nodes[node] for node in reversed(ordered)))


@dataclass(frozen=True)
class Period:
    """Some frames of a series in a row, of which moments are to be taken.

    Attributes:
        start, stop: The frames [start, stop).
        groups: Of each its group, from 0 to `count` - 1; `None` where there is one.
        count: Groups.
    """

    start: int
    stop: int
    groups: Int[np.ndarray, "time"] | None = None
    count: int = 1

    def nodes(self, block: Shaped[np.ndarray, "time channel depth height width"], first: int) -> dict[int, Nodes]:
        """The nodes, by group, that a block of the series from its frame `first` on holds whole."""
        start, stop = max(first, self.start), min(first + len(block), self.stop)
        if start >= stop:
            return {}
        frames = block[start - first : stop - first]
        if self.groups is None:
            return {0: dict(_runs(frames, start - self.start))}
        trees: dict[int, Tree] = {}
        for number, frame in enumerate(frames, start=start - self.start):
            tree = trees.setdefault(int(self.groups[number]), Tree())
            tree.add((0, int(self._places[number])), Moments.of_frame(frame))
        return {group: tree.nodes for group, tree in trees.items()}

    @cached_property
    def _places(self) -> Int[np.ndarray, "time"]:
        """Of each frame among those of its group."""
        places = np.zeros(self.stop - self.start, np.int64)
        for group in range(self.count):
            own = self.groups == group
            places[own] = np.arange(np.count_nonzero(own))
        return places


def _runs(frames: Shaped[np.ndarray, "time channel depth height width"], first: int) -> Iterator[tuple[Node, Moments]]:
    """The largest nodes that frames in a row hold whole, the first of which is frame `first` of the period."""
    from pipeline.voxelwise import fold  # brings numba, 50 MB

    kind = np.float32 if frames.dtype == np.float32 else np.float64
    place, stop, shape = first, first + len(frames), frames.shape[1:]
    while place < stop:
        level = min((place & -place).bit_length() - 1 if place else MOST, (stop - place).bit_length() - 1, MOST)
        part = np.ascontiguousarray(frames[place - first : place - first + (1 << level)], kind)
        size = int(np.prod(shape))
        count, mean, squares = np.empty(size, np.int64), np.empty(size), np.empty(size)
        fold(part.reshape(len(part), -1), count, mean, squares)
        yield (level, place >> level), Moments(*(one.reshape(shape) for one in (count, mean, squares)))
        place += 1 << level


MOST = 5
"""The level of the largest node that is made of frames at once: 32 frames of a tile fit a cache."""


class Totals:
    """The moments of each group of a period, from the nodes of all its blocks, which may come in any order.

    Args:
        count: Groups.
    """

    def __init__(self, count: int = 1):
        self._trees = [Tree() for _ in range(count)]

    def update(self, nodes: dict[int, Nodes]) -> None:
        """Takes in a block."""
        for group, own in nodes.items():
            self._trees[group].update(own)

    def moments(self) -> list[Moments | None]:
        """Of each group; `None` where it has no frame."""
        return [tree.total() if tree.nodes else None for tree in self._trees]


def moments_of(
    data: dask.array.Array, groups: Int[np.ndarray, "time"] | None = None, count: int = 1
) -> list[Moments | None]:
    """The moments of each group of the frames of `data` (time, channel, depth, height, width), read block by block.

    Args:
        groups: Of each frame, from 0 to `count` - 1; by default all are group 0.

    Returns:
        For each group its moments, `None` where it has no frame.
    """
    period, totals = Period(0, len(data), groups, count), Totals(count)
    for _, nodes in over_blocks(data, period.nodes):
        totals.update(nodes)
    return totals.moments()


def merged(parts: Iterable[Moments | None], shape: tuple[int, ...]) -> Moments:
    """The moments of several periods, or groups, in the order given; of none of them where all are `None`."""
    found = [part for part in parts if part is not None]
    return reduce(Moments.then, found) if found else Moments.of_nothing(shape)
