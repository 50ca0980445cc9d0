"""One protocol for where work runs. `LocalExecutor` is a full citizen, not a mock: same calls, same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from cluster.actor import Doing, Done, Owner, Pulse, Tally
from cluster.cost import Hop
from cluster.layout import Layout
from cluster.resources import Places
from cluster.usage import Usage


class Group(Protocol):
    """The workers of a stage."""

    size: int

    def hop(self, size: int) -> Hop:
        """What a message from one worker to another costs, measured with few bytes and with `size`."""
        ...

    def walk(self, layout: Layout, exchange: str) -> Iterator[Done | Doing | Pulse | Tally]:
        """All workers walk their shards; yields each shard that is done and safe, each worker that has finished, and
        what workers do and take meanwhile.

        Raises what a worker raised, with the shard in a note; `WorkerLost` if one is gone or silent for too long.
        """
        ...


class Executor(Protocol):
    """Starts workers and single tasks, and ends them.

    Attributes:
        memory: Bytes that a process may take that reads and writes more than fits it; `None` where nothing is said.
        used: What the process of the last item of `stream` or `team` (the first worker's) took then; `None` where
            that was this process. Workers of a group tell it themselves.
    """

    memory: float | None
    used: Usage | None

    def places(self, *, threads: int, most: int | None = None, workers: int | None = None) -> Places:
        """Where a group of at most `most` workers, or a number of `workers`, would be; no cluster is started for it.

        Raises:
            ResourceError: There is no place for them, or no cluster where one was named.
        """
        ...

    def group(
        self, make: Callable[[], Owner], *, threads: int, most: int, fewer: bool = False
    ) -> AbstractContextManager[Group]:
        """At most `most` workers, each owning what `make()` builds, each with `threads` CPU threads or one GPU.

        With `fewer`, fewer workers than were asked for will do: a node may have gone since.
        """
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

    def dask_scheduler(self) -> AbstractContextManager[None]:
        """While it is open, dask computes where this executor's work runs, with the same results."""
        ...

    def describe(self) -> str:
        """A few words: where the work runs."""
        ...

    def close(self) -> None:
        """Ends whatever this executor started."""
        ...
