"""Layout: which worker owns which shard of which strand.

A *strand* is a sequence that depends on no other: a series, or some channels of one where a stage mixes no channels.
Its shards follow each other in time, each entered by the carry that leaves the one before. Its *team* are the workers
that own its shards in turn; a *wave* is one shard each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssm_ops.carry import Place

APART = 1.55
"""What a shard costs whose carry comes when it is scanned from zero already, in shards whose carry is there: two passes
instead of one (`make bench` measures it)."""


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

    @property
    def cut(self) -> list[int]:
        """The strands that are cut in time: several workers own their shards."""
        return [strand for strand, team in enumerate(self.teams) if len(team) > 1]

    def loads(self) -> list[tuple[float, int]]:
        """For each worker what its shards are predicted to cost, and how many they are. Carries are not counted."""
        loads = [(0.0, 0)] * self.workers
        for (first, stop), team in zip(self.spans, self.teams, strict=True):
            for position, worker in enumerate(team):
                shards, (cost, count) = len(range(first + position, stop, len(team))), loads[worker]
                loads[worker] = cost + shards * (APART if len(team) > 1 else 1.0), count + shards
        return loads

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


def lay_out(
    lengths: Sequence[int],
    workers: int,
    *,
    done: Sequence[int] = (),
    bundles: Sequence[int] = (),
    called: str = "series",
) -> Layout:
    """Strands first, time for what is left: a cut between strands costs nothing, one in time costs an exchange.

    At least as many strands as workers: each strand has one worker, the longest are given away first. Fewer: the
    workers are divided into teams, one a strand. Where that does not come out even, the longest strands are cut in time
    over all workers, as many as are predicted to make it fastest.

    Args:
        lengths: Shards of each strand.
        workers: At least 1.
        done: Leading shards of each strand that are finished; by default none.
        bundles: See `Layout`; by default every strand is its own.
        called: What strands are, in the words of `why`.
    """
    done, bundles = tuple(done) or (0,) * len(lengths), tuple(bundles) or tuple(range(len(lengths)))
    spans = tuple(zip(done, lengths, strict=True))
    left = [stop - first for first, stop in spans]
    longest = sorted(range(len(left)), key=lambda strand: (-left[strand], strand))
    waiting = [strand for strand in longest if left[strand] > 0]
    rests = [*range(min(len(waiting), workers)), len(waiting)] if workers > 1 else [0]
    candidates = [_dealt(spans, waiting, workers, rest, bundles) for rest in rests]
    if len(waiting) < workers:
        candidates.insert(0, Layout(spans, _divided(left, waiting, workers), bundles))
    chosen = min(candidates, key=_cost)
    return replace(chosen, why=_in_words(chosen, in_time(lengths, workers, done=done), workers, called))


def _divided(left: list[int], waiting: list[int], workers: int) -> tuple[tuple[int, ...], ...]:
    """Teams of fewer strands than workers: one more worker to the strand whose workers have most to do."""
    teams, sizes = [(0,)] * len(left), dict.fromkeys(waiting, 1)
    for _ in range(workers - len(waiting) if waiting else 0):
        busiest = max(waiting, key=lambda strand: (left[strand] / sizes[strand], -strand))
        sizes[busiest] += 1
    start = 0
    for strand in sorted(waiting):
        size = min(sizes[strand], left[strand])
        teams[strand] = tuple(range(start, start + size))
        start += size
    return tuple(teams)


def _dealt(
    spans: tuple[tuple[int, int], ...], waiting: list[int], workers: int, rest: int, bundles: tuple[int, ...]
) -> Layout:
    """The `rest` longest strands cut over all workers, side by side; the others whole, to who has least to do."""
    cut, whole = waiting[:rest], waiting[rest:]
    teams, together, loads = [(0,)] * len(spans), list(bundles), [0] * workers
    for strand in whole:
        worker = loads.index(min(loads))
        teams[strand], loads[worker] = (worker,), loads[worker] + spans[strand][1] - spans[strand][0]
    for strand in cut:
        first, stop = spans[strand]
        teams[strand] = tuple(range(min(workers, stop - first)))
        together[strand] = max(bundles) + 1
    return Layout(spans, tuple(teams), tuple(together))


def _cost(layout: Layout) -> float:
    return max(layout.loads())[0]


def _in_words(layout: Layout, other: Layout, workers: int, called: str) -> str:
    """`3 series over 2 workers, 1 of them cut in time: longest worker 12 of 24 shards; ...`; nothing of one worker."""
    left = [stop - first for first, stop in layout.spans if stop > first]
    if workers == 1 or not left:
        return ""
    how = f"{len(left)} {called} over {workers} workers"
    if layout.cut:
        how += ", cut in time" if len(layout.cut) == len(left) else f", {len(layout.cut)} of them cut in time"
    cost, shards = max(layout.loads())
    told = f"{how}: longest worker {shards} of {sum(left)} shards"
    if len(layout.cut) == len(left):
        return told
    ratio = _cost(other) / cost
    return f"{told}; {'time' if not layout.cut else 'all'} cut would take {ratio:.2f} times as long"


def in_time(lengths: Sequence[int], workers: int, *, done: Sequence[int] = ()) -> Layout:
    """All workers take the shards of all strands in turn; the strands are walked side by side."""
    done = tuple(done) or (0,) * len(lengths)
    spans = tuple(zip(done, lengths, strict=True))
    team = tuple(range(max(1, min(workers, max((stop - first for first, stop in spans), default=1)))))
    return Layout(spans, (team,) * len(spans), (0,) * len(spans))
