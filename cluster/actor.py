"""A worker: owns one object, walks the shards of its layout, and pauses each where it needs a carry from another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.exchange import EXCHANGES, Exchange
from cluster.layout import Layout
from cluster.mail import CONTINUE, Key, Mailbox, Post, WorkerLost
from cluster.usage import Usage, own_usage
from ssm_ops.carry import ASK, LATER, Place, Program

AHEAD = 2
"""Shards that a worker has begun and not finished: while one waits for its carry, the next is scanned from zero."""


COMPUTING, WAITING, WRITING = "computing", "waiting", "writing"
"""What a worker does with a shard."""

PULSE_SECONDS = 0.5
"""How often a worker tells what it takes, at most."""


class Owner(Protocol):
    """What a worker owns: knows what a shard is, and how one is computed, on its own device."""

    def expect(self, places: Sequence[Place]) -> None:
        """The shards that will be asked for, in order, so that they can be read ahead."""
        ...

    def program(self, place: Place) -> Program[Callable[[float], Any]]:
        """The program of a shard (see `ssm_ops.carry`). Its result is called, with a number of seconds at most to
        wait, until what the shard wrote is safe; what that call returns is the worker's answer."""
        ...

    def entering_carry(self, place: Place, point: int) -> Any:
        """The carry that enters the first shard of a strand that is to be done."""
        ...

    def adopt(self, summary: Any, point: int) -> Any:
        """A summary that another worker sent, completed by what was not sent because every worker knows it."""
        ...

    def describe(self, place: Place) -> str:
        """A shard in words."""
        ...

    def report(self) -> Any:
        """What the owner has to tell when all its shards are done."""
        ...

    def close(self) -> None:
        """Ends what the owner started."""
        ...


@dataclass(frozen=True)
class Done:
    """A shard is computed and safe."""

    place: Place
    answer: Any


@dataclass(frozen=True)
class Waiting:
    """A worker can do nothing until one of these messages is here."""

    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Doing:
    """What a worker does with a shard from now on: `computing` it, `waiting` for a carry with it, or `writing` it."""

    worker: int
    place: Place
    what: str


@dataclass(frozen=True)
class Pulse:
    """A worker lives.

    Attributes:
        usage: Its memory.
        seconds: Since its first shard.
        waited: Of these, seconds without anything to do but wait for carries.
        report: What the owner has to tell so far.
    """

    worker: int
    usage: Usage
    seconds: float
    waited: float
    report: Any


@dataclass(frozen=True)
class Tally:
    """A worker has done all its shards.

    Attributes:
        sent, sent_bytes: What it sent to other workers: messages, and bytes of carries and summaries.
        seconds: From its first shard to its last.
        waited: Of these, seconds without anything to do but wait for carries.
        report: The owner's.
    """

    worker: int
    sent: int
    sent_bytes: int
    seconds: float
    waited: float
    report: Any


class Worker:
    """Walks its shards.

    Args:
        make: Builds the `Owner`, here, on its own device.
        rank: Which worker of the layout this is.
    """

    def __init__(self, make: Callable[[], Owner], rank: int):
        self.owner, self.rank, self.mail = make(), rank, Mailbox()

    def walk(
        self, layout: Layout, exchange: str, deliver: Callable[[int, Key, Any], None], *, seconds: float
    ) -> Generator[Done | Waiting | Doing | Pulse | Tally, None, None]:
        """Walks all shards of this worker; yields each that is done, what it waits for when it must, and what it does.

        At most `AHEAD` shards are begun at a time, the oldest comes first. When a shard's carry comes, and so which
        shard goes on, changes no bit of any result.
        """
        post = Post(self.rank, self.mail, deliver, self.owner.adopt)
        messages, begun = EXCHANGES[exchange](layout, post), time.monotonic()
        waiting, active, unsafe, waited = deque(layout.places(self.rank)), [], deque(), 0.0
        told = begun
        self.owner.expect(tuple(waiting))
        while waiting or active:
            if time.monotonic() >= told + PULSE_SECONDS:
                told = time.monotonic()
                yield Pulse(self.rank, own_usage(), told - begun, waited, self.owner.report())
            movable = next((shard for shard in active if self.mail.here(shard.key)), None)
            if movable is None and waiting and len(active) < AHEAD:
                place = waiting.popleft()
                movable = _Shard(place, self._run(place, layout, messages))
                active.append(movable)
            if movable is None:
                before = time.monotonic()
                yield Waiting(tuple(shard.key for shard in active))
                waited += time.monotonic() - before
            else:
                yield Doing(self.rank, movable.place, COMPUTING)
                if ended := movable.advance(self.owner.describe):
                    active.remove(movable)
                    unsafe.append(movable)
                yield Doing(self.rank, movable.place, WRITING if ended else WAITING)
            while unsafe and (done := self._safe(unsafe[0], 0.0)) is not None:
                unsafe.popleft()
                yield done
        for shard in unsafe:
            done = self._safe(shard, seconds)
            if done is None:
                raise WorkerLost(f"{self.owner.describe(shard.place)} not written within {seconds:.0f} s; {CONTINUE}")
            yield done
        yield Pulse(self.rank, own_usage(), time.monotonic() - begun, waited, self.owner.report())
        yield Tally(self.rank, post.sent, post.sent_bytes, time.monotonic() - begun, waited, self.owner.report())

    def _run(self, place: Place, layout: Layout, messages: Exchange) -> Generator[Key, None, Any]:
        """One shard's program with its exchanges; yields the keys of the messages it waits for."""
        program, point = self.owner.program(place), 0
        said = next(program)
        while True:
            if layout.is_first(place):
                self.mail.put((place, point), self.owner.entering_carry(place, point))
            carry, summary = LATER, said
            if said is ASK:
                if messages.known(place, point):
                    carry = yield from messages.carry(place, point)
                summary = program.send(carry)
            messages.offer(place, point, summary)
            if carry is LATER:
                carry = yield from messages.carry(place, point, summary)
            messages.leave(place, point, carry, summary)
            point += 1
            try:
                said = program.send(carry)
            except StopIteration as stop:
                return stop.value

    @staticmethod
    def _safe(shard: _Shard, seconds: float) -> Done | None:
        try:
            return Done(shard.place, shard.result(seconds))
        except TimeoutError:
            return None


class _Shard:
    """A shard that was begun."""

    def __init__(self, place: Place, coroutine: Generator[Key, None, Any]):
        self.place, self._coroutine = place, coroutine
        self.key: Key = None
        self.result: Callable[[float], Any]

    def advance(self, words: Callable[[Place], str]) -> bool:
        """Goes on to the next message that is not here; whether the shard has come to its end.

        What fails is raised with the shard, in `words`, as a note.
        """
        try:
            self.key = next(self._coroutine)
        except StopIteration as stop:
            self.result = stop.value
            return True
        except Exception as error:
            error.add_note(f"while at {words(self.place)}")
            raise
        return False
