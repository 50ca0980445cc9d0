"""The walk of `cluster.actor` in simulated time: its workers, layouts and exchanges are the real ones.

Invented are what they stand on: an owner (`simulated_owner`), and a network. A sender's link carries one message after
the other (`Hop.rate`), each arrives `Hop.seconds` later. Left out: links shared by several workers, the receiver's
link, a store's own latency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any

from cluster.actor import Doing, Tally, Waiting, Worker
from cluster.layout import Layout
from cluster.mail import Key
from tests.benchmarks.simulated_owner import Load, Machine, Outcome, Owner, Store
from tests.benchmarks.simulated_time import Timeline


def simulate(
    layout: Layout,
    exchange: str,
    load: Load,
    machine: Machine,
    hear: Callable[[float, Doing], None] | None = None,
) -> Outcome:
    """Walks all shards of a layout; `hear` is told when a worker goes on to what."""
    size, outcome = layout.workers, Outcome()
    timeline, store = Timeline(size), Store(machine.shared)
    workers = [Worker(partial(Owner, timeline, rank, load, machine, store, outcome), rank) for rank in range(size)]
    network = _Network(timeline, machine, outcome)
    mail = [_Mail(timeline, rank) for rank in range(size)]
    for worker, box in zip(workers, mail, strict=True):
        worker.mail = box

    def walk(rank: int) -> None:
        for event in workers[rank].walk(layout, exchange, partial(network.deliver, mail), seconds=inf):
            if isinstance(event, Waiting):
                outcome.waited += mail[rank].sleep(event.keys)
            elif isinstance(event, Doing) and hear is not None:
                hear(timeline.now[rank], event)
            elif isinstance(event, Tally):
                outcome.moved, outcome.messages = outcome.moved + event.sent_bytes, outcome.messages + event.sent

    timeline.run([partial(walk, rank) for rank in range(size)])
    outcome.seconds = max(timeline.now)
    return outcome


class _Mail:
    """A worker's mailbox: a message is here from its time on."""

    def __init__(self, timeline: Timeline, rank: int):
        self._timeline, self._rank = timeline, rank
        self._here: dict[Key, tuple[float, Any]] = {}
        self._awaited: tuple[Key, ...] = ()

    def put(self, key: Key, value: Any, arrival: float = 0.0) -> None:
        self._here[key] = arrival, value
        if key in self._awaited:
            self._timeline.wake(self._rank, arrival)

    def here(self, key: Key) -> bool:
        self._timeline.catch_up()
        return key in self._here and self._here[key][0] <= self._timeline.now[self._rank]

    def take(self, key: Key) -> Any:
        return self._here.pop(key)[1]

    def sleep(self, keys: tuple[Key, ...]) -> float:
        """Until one of the messages is here; how long that took."""
        begun = self._timeline.now[self._rank]
        self._awaited = keys
        for key in keys:
            if key in self._here:
                self._timeline.wake(self._rank, self._here[key][0])
        self._timeline.sleep()
        self._awaited = ()
        return self._timeline.now[self._rank] - begun


class _Network:
    """A link a worker, on which its messages follow each other."""

    def __init__(self, timeline: Timeline, machine: Machine, outcome: Outcome):
        self._timeline, self._machine, self._outcome = timeline, machine, outcome
        self._free = [0.0] * len(timeline.now)

    def deliver(self, mail: Sequence[_Mail], to: int, key: Key, value: Any) -> None:
        size, rank, hop = getattr(value, "nbytes", 0), self._timeline.running, self._machine.hop
        self._timeline.spend(self._machine.submit.time(size))
        sent = max(self._timeline.now[rank], self._free[rank]) + size / hop.rate
        self._free[rank] = sent
        self._outcome.doing["sending"] += size / hop.rate
        mail[to].put(key, value, sent + hop.seconds)
