"""What does not fit, said before anything is written, with the nearest settings that do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import Executor, ResourceError, own_usage
from cluster.cost import readable
from workflows.foresight.cost import Cost, Foreseen
from workflows.foresight.machine import free_disk, free_memory


@dataclass(frozen=True)
class Limits:
    """Bytes that there are; infinite where nothing is known.

    Attributes:
        memory: For all processes on this machine together, what this one takes already among it.
        process: For one process, where that was said (`--memory`).
        node: Of the largest machine of a cluster that was named.
        disk: Free where the runs are.
        device: Of a GPU.
        objects: Of a machine's object store.
    """

    memory: float
    process: float
    node: float
    disk: float
    device: float
    objects: float

    @staticmethod
    def found(executor: Executor, runs: Path) -> Limits:
        """Those of this machine, and of the cluster if one was named."""
        places = executor.places(threads=1, most=1)
        infinite = float("inf")
        return Limits(
            memory=infinite if places.memory else free_memory() + own_usage().resident,
            process=executor.memory or infinite,
            node=places.memory or infinite,
            disk=free_disk(runs),
            device=_of_device(),
            objects=places.objects or infinite,
        )

    def broken(self, cost: Cost) -> list[tuple[str, float, float]]:
        """What a stage would take more of than there is: in words, how much, and how much there is."""
        together = cost.host * cost.processes + (own_usage().resident if cost.processes > 1 else 0)
        wanted = [
            ("memory on this machine", together, self.memory),
            ("memory of a process", cost.host, self.process),
            ("memory of a worker", cost.host, self.node),
            ("GPU memory of a worker", cost.device, self.device),
            ("the object store", cost.objects, self.objects),
        ]
        return [one for one in wanted if one[1] > one[2]]


def refuse_over_budget(
    foreseen: Sequence[Foreseen], limits: Limits, again: Callable[[str, Mapping[str, Any]], Cost]
) -> None:
    """Refuses what will not fit.

    Args:
        again: What a stage would take with other settings.

    Raises:
        ResourceError: Some stage takes more than there is; the message has both numbers and the nearest settings that
            fit.
    """
    left = [one for one in foreseen if one.cost is not None]
    for one in left:
        for what, wanted, there in limits.broken(one.cost):
            told = f"stage {one.name} would take {readable(wanted)} of {what}, and {readable(there)} are there"
            raise ResourceError(f"{told}; {_nearest(one, limits, again)}")
    wanted = sum(one.cost.disk for one in left)
    if wanted > limits.disk:
        largest = max(left, key=lambda one: one.cost.disk)
        raise ResourceError(
            f"the run would write up to {readable(wanted)}, most of it stage {largest.name} "
            f"({readable(largest.cost.disk)}), and {readable(limits.disk)} are free; make room, or choose another disk "
            "with --runs"
        )


def _nearest(one: Foreseen, limits: Limits, again: Callable[[str, Mapping[str, Any]], Cost]) -> str:
    """Settings that would do, in words."""
    for changes in one.cost.remedies:
        try:
            cost = again(one.name, changes)
        except ValueError:  # settings that do not go together with the others, or workers that are not there
            continue
        if not limits.broken(cost):
            options = " ".join(f"--set {one.name}.{name}={value}" for name, value in changes.items())
            return f"the nearest that fits is {options}, which takes {readable(cost.host)} a process"
    return (
        "no smaller setting that was tried fits: a larger machine, smaller frames (reshape: coarsen), or more workers"
    )


def _of_device() -> float:
    """Free bytes of the first GPU."""
    import torch

    return float(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else float("inf")
