"""Count, mean and squared deviations of each voxel over frames, the same bits however the frames were cut.

Two sets of frames merge by the update of Chan, Golub and LeVeque (The American Statistician 37, 1983, equation 2.1),
which rounds, so that the order of merging is part of the answer. Here it is part of the definition: frames, counted
from the first, are the leaves of one binary tree, and only neighbours in the tree are ever merged. A block of frames,
wherever it begins, gives the nodes that it holds whole; nodes of several blocks come together in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial, reduce

import dask.array
import numpy as np
from jaxtyping import Float, Int, Shaped

from pipeline.over_blocks import over_blocks

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


class Tree:
    """Moments of some of the frames of a period, as the nodes of its tree; two children become their parent."""

    def __init__(self) -> None:
        self.nodes: dict[Node, Moments] = {}

    def add(self, node: Node, moments: Moments) -> None:
        level, index = node
        while (sibling := (level, index ^ 1)) in self.nodes:
            other = self.nodes.pop(sibling)
            moments = other.then(moments) if index & 1 else moments.then(other)
            level, index = level + 1, index >> 1
        self.nodes[level, index] = moments

    def update(self, nodes: dict[Node, Moments]) -> None:
        """Takes in the nodes of another part of the frames."""
        for node, moments in nodes.items():
            self.add(node, moments)

    def total(self) -> Moments:
        """Of all frames from the first on: what is left over at the end is merged from the last node to the first."""
        ordered = sorted(self.nodes, key=lambda node: node[1] << node[0])
        stops = [0, *((index + 1) << level for level, index in ordered)]
        assert [index << level for level, index in ordered] == stops[:-1], f"frames are missing among {ordered}"
        return reduce(lambda later, earlier: earlier.then(later), (self.nodes[node] for node in reversed(ordered)))


def moments_of(
    data: dask.array.Array, groups: Int[np.ndarray, "time"] | None = None, count: int = 1
) -> list[Moments | None]:
    """The moments of each group of the frames of `data` (time, channel, depth, height, width), read block by block.

    Args:
        groups: Of each frame, from 0 to `count` - 1; by default all are group 0.

    Returns:
        For each group its moments, `None` where it has no frame.
    """
    groups = np.zeros(len(data), np.int64) if groups is None else groups
    places = np.zeros(len(data), np.int64)  # of each frame among those of its group
    for group in range(count):
        own = groups == group
        places[own] = np.arange(np.count_nonzero(own))
    trees = [Tree() for _ in range(count)]
    for _, nodes in over_blocks(data, partial(block_nodes, groups=groups, places=places)):
        for group, own in nodes.items():
            trees[group].update(own)
    return [tree.total() if tree.nodes else None for tree in trees]


def block_nodes(
    block: Shaped[np.ndarray, "time channel depth height width"],
    first: int,
    *,
    groups: Int[np.ndarray, "all_time"],
    places: Int[np.ndarray, "all_time"],
) -> dict[int, dict[Node, Moments]]:
    """The nodes that a block of frames, from frame `first` of the period on, holds whole, by group."""
    trees: dict[int, Tree] = {}
    for number, frame in enumerate(block, start=first):
        trees.setdefault(int(groups[number]), Tree()).add((0, int(places[number])), Moments.of_frame(frame))
    return {group: tree.nodes for group, tree in trees.items()}


def merged(parts: Iterable[Moments | None], shape: tuple[int, ...]) -> Moments:
    """The moments of several periods, or groups, in the order given; of none of them where all are `None`."""
    found = [part for part in parts if part is not None]
    return reduce(Moments.then, found) if found else Moments.of_nothing(shape)
