"""The executor on Ray: actors pinned to GPUs or CPU slots in a placement group; see `ray_team.py` for teams."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.actor import Worker
from cluster.executor import CONTINUE, WorkerLost
from cluster.ray_team import team_on_ray
from cluster.resources import ResourceError, Slots, own_cores, plan_slots

START_SECONDS = 120.0
"""How long workers may wait for their places."""

REACH_SECONDS = 10.0
"""How long a cluster may take to accept a connection."""


class RayExecutor:
    """Runs groups and tasks as Ray actors.

    Args:
        address: The cluster to join (`auto` or `host:port`); `None` starts one on this machine and
            ends it on `close`. A process that is already connected to Ray stays with its own connection.
        workers: Workers of a group; by default one a GPU, or one a CPU slot where there are no GPUs. On a cluster
            that this executor starts, more workers than cores share the cores.
        silence: Seconds without any answer after which the workers count as lost.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, silence: float = 3600.0):
        self._address, self._workers, self._silence = address, workers, silence
        self._room, self._guest = 0, False

    def _start(self, room: int) -> None:
        """Joins the cluster, or starts one of at least `room` CPU slots; one that proves too small is started anew."""
        if self._room >= room or (self._room and (self._address or self._guest)):
            return
        self.close()
        room = max(own_cores(), room)
        self._guest = ray.is_initialized()
        if self._guest:
            pass  # the caller's own connection: used, and left as it is
        elif self._address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            ray.init("local", num_cpus=room, include_dashboard=False, logging_level="error", log_to_driver=False)
        else:
            refuse_unreachable(self._address)
            try:
                ray.init(address=self._address, logging_level="error", log_to_driver=False)
            except (ConnectionError, TimeoutError, ValueError) as error:
                raise ResourceError(f"no Ray cluster answers at {self._address}: {error}") from error
        self._room = room

    def _slots(self, threads: int, workers: int | None) -> Slots:
        self._start(threads * (workers or 1))
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return plan_slots(nodes, threads=threads, workers=workers)

    @contextmanager
    def group(self, make: Callable[[], Any], *, threads: int, most: int) -> Iterator[RayGroup]:
        slots = self._slots(threads, self._workers)
        slots = replace(slots, workers=min(slots.workers, most))
        actors = []
        with self._placed(slots) as placement:
            try:
                for number in range(slots.workers):
                    strategy = PlacementGroupSchedulingStrategy(placement, placement_group_bundle_index=number)
                    options = {"num_cpus": slots.cpus, "num_gpus": slots.gpus, "scheduling_strategy": strategy}
                    actors.append(ray.remote(Worker).options(**options, max_restarts=0).remote(make))
                yield RayGroup(actors, self._silence)
            finally:
                for actor in actors:
                    ray.kill(actor)

    @contextmanager
    def _placed(self, slots: Slots) -> Iterator[PlacementGroup]:
        """Places for all workers at once, consecutive ones on the same node where possible; given back at the end."""
        bundle = {"CPU": float(slots.cpus)} | ({"GPU": float(slots.gpus)} if slots.gpus else {})
        placement = placement_group([bundle] * slots.workers, strategy="PACK")
        try:
            if not placement.wait(START_SECONDS):
                raise ResourceError(
                    f"{slots.workers} workers of {bundle} found no place within {START_SECONDS:.0f} s; "
                    f"the cluster is busy: wait, or ask for fewer with --workers"
                )
            yield placement
        finally:
            remove_placement_group(placement)

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any, threads: int) -> Iterator[Any]:
        slots = self._slots(threads, 1)
        with self._placed(slots) as placement:
            strategy = PlacementGroupSchedulingStrategy(placement, placement_group_bundle_index=0)
            options = {"num_cpus": slots.cpus, "num_gpus": slots.gpus, "scheduling_strategy": strategy}
            items = ray.remote(_items).options(**options, max_retries=0, num_returns="streaming")
            items = items.remote(function, arguments)
            try:
                while True:
                    ready, _ = ray.wait([items], timeout=self._silence)
                    if not ready:
                        raise WorkerLost(f"a worker said nothing for {self._silence:.0f} s; {CONTINUE}")
                    try:
                        reference = next(items)
                    except StopIteration:
                        return
                    yield _get(reference)
            finally:
                ray.cancel(items)

    def team(
        self,
        function: Callable[..., Iterator[Any]],
        *arguments: Any,
        data: int,
        time: int,
        threads: int,
        folder: Path,
    ) -> Iterator[Any]:
        self._start(threads * data * time)
        slots = self._slots(threads, None)
        if data * time > slots.workers:
            raise ResourceError(
                f"training asks for {data} x {time} = {data * time} workers, the cluster has {slots.workers} "
                f"{'GPUs with a CPU beside them' if slots.gpus else f'slots of {threads} CPUs'}; "
                "lower data_parallel or time_parallel"
            )
        slots = replace(slots, workers=data * time)
        yield from team_on_ray(
            function, arguments, data=data, time=time, slots=slots, folder=folder, seconds=self._silence
        )

    def describe(self) -> str:
        return f"Ray at {self._address}" if self._address else "Ray on this machine"

    def close(self) -> None:
        if self._room and not self._guest:
            ray.shutdown()
        self._room = 0


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


class RayGroup:
    """Workers as Ray actors; futures are object references, so a carry moves from actor to actor."""

    def __init__(self, actors: list, silence: float):
        self._actors, self._silence, self.size = actors, silence, len(actors)

    def call(self, worker: int, method: str, *arguments: Any) -> ray.ObjectRef:
        return getattr(self._actors[worker], method).remote(*arguments)

    def wait(self, futures: list[ray.ObjectRef]) -> list[Any]:
        """The answers in order; each that arrives starts the time limit anew."""
        pending = list(dict.fromkeys(futures))
        while pending:
            done, pending = ray.wait(pending, num_returns=1, timeout=self._silence, fetch_local=False)
            if not done:
                raise WorkerLost(f"no worker gave an answer for {self._silence:.0f} s; {CONTINUE}")
        return [_get(future) for future in futures]


def _items(function: Callable[..., Iterator[Any]], arguments: tuple) -> Iterator[Any]:
    for item in function(*arguments):  # noqa: UP028  Ray sends into its generators, and not every iterator takes it
        yield item


def _get(reference: ray.ObjectRef) -> Any:
    """The value of a finished call; what a worker raised is raised here, its remote traceback as the cause."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        if error.actor_init_failed:
            raise RuntimeError(f"a worker could not start: {error}") from error
        raise WorkerLost(f"a worker was lost: {_first_line(error)}; {CONTINUE}") from error
    except RayError as error:
        raise WorkerLost(f"a worker was lost: {_first_line(error)}; {CONTINUE}") from error


def _first_line(error: RayError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
