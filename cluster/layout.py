"""Layout: which worker owns which shard of which strand.

A *strand* is a sequence that depends on no other: a series, or some channels of one where a stage mixes no channels.
Its shards follow each other in time, each entered by the carry that leaves the one before. Its *team* are the workers
that own its shards in turn; a *wave* is one shard each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssm_ops.carry import Place


@dataclass(frozen=True)
class Layout:
    """Who owns what.

    Attributes:
        spans: For each strand its shards that are to be done, [first, stop).
        teams: For each strand the workers that own its shards in turn.
        bundles: Strands of the same number are walked side by side (they share what is read), others one after the
            other.
        why: What was chosen, and what it is predicted to cost, in words.
    """

    spans: tuple[tuple[int, int], ...]
    teams: tuple[tuple[int, ...], ...]
    bundles: tuple[int, ...]
    why: str = ""

    @property
    def workers(self) -> int:
        return 1 + max((worker for team in self.teams for worker in team), default=0)

    def owner(self, place: Place) -> int:
        team = self.teams[place.strand]
        return team[(place.index - self.spans[place.strand][0]) % len(team)]

    def places(self, worker: int) -> list[Place]:
        """A worker's shards in the order in which it walks them."""
        own = [
            Place(strand, index)
            for strand, ((first, stop), team) in enumerate(zip(self.spans, self.teams, strict=True))
            for position, member in enumerate(team)
            if member == worker
            for index in range(first + position, stop, len(team))
        ]
        return sorted(own, key=lambda place: (self.bundles[place.strand], place.index, place.strand))

    def is_first(self, place: Place) -> bool:
        return place.index == self.spans[place.strand][0]

    def next(self, place: Place) -> Place | None:
        """The shard that this one's carry enters."""
        following = Place(place.strand, place.index + 1)
        return following if following.index < self.spans[place.strand][1] else None

    def wave(self, place: Place) -> Wave:
        """The shards of a place's wave, in the order of time."""
        (first, stop), size = self.spans[place.strand], len(self.teams[place.strand])
        start = place.index - (place.index - first) % size
        return Wave(place.strand, range(start, min(start + size, stop)))


@dataclass(frozen=True)
class Wave(Sequence[Place]):
    """Consecutive shards of a strand; made at once, however many they are."""

    strand: int
    indices: range

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number):
        found = self.indices[number]
        return Wave(self.strand, found) if isinstance(found, range) else Place(self.strand, found)

    def index(self, place: Place) -> int:
        return self.indices.index(place.index)


def lay_out(lengths: Sequence[int], workers: int, *, done: Sequence[int] = (), bundles: Sequence[int] = ()) -> Layout:
    """Strands first, time for what is left: a cut between strands costs nothing, one in time costs an exchange.

    At least as many strands as workers: each strand has one worker, the longest are given away first. Fewer: the
    workers are divided into teams, one a strand.

    Args:
        lengths: Shards of each strand.
        workers: At least 1.
        done: Leading shards of each strand that are finished; by default none.
        bundles: See `Layout`; by default every strand is its own.
    """
    done, bundles = tuple(done) or (0,) * len(lengths), tuple(bundles) or tuple(range(len(lengths)))
    spans = tuple(zip(done, lengths, strict=True))
    left = [stop - first for first, stop in spans]
    longest = sorted(range(len(left)), key=lambda strand: (-left[strand], strand))
    teams: list[tuple[int, ...]] = [(0,)] * len(left)
    waiting = [strand for strand in longest if left[strand] > 0]
    if len(waiting) >= workers:
        loads = [0] * workers
        for strand in waiting:
            worker = loads.index(min(loads))
            teams[strand], loads[worker] = (worker,), loads[worker] + left[strand]
    elif waiting:
        sizes = dict.fromkeys(waiting, 1)
        for _ in range(workers - len(waiting)):  # one more to the strand whose workers have most to do
            busiest = max(waiting, key=lambda strand: (left[strand] / sizes[strand], -strand))
            sizes[busiest] += 1
        start = 0
        for strand in sorted(waiting):
            size = min(sizes[strand], left[strand])
            teams[strand] = tuple(range(start, start + size))
            start += size
    return Layout(spans, tuple(teams), bundles)


def in_time(lengths: Sequence[int], workers: int, *, done: Sequence[int] = ()) -> Layout:
    """All workers take the shards of all strands in turn; the strands are walked side by side."""
    done = tuple(done) or (0,) * len(lengths)
    spans = tuple(zip(done, lengths, strict=True))
    team = tuple(range(max(1, min(workers, max((stop - first for first, stop in spans), default=1)))))
    return Layout(spans, (team,) * len(spans), (0,) * len(spans))
