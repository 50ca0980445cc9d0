"""The executor without Ray: everything in this process, one call after the other, under a debugger if you like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cluster.actor import Worker


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
    """

    def __init__(self, workers: int | None = None):
        self._workers = workers or 1

    @contextmanager
    def group(self, make: Callable[[], Any], *, threads: int, most: int) -> Iterator[LocalGroup]:
        del threads
        yield LocalGroup([Worker(make) for _ in range(min(self._workers, most))])

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any, threads: int) -> Iterator[Any]:
        del threads
        yield from function(*arguments)

    def describe(self) -> str:
        return "one process"

    def close(self) -> None:
        pass
