"""Frames in and out beside the computation: reading ahead, writing behind, both bounded, both timed.

A slow store slows the computation down and, through it, the reading: nothing piles up in memory.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

TRIALS = 4
"""How often a store is tried before it counts as broken: once, and after 0.2, 0.4 and 0.8 seconds."""


RETRIES = "retries"
"""Beside the seconds of a clock: how often a store was tried again."""

AGAIN = "what was committed stands: when the store answers again, the same command continues"

PATIENCE = 3600.0
"""Seconds that reading or writing one thing may take."""


class StoreError(OSError):
    """A store failed again and again."""


class Clock:
    """Seconds by activity, and how often a store was tried again. Threads may add at the same time; activities of one
    thread do not overlap."""

    def __init__(self):
        self._seconds: Counter[str] = Counter()
        self._retries = 0
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, activity: str, what: Any = None) -> Iterator[None]:
        """Within, the time counts as `activity`; `what` is it done to."""
        del what
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[activity] += time.perf_counter() - begun

    def again(self) -> None:
        """A store failed, and is tried again."""
        with self._lock:
            self._retries += 1

    def seconds(self) -> dict[str, float]:
        """By activity; where a store was tried again, `retries` is how often."""
        return dict(self._seconds) | ({RETRIES: self._retries} if self._retries else {})


def patiently(call: Callable[[], Any], what: str, clock: Clock) -> Any:
    """Calls, and calls again where the store failed.

    Args:
        call: Reads or writes.
        what: It does, for a message.
        clock: Counts how often it was called again.

    Raises:
        StoreError: It failed `TRIALS` times; the last failure is the cause.
    """
    trials = Retrying(
        retry=retry_if_exception_type(OSError),
        stop=stop_after_attempt(TRIALS),
        wait=wait_exponential(multiplier=0.2),
        before_sleep=lambda _: clock.again(),
        reraise=True,
    )
    try:
        return trials(call)
    except OSError as error:
        raise StoreError(
            f"{what} failed {TRIALS} times, at last with {type(error).__name__}: {error}; {AGAIN}"
        ) from error


class Reader:
    """Reads what will be asked for, in order, on a thread of its own.

    Args:
        read: Reads one thing.
        clock: Counts `reading`, and `waiting for reads`, the time that `take` waits.
        ahead: Things that are read beyond those in use.
    """

    def __init__(self, read: Callable[[Hashable], Any], clock: Clock, *, ahead: int = 1):
        self._read, self._clock, self._ahead = read, clock, ahead
        self._pool = ThreadPoolExecutor(1, "reader")
        self._order: list[Hashable] = []
        self._uses: Counter[Hashable] = Counter()
        self._begun: dict[Hashable, Future] = {}

    def expect(self, keys: Sequence[Hashable]) -> None:
        """What `take` will be called with, in about this order; a key as often as it comes. What was read of others is
        forgotten."""
        self._order, self._uses = list(dict.fromkeys(keys)), Counter(keys)
        for other in self._begun.keys() - self._uses.keys():
            self._begun.pop(other).cancel()

    def take(self, key: Hashable) -> Any:
        """What was read; it is forgotten with its last use."""
        number = self._order.index(key)
        for one in self._order[number : number + 1 + self._ahead]:
            if one not in self._begun:
                self._begun[one] = self._pool.submit(self._timed, one)
        with self._clock("waiting for reads", key):
            try:
                found = self._begun[key].result(timeout=PATIENCE)
            except TimeoutError as error:
                raise StoreError(f"a store gave nothing for {PATIENCE:.0f} s; {AGAIN}") from error
        self._uses[key] -= 1
        if self._uses[key] == 0:
            self._order.remove(key)
            del self._begun[key]
        return found

    def _timed(self, key: Hashable) -> Any:
        with self._clock("reading", key):
            return self._read(key)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Writer:
    """Writes on threads of its own; whoever hands over more than `room` bytes waits until there is room again.

    Args:
        clock: Counts `writing`, and `waiting for writes`, the time that `put` waits.
        room: Bytes that may wait to be written; one thing is taken whatever its size.
        threads: How many things are written at a time; each is encoded by the thread that writes it.
    """

    def __init__(self, clock: Clock, *, room: int, threads: int = 1):
        self._clock, self._room, self._held = clock, room, 0
        self._pool = ThreadPoolExecutor(threads, "writer")
        self._news = threading.Condition()

    def put(self, write: Callable[[], None], size: int, what: Any = None) -> Future:
        """Writes later; the future tells when it is done, or how it failed."""
        with self._clock("waiting for writes", what), self._news:
            if not self._news.wait_for(lambda: self._held == 0 or self._held + size <= self._room, timeout=PATIENCE):
                raise StoreError(f"a store took nothing for {PATIENCE:.0f} s; {AGAIN}")
            self._held += size
        return self._pool.submit(self._timed, write, size, what)

    def _timed(self, write: Callable[[], None], size: int, what: Any) -> None:
        try:
            with self._clock("writing", what):
                write()
        finally:
            with self._news:
                self._held -= size
                self._news.notify_all()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def all_done(futures: Sequence[Future], answer: Any) -> Callable[[float], Any]:
    """A call that waits until all are done, at most so many seconds, raises what failed, and gives the answer.

    Raises:
        TimeoutError: It took longer.
    """

    def wait(seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        for future in futures:
            future.result(timeout=max(0.0, deadline - time.monotonic()))
        return answer

    return wait
