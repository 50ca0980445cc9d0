"""The shards of a stage: what is known of each, and of whom it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workflows.pages.board.states import BY_NAME, State

NOBODY = -1
"""The owner of a shard that was done before."""


class Grid:
    """Shards of strands, as an event `spread` tells them; those that follow change it.

    Attributes:
        names: Of the strands.
        lengths: Shards of each strand.
        frames: Frames of each strand, and of its shards, where they are known.
        starts: Where the shards of each strand begin among all, and where the last one's end.
        state: Of each shard, a `State`; int8, (shard,).
        owner: Of each shard, the number of a worker or `NOBODY`; int32, (shard,).
        workers: How many there are.
        again: Shards that were begun, or even done, and have to be done once more.
    """

    def __init__(self, spread: Mapping[str, Any]):
        self.lengths: list[int] = list(spread["lengths"])
        told = spread.get("strands") or [(f"strand {number}", 0, 0) for number in range(len(self.lengths))]
        self.names: list[str] = [name for name, _, _ in told]
        self.frames: list[tuple[int, int]] = [(frames, shard) for _, frames, shard in told]
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.state = np.zeros(self.starts[-1], np.int8)
        self.owner = np.full(self.starts[-1], NOBODY, np.int32)
        self.again = 0
        self.divide(spread)

    def divide(self, spread: Mapping[str, Any]) -> None:
        """Shards are divided over workers, again where some were lost: what is not committed is to be done."""
        self.workers: int = spread["workers"]
        for strand, ((first, stop), team) in enumerate(zip(spread["spans"], spread["teams"], strict=True)):
            begin = self.starts[strand]
            states, owners = (of[begin : self.starts[strand + 1]] for of in (self.state, self.owner))
            before = states[:first]
            before[before != State.DONE] = State.BEFORE
            self.again += int(np.count_nonzero(states[first:stop]))
            states[first:stop] = State.AHEAD
            owners[first:stop] = np.resize(np.asarray(team, np.int32), max(stop - first, 0))

    def put(self, strand: int, index: int, worker: int, doing: str) -> None:
        """A worker does something with a shard from now on."""
        place = self.starts[strand] + index
        self.state[place], self.owner[place] = BY_NAME.get(doing, State.COMPUTING), worker

    def drop(self) -> None:
        """Workers were lost: nobody works on anything until the shards are divided again."""
        active = self.state >= State.COMPUTING
        self.again += int(np.count_nonzero(active))
        self.state[active] = State.AHEAD

    @property
    def unit(self) -> int | None:
        """Frames of a shard; `None` where they are not known, or not the same for all strands."""
        lengths = {shard for _, shard in self.frames}
        return (lengths.pop() or None) if len(lengths) == 1 else None

    def count(self, state: State) -> int:
        """How many shards are so."""
        return int(np.count_nonzero(self.state == state))

    def fronts(self) -> list[int]:
        """For each strand how far the carry has come: the first shard that no carry has left yet, or all of them.

        A worker writes a shard when all its carries were passed on.
        """
        left = np.isin(self.state, (State.BEFORE, State.DONE, State.WRITING))
        pieces = (left[start:stop] for start, stop in zip(self.starts, self.starts[1:], strict=False))
        return [int(piece.argmin()) if not piece.all() else len(piece) for piece in pieces]

    def hands(self) -> dict[int, list[tuple[State, int, int]]]:
        """What each worker has begun: states, strands and indices of shards, computing first."""
        found: dict[int, list[tuple[State, int, int]]] = {}
        for place in np.flatnonzero(self.state >= State.COMPUTING):
            strand = int(np.searchsorted(self.starts, place, side="right")) - 1
            known = (State(int(self.state[place])), strand, int(place - self.starts[strand]))
            found.setdefault(int(self.owner[place]), []).append(known)
        return {worker: sorted(those) for worker, those in found.items()}

    def done_by(self) -> dict[int, int]:
        """How many shards each worker has done."""
        owners = self.owner[self.state == State.DONE]
        return dict(zip(*(found.tolist() for found in np.unique(owners, return_counts=True)), strict=True))

    def extent(self, strand: int, first: int, last: int) -> str:
        """Shards of a strand in words, both ends included: their frames, where they are known."""
        frames, shard = self.frames[strand]
        if not shard:
            return f"shard{'' if first == last else 's'} {first}" + ("" if first == last else f" to {last}")
        return f"frames {first * shard} to {min((last + 1) * shard, frames) - 1}"
