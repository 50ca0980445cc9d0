"""What a cluster has and what is asked of it, compared before anyone waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.cost import Hop

REACH_SECONDS = 10.0
"""How long a cluster may take to accept a connection."""


class ResourceError(ValueError):
    """The cluster cannot hold what was asked for: both numbers, and the remedy."""


@dataclass(frozen=True)
class Slots:
    """What each worker gets, and how many there are: a GPU each where the cluster has GPUs, else CPU threads."""

    workers: int
    cpus: int
    gpus: int


def plan_slots(nodes: Sequence[dict[str, float]], *, threads: int, workers: int | None) -> Slots:
    """One worker a GPU, or one a run of `threads` CPUs on one node; `workers` of them if a number is asked for.

    Args:
        nodes: The resources of each living node, as Ray reports them.
        threads: CPUs a worker without a GPU holds.
        workers: How many workers were asked for; `None` for as many as there are slots.

    Raises:
        ResourceError: There are fewer slots than workers asked for, or none.
    """
    gpus = sum(min(int(node.get("GPU", 0)), int(node.get("CPU", 0))) for node in nodes)  # a worker needs a CPU too
    slots = gpus or sum(int(node.get("CPU", 0)) // threads for node in nodes)
    kind = "GPUs with a CPU beside them" if gpus else f"slots of {threads} CPU{'s' if threads > 1 else ''}"
    if slots == 0:
        largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        raise ResourceError(
            f"a worker of {threads} threads fits no node; the largest has {largest} CPUs; set threads to at most that"
        )
    if workers is not None and workers > slots:
        raise ResourceError(f"{workers} workers were asked for, the cluster has {slots} {kind}; use --workers {slots}")
    return Slots(workers or slots, cpus=1 if gpus else threads, gpus=1 if gpus else 0)


@dataclass(frozen=True)
class Places:
    """Where the workers of a stage would be.

    Attributes:
        workers: How many.
        apart: Whether they are processes of their own.
        gpus: GPUs of each.
        nodes: On how many machines they are.
        memory: Bytes of the largest of those machines, where the cluster tells; else `None`.
        objects: Bytes of a machine's object store, where there is one and its size is known.
        hop: What a message between two workers is taken to cost, before there are any.
    """

    workers: int
    apart: bool
    gpus: int = 0
    nodes: int = 1
    memory: float | None = None
    objects: float | None = None
    hop: Hop = Hop(0.0, float("inf"))  # noqa: RUF009  it is frozen


def own_cores() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_unreachable(address: str) -> None:
    """Ray would try for minutes to reach an address where nothing listens."""
    if address.startswith("ray://"):
        raise ResourceError(
            f"{address} is the address of a Ray Client, through which a stage cannot report its progress; "
            f"run on a machine of the cluster with --address auto, or give HOST:PORT of its head"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # `auto`, or a name that Ray resolves by itself
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise ResourceError(
            f"no Ray cluster answers at {address} ({error}); check `ray status` there, or leave --address out"
        ) from error
