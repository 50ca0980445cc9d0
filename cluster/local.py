"""The executor without Ray: everything in this process, one call after the other, under a debugger if you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.actor import Worker
from cluster.local_team import team_of_processes


class LocalGroup:
    """Workers as plain objects; a call is made at once and its future is its answer."""

    def __init__(self, workers: list[Worker]):
        self._workers, self.size = workers, len(workers)

    def call(self, worker: int, method: str, *arguments: Any) -> Any:
        return getattr(self._workers[worker], method)(*arguments)

    def wait(self, futures: list[Any]) -> list[Any]:
        return futures


class LocalExecutor:
    """Runs groups and tasks in this process.

    Args:
        workers: Workers of a group. More than one costs time and gains none; it makes the plan of a cluster run here.
        silence: Seconds without any answer after which the workers of a team count as lost.
    """

    def __init__(self, workers: int | None = None, *, silence: float = 3600.0):
        self._workers, self._silence = workers or 1, silence

    @contextmanager
    def group(self, make: Callable[[], Any], *, threads: int, most: int) -> Iterator[LocalGroup]:
        del threads
        yield LocalGroup([Worker(make) for _ in range(min(self._workers, most))])

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
        del threads, folder
        yield from team_of_processes(function, arguments, data=data, time=time, seconds=self._silence)

    def describe(self) -> str:
        return "one process"

    def close(self) -> None:
        pass
