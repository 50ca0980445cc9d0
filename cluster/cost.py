"""What an exchange costs: the bytes it moves, to the byte, and the seconds it takes, on a model with measured numbers.

A message of n bytes takes h(n) = `seconds + n / rate`; its sender is busy for b(n) = `SENDING seconds + n / rate`. A
wave of P shards with states of S bytes:

                 one wave alone            between two waves (ring)     moved
    chain        P h(S)                    P h(S)                       P - 1 + 1 states
    all-gather   (P - 1) b(S) + 2 h(S)     2 (P - 1) b(S) + 2 h(S)      P(P - 1)/2 summaries, P - 1 + 1 states
    tree         (2 log2(P) + 1) h(S)      log2(P) (h(S) + b(S)) + h(S) about 3 P summaries and states

The one more is the state that leaves for the next wave. While carries go round, workers compute, read and write: of a
long walk only what the ring takes longer than a wave's work is to be seen. What the model leaves out: that links may
be shared, that a worker is busy with something else when a message comes. `tests/benchmarks/cluster_scaling.py`
compares it with a simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cluster.exchange import EXCHANGES
from cluster.layout import Layout
from cluster.mail import Mailbox, Post
from ssm_ops.carry import Place

SENDING = 0.2
"""Share of a message's `seconds` that its sender is busy, and cannot send the next one (measured on Ray)."""

ALIKE = 0.02
"""Exchanges whose walks differ by no more than this share are alike: the one that moves least is chosen."""


@dataclass(frozen=True)
class Hop:
    """What one message between two workers costs: `seconds` whatever its size, then `rate` bytes a second."""

    seconds: float
    rate: float

    def time(self, size: float) -> float:
        return self.seconds + size / self.rate

    def busy(self, size: float) -> float:
        """Of its sender."""
        return SENDING * self.seconds + size / self.rate


MANY = 8
"""Shards of a wave from which on `auto` takes the tree where it is faster."""


@dataclass(frozen=True)
class Choice:
    """An exchange, and what it will cost.

    Attributes:
        name: Of `cluster.exchange.EXCHANGES`.
        moved_bytes: Carries and summaries sent from one worker to another, in all.
        seconds: A wave's exchange at each exchange point, on the model.
        members: Shards of the widest wave.
        state_bytes: Of one carry, the largest exchange point's.
    """

    name: str
    moved_bytes: int
    seconds: float
    members: int
    state_bytes: int

    def __str__(self) -> str:
        if self.members == 1:
            return "no exchange: no strand is cut in time"
        return (
            f"exchange by {self.name}: {self.members} shards a wave, {readable(self.state_bytes)} a carry, "
            f"{1e3 * self.seconds:.1f} ms a wave; {readable(self.moved_bytes)} will move between workers"
        )


def choose(layout: Layout, states: Sequence[int], hop: Hop, name: str = "auto", *, work: float = 0.0) -> Choice:
    """The exchange of the shortest walk (`auto`), or the one that is named; of those alike the one that moves least.

    For fewer than `MANY` shards a wave it is one with the chain's bits: what a message costs here and now must not be
    seen in the answer where it hardly matters.

    Args:
        layout: Who owns what.
        states: Bytes of the carry of each exchange point.
        hop: Measured between two workers.
        work: Seconds that a worker's shards of a wave take it at least, without any exchange.
    """
    members = max((len(set(team)) for team in layout.teams), default=1)
    waves = max((-(-(stop - first) // len(team)) for (first, stop), team in _strands(layout)), default=1)
    largest = max(states, default=0)
    alike_in_bits = [name for name, kind in EXCHANGES.items() if not kind.regroups]
    names = [name] if name != "auto" else list(EXCHANGES) if members >= MANY else alike_in_bits
    choices = [
        Choice(n, moved(layout, n, states), round_time(n, members, largest, hop), members, largest) for n in names
    ]
    walks = [walk_time(choice.name, members, waves, largest, hop, work) for choice in choices]
    alike = [choice for choice, walk in zip(choices, walks, strict=True) if walk <= (1 + ALIKE) * min(walks)]
    return min(alike, key=lambda choice: (choice.moved_bytes, choice.seconds))


def round_time(name: str, members: int, state: int, hop: Hop) -> float:
    """Seconds from the last summary of a wave to the carry that leaves it, on the model."""
    if members == 1:
        return 0.0
    if name == "chain":
        return members * hop.time(state)
    if name == "all-gather":
        return (members - 1) * hop.busy(state) + 2 * hop.time(state)
    return (2 * math.ceil(math.log2(members)) + 1) * hop.time(state)


def ring_time(name: str, members: int, state: int, hop: Hop) -> float:
    """Seconds from the carry that enters a wave to the one that enters the next: waves are no faster. On the model."""
    if members == 1:
        return 0.0
    if name == "chain":
        return members * hop.time(state)
    if name == "all-gather":
        return 2 * (members - 1) * hop.busy(state) + 2 * hop.time(state)
    return math.floor(math.log2(members)) * (hop.time(state) + hop.busy(state)) + hop.time(state)


def walk_time(name: str, members: int, waves: int, state: int, hop: Hop, work: float) -> float:
    """Seconds of a walk over so many waves, on the model: the first exchange is waited for, later ones as far as they
    take longer than the work beside them."""
    ring = ring_time(name, members, state, hop)
    return round_time(name, members, state, hop) + work + (waves - 1) * max(work, ring)


def _strands(layout: Layout) -> Iterable[tuple[tuple[int, int], tuple[int, ...]]]:
    return zip(layout.spans, layout.teams, strict=True)


def moved(layout: Layout, name: str, states: Sequence[int]) -> int:
    """Bytes that go from one worker to another, if every strand's first carry is zero or in a store: to the byte."""
    total = 0
    for (first, stop), team in _strands(layout):
        shards, size = stop - first, len(team)
        if size == 1 or shards <= 0:
            continue
        waves = [min(size, shards - start) for start in range(0, shards, size)]
        for number, members in enumerate(waves):
            for state in states:
                total += _wave_bytes(name, members, number > 0) * state
                total += state if number + 1 < len(waves) else 0  # what leaves for the next wave
    return total


@lru_cache(maxsize=4096)
def _wave_bytes(name: str, members: int, entered: bool) -> int:
    """Messages of one state's size within a wave, counted by playing it."""
    layout = Layout(((0, members),), (tuple(range(members)),), (0,))
    boxes = [Mailbox() for _ in range(members)]
    posts = [Post(rank, boxes[rank], lambda to, key, value: boxes[to].put(key, value)) for rank in range(members)]
    boxes[0].put((Place(0, 0), 0), _Unit() if entered else None)
    for rank in range(members):
        place, exchange = Place(0, rank), EXCHANGES[name](layout, posts[rank])
        exchange.offer(place, 0, _Unit())
        taking = exchange.carry(place, 0, _Unit())
        try:
            next(taking)
        except StopIteration as stop:
            exchange.leave(place, 0, stop.value, _Unit())
    return sum(post.sent_bytes for post in posts)


class _Unit:
    """A state or a summary of one byte."""

    forgets, nbytes = False, 1

    def __call__(self, carry: Any) -> _Unit:
        del carry
        return self

    def then(self, later: Any) -> _Unit:
        del later
        return self


def readable(size: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
