"""Simulated time: processes with a clock each, of which the one that is furthest behind goes on.

Each process runs on a thread of its own, one at a time, so it may be any code that was not written for this: here the
workers of `cluster.actor`, as they are. What a process sees at its time, nobody can change any more: before it looks,
it lets all pass who are behind (`catch_up`).
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

STACK_BYTES = 2**19
"""Of a process; a thousand of them should not ask for gigabytes of addresses."""


class Timeline:
    """The clocks of some processes.

    Attributes:
        now: Of each process, in seconds.
        running: Which process is.
    """

    def __init__(self, processes: int):
        self.now, self.running = [0.0] * processes, 0
        self._batons = [_closed() for _ in range(processes)]
        self._turns = [0] * processes
        self._queue = [(0.0, rank, 0) for rank in range(processes)]
        self._over, self._failure, self._left = _closed(), None, processes

    def run(self, processes: Sequence[Callable[[], None]]) -> None:
        """Runs all to their ends; raises what one of them raised.

        Raises:
            RuntimeError: All that are left sleep.
        """
        threads = [
            threading.Thread(target=self._process, args=(rank, process), daemon=True)
            for rank, process in enumerate(processes)
        ]
        with _small_stacks():
            for thread in threads:
                thread.start()
        self._next()
        self._over.acquire()
        if self._failure is not None:
            raise self._failure
        for thread in threads:
            thread.join()

    def spend(self, seconds: float) -> None:
        """The running process does something that takes so long."""
        self.now[self.running] += seconds

    def catch_up(self) -> None:
        """Lets all others come to the running process's time."""
        rank = self.running
        if self._queue and self._queue[0][0] < self.now[rank]:
            self.wake(rank, self.now[rank])
            self._pause(rank)

    def sleep(self) -> None:
        """The running process goes on when somebody wakes it."""
        self._pause(self.running)

    def wake(self, rank: int, time: float) -> None:
        """A process that sleeps goes on at `time`, or at the earliest of several."""
        heapq.heappush(self._queue, (time, rank, self._turns[rank]))

    def _pause(self, rank: int) -> None:
        self._next()
        self._batons[rank].acquire()

    def _next(self) -> None:
        while self._queue:
            time, rank, turn = heapq.heappop(self._queue)
            if turn == self._turns[rank]:
                self._turns[rank] += 1
                self.now[rank], self.running = max(self.now[rank], time), rank
                self._batons[rank].release()
                return
        self._failure = self._failure or RuntimeError(f"{self._left} processes sleep and nobody will wake them")
        self._over.release()

    def _process(self, rank: int, process: Callable[[], None]) -> None:
        self._batons[rank].acquire()
        try:
            process()
        except BaseException as error:
            self._failure = error
            self._over.release()
            return
        self._left -= 1
        if self._left:
            self._next()
        else:
            self._over.release()


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@contextmanager
def _small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)
