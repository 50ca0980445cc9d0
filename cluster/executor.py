"""One protocol for where work runs. `LocalExecutor` is a full citizen, not a mock: same calls, same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

Future = Any
"""The answer of a call, perhaps not there yet. Pass it on as an argument; only `Group.wait` looks inside."""


class Group(Protocol):
    """The workers of a stage. Calls to one worker run in the order they were made."""

    size: int

    def call(self, worker: int, method: str, *arguments: Any) -> Future:
        """Starts a method of one worker; arguments may be futures of other workers' calls."""
        ...

    def wait(self, futures: list[Future]) -> list[Any]:
        """The answers. Raises what a call raised; `WorkerLost` if a worker is gone or silent for too long."""
        ...


class Executor(Protocol):
    """Starts workers and single tasks, and ends them."""

    def group(self, make: Callable[[], Any], *, threads: int, most: int) -> AbstractContextManager[Group]:
        """At most `most` workers, each owning what `make()` builds, each with `threads` CPU threads or one GPU."""
        ...

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any, threads: int) -> Iterator[Any]:
        """Runs a generator function in one worker and yields what it yields."""
        ...

    def team(
        self,
        function: Callable[..., Iterator[Any]],
        *arguments: Any,
        data: int,
        time: int,
        threads: int,
        folder: Path,
    ) -> Iterator[Any]:
        """Runs `function(member, *arguments)`, a generator, in data * time workers that know each other.

        `member` is each one's place among them (`cluster.torch_transport.Member`). Yields what the first one yields.
        `folder` is one that all workers see; nothing is left in it.
        """
        ...

    def describe(self) -> str:
        """A few words: where the work runs."""
        ...

    def close(self) -> None:
        """Ends whatever this executor started."""
        ...


CONTINUE = "what was committed stands: run the same command again to continue"


class WorkerLost(RuntimeError):
    """A worker died or fell silent; what was committed stands, and the same command continues from there."""
