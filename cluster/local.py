"""The executor without Ray: everything in this process, one call after the other, under a debugger if you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cluster.actor import Doing, Done, Owner, Pulse, Tally, Waiting, Worker
from cluster.cost import Hop
from cluster.layout import Layout
from cluster.resources import Places
from cluster.usage import Usage

PATIENCE = 600.0
"""Seconds that a written shard may take to be safe."""


class LocalGroup:
    """Workers as plain objects, which take turns."""

    def __init__(self, workers: list[Worker]):
        self._workers, self.size = workers, len(workers)

    def hop(self, size: int) -> Hop:
        del size
        return Hop(0.0, float("inf"))

    def walk(self, layout: Layout, exchange: str) -> Iterator[Done | Doing | Pulse | Tally]:
        def deliver(to: int, key: Any, value: Any) -> None:
            self._workers[to].mail.put(key, value)

        walks = [worker.walk(layout, exchange, deliver, seconds=PATIENCE) for worker in self._workers[: layout.workers]]
        alive = dict(enumerate(walks))
        while alive:
            waiting = {}
            for rank, walk in list(alive.items()):
                for event in walk:
                    if not isinstance(event, Waiting):
                        yield event
                    elif not self._can_go_on(rank, event):
                        waiting[rank] = event
                        break  # another worker's turn
                else:
                    del alive[rank]
            if alive and not any(self._can_go_on(rank, event) for rank, event in waiting.items()):
                raise RuntimeError(f"every worker waits for a message that none will send: {waiting}; this is a bug")

    def _can_go_on(self, rank: int, waiting: Waiting) -> bool:
        return any(self._workers[rank].mail.here(key) for key in waiting.keys)


class LocalExecutor:
    """Runs groups and tasks in this process.

    Args:
        workers: Workers of a group. More than one costs time and gains none; it makes the plan of a cluster run here.
        silence: Seconds without any answer after which the workers of a team count as lost.
        memory: See `Executor.memory`.
    """

    def __init__(self, workers: int | None = None, *, silence: float = 3600.0, memory: float | None = None):
        self._workers, self._silence, self.memory = workers or 1, silence, memory
        self.used: Usage | None = None

    def places(self, *, threads: int, most: int | None = None, workers: int | None = None) -> Places:
        del threads
        if workers is not None and workers > 1:
            return Places(workers, apart=True)  # a team's processes
        return Places(1 if workers else min(self._workers, most or self._workers), apart=False)

    @contextmanager
    def group(self, make: Callable[[], Owner], *, threads: int, most: int, fewer: bool = False) -> Iterator[LocalGroup]:
        del threads, fewer
        workers = [Worker(make, rank) for rank in range(min(self._workers, most))]
        try:
            yield LocalGroup(workers)
        finally:
            for worker in workers:
                worker.owner.close()

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any, threads: int) -> Iterator[Any]:
        del threads
        yield from function(*arguments)

    def team(
        self,
        function: Callable[..., Iterator[Any]],
        *arguments: Any,
        data: int,
        time: int,
        threads: int,
        folder: Path,
    ) -> Iterator[Any]:
        """Processes of this machine: workers that wait for each other cannot take turns in one."""
        from cluster.local_team import team_of_processes  # brings torch

        del threads, folder
        told = team_of_processes(function, arguments, data=data, time=time, seconds=self._silence)
        try:
            for item, self.used in told:
                yield item
        finally:
            told.close()
            self.used = None

    def dask_scheduler(self) -> AbstractContextManager[None]:
        """Dask's own threads."""
        return nullcontext()

    def describe(self) -> str:
        return "one process"

    def close(self) -> None:
        pass
