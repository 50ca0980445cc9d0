"""A worker's owner whose shards take simulated time and hold nothing, the store it reads from, and what they run on.

A worker reads one shard ahead and has at most one waiting to be written, both beside its computing. A store that all
share serves in the order of asking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from cluster.cost import Hop
from ssm_ops.carry import ASK, LATER, Carry, Place, Program
from tests.benchmarks.simulated_time import Timeline

FREE = Hop(0.0, inf)


@dataclass(frozen=True)
class Machine:
    """What the workers run on, in bytes a second.

    Attributes:
        through, keep, finish: Frames scanned in one pass, and in each of two halves.
        compose: What is sent of a state that a summary is applied to, or composed with.
        place: Carries brought to where the scan is.
        read, write: Frames of one worker from and to the store.
        hop: A message between two workers.
        submit: Seconds that a sender is busy with a message, and bytes a second that it copies meanwhile.
        shared: Frames of all workers together from and to the store.
    """

    through: float = inf
    keep: float = inf
    finish: float = inf
    compose: float = inf
    place: float = inf
    read: float = inf
    write: float = inf
    hop: Hop = FREE
    submit: Hop = FREE
    shared: float = inf


@dataclass(frozen=True)
class Load:
    """What there is to do, for each shard of each strand.

    Attributes:
        frames, state: Bytes of its frames, and of its carry.
        sent: Bytes that are sent of a carry.
        forgets: Whether nothing of a carry is left at a shard's end.
    """

    frames: float
    state: float
    sent: int
    forgets: bool = False


@dataclass
class Outcome:
    """What a walk took.

    Attributes:
        seconds: Until the last shard is safe.
        moved, messages: Bytes of carries and summaries between workers; messages.
        waited: Seconds that the workers together had nothing to do but wait for carries.
        doing: The same for each activity.
        safe: For each index of shards when the last of them was safe.
    """

    seconds: float = 0.0
    moved: int = 0
    messages: int = 0
    waited: float = 0.0
    doing: Counter[str] = field(default_factory=Counter)
    safe: Counter[int] = field(default_factory=Counter)


class Store:
    """What all workers share: serves in the order of asking, whole transfers."""

    def __init__(self, rate: float):
        self._rate, self._free = rate, 0.0

    def transfer(self, asked: float, begun: float, size: float, rate: float) -> float:
        """When a transfer ends that was asked for, and can begin, at these times, at `rate` if nobody else is there."""
        self._free = max(self._free, asked) + size / self._rate
        return max(begun + size / rate, self._free)


class Owner:
    """Shards that take time and hold nothing."""

    def __init__(
        self,
        timeline: Timeline,
        rank: int,
        load: Load,
        machine: Machine,
        store: Store,
        outcome: Outcome,
    ):
        self._timeline, self._rank, self._load, self._machine = timeline, rank, load, machine
        self._store, self._outcome = store, outcome
        self._state = _State(load, partial(self._do, "composing", load.sent / machine.compose))
        self._strands: Counter[int] = Counter()
        self._reads: dict[int, float] = {}
        self._reading = self._writing = 0.0
        self._held: list[tuple[float, float]] = []

    def expect(self, places: Sequence[Place]) -> None:
        self._order = list(dict.fromkeys(place.index for place in places))
        self._strands = Counter(place.index for place in places)

    def program(self, place: Place) -> Program[Callable[[float], None]]:
        load, machine, state = self._load, self._machine, self._state
        self._take(place.index)
        carry = yield ASK
        if carry is not LATER:
            self._enter(carry)
            self._do("computing", load.frames / machine.through)
            yield state
        else:
            self._do("computing", load.frames / machine.keep)
            carry = yield state
            self._enter(carry)
            self._do("computing", load.frames / machine.finish)
        state(carry)
        return partial(self._safe, self._put(place.index))

    def entering_carry(self, place: Place, point: int) -> None:
        del place, point

    def adopt(self, summary: Any, point: int) -> Any:
        del point
        return summary

    def describe(self, place: Place) -> str:
        return str(place)

    def report(self) -> None:
        return None

    def close(self) -> None:
        pass

    def _do(self, what: str, seconds: float) -> None:
        self._timeline.spend(seconds)
        self._outcome.doing[what] += seconds

    def _enter(self, carry: Carry) -> None:
        if carry is not None:
            self._do("placing", self._load.state / self._machine.place)

    def _take(self, index: int) -> None:
        """Waits until a shard of all its strands is read; the next one is then read."""
        self._timeline.catch_up()
        now, number = self._timeline.now[self._rank], self._order.index(index)
        for one in self._order[number : number + 2]:
            if one not in self._reads:
                size, begun = self._strands[one] * self._load.frames, max(self._reading, now)
                self._reading = self._store.transfer(now, begun, size, self._machine.read)
                self._reads[one] = self._reading
        self._do("waiting for reads", max(0.0, self._reads[index] - now))

    def _put(self, index: int) -> float:
        """Hands a result over as soon as there is room for it; when it will be safe."""
        self._timeline.catch_up()
        size, now = self._load.frames, self._timeline.now[self._rank]
        room, free = self._strands[index] * size, now
        self._held = [one for one in self._held if one[0] > now]
        while self._held and sum(one[1] for one in self._held) + size > room:
            free = self._held.pop(0)[0]
        self._do("waiting for writes", free - now)
        self._writing = self._store.transfer(free, max(self._writing, free), size, self._machine.write)
        self._held.append((self._writing, size))
        self._outcome.safe[index] = max(self._outcome.safe[index], self._writing)
        return self._writing

    def _safe(self, end: float, seconds: float) -> None:
        if end - self._timeline.now[self._rank] > seconds:
            raise TimeoutError
        self._timeline.now[self._rank] = max(self._timeline.now[self._rank], end)


@dataclass
class _State:
    """A summary and a carry at once: of some bytes, and composed in some time."""

    load: Load
    compose: Callable[[], None]

    @property
    def nbytes(self) -> int:
        return self.load.sent

    @property
    def forgets(self) -> bool:
        return self.load.forgets

    def __call__(self, carry: Carry) -> _State:
        if carry is not None:
            self.compose()
        return self

    def then(self, later: _State) -> _State:
        del later
        self.compose()
        self.compose()
        return self
