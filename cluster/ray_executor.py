"""The executor on Ray: actors pinned to GPUs or CPU slots in a placement group; see `ray_team.py` for teams."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.actor import Doing, Done, Owner, Pulse, Tally, Waiting, Worker
from cluster.connection import joined, own_cluster
from cluster.cost import Hop
from cluster.dask_on_ray import dask_on_ray
from cluster.layout import Layout
from cluster.mail import CONTINUE, Key, WorkerLost
from cluster.ray_team import team_on_ray
from cluster.resources import Places, ResourceError, Slots, own_cores, plan_slots
from cluster.usage import Usage, forget_peak, own_usage
from ssm_ops.carry import Place

START_SECONDS = 120.0
"""How long workers may wait for their places."""

END_SECONDS = 10.0
"""How long we wait to see that workers are gone."""

TELL_SECONDS = 0.5
"""How often a worker tells what is done: a message takes three milliseconds of a core, those of Ray's own included."""

HOP = Hop(1e-3, 2e8)
"""What a message is taken to cost before there are workers between which it is measured."""

HOP_TRIALS, HOP_BYTES = 5, 2**22
"""How often a message is timed, and the size of the largest."""


class RayExecutor:
    """Runs groups and tasks as Ray actors.

    Args:
        address: The cluster to join (`auto` or `host:port`); `None` starts one on this machine and
            ends it on `close`. A process that is already connected to Ray stays with its own connection.
        workers: Workers of a group; by default one a GPU, or one a CPU slot where there are no GPUs. On a cluster
            that this executor starts, more workers than cores share the cores.
        silence: Seconds without any answer after which the workers count as lost.
        memory: See `Executor.memory`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        silence: float = 3600.0,
        memory: float | None = None,
    ):
        self._address, self._workers, self._silence, self.memory = address, workers, silence, memory
        self._room, self._guest, self._ending = 0, False, ExitStack()
        self.used: Usage | None = None

    def _start(self, room: int) -> None:
        """Joins the cluster, or starts one of at least `room` CPU slots; one that proves too small is started anew."""
        if self._room >= room or (self._room and (self._address or self._guest)):
            return
        self.close()
        room = max(own_cores(), room)
        self._guest = ray.is_initialized()
        terminate = signal.getsignal(signal.SIGTERM)
        if self._guest:
            pass  # the caller's own connection: used, and left as it is
        elif self._address is None:
            self._ending.enter_context(own_cluster(room))
        else:
            self._ending.enter_context(joined(self._address))
        if callable(terminate) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)  # Ray's would print a stack of its own
        self._room = room

    def _slots(self, threads: int, workers: int | None) -> Slots:
        self._start(threads * (workers or 1))
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return plan_slots(nodes, threads=threads, workers=workers)

    def places(self, *, threads: int, most: int | None = None, workers: int | None = None) -> Places:
        asked = workers or self._workers
        if self._address is None and not ray.is_initialized():
            nodes = [{"CPU": float(max(own_cores(), threads * (asked or 1))), "GPU": float(_own_gpus())}]
        else:
            self._start(threads * (asked or 1))
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        slots = plan_slots(nodes, threads=threads, workers=asked)
        found = min(slots.workers, most or slots.workers)
        known = {name: max(node.get(name, 0.0) for node in nodes) or None for name in ("memory", "object_store_memory")}
        return Places(found, True, slots.gpus, len(nodes), known["memory"], known["object_store_memory"], HOP)

    @contextmanager
    def group(self, make: Callable[[], Owner], *, threads: int, most: int, fewer: bool = False) -> Iterator[RayGroup]:
        try:
            slots = self._slots(threads, self._workers)
        except ResourceError:
            if not fewer:
                raise
            slots = self._slots(threads, None)
        slots = replace(slots, workers=min(slots.workers, most))
        actors = []
        with self._placed(slots) as placement:
            try:
                for number in range(slots.workers):
                    strategy = PlacementGroupSchedulingStrategy(placement, placement_group_bundle_index=number)
                    options = {"num_cpus": slots.cpus, "num_gpus": slots.gpus, "scheduling_strategy": strategy}
                    actor = ray.remote(concurrency_groups={"mail": 1})(RayWorker).options(**options, max_restarts=0)
                    actors.append(actor.remote(make, number, self._silence))
                yield RayGroup(actors, self._silence)
            finally:
                for actor in actors:
                    ray.kill(actor)
                _await_end(actors)

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
                    item, self.used = _get(reference)
                    yield item
            finally:
                _end_task(items)
                self.used = None

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
        told = team_on_ray(function, arguments, data=data, time=time, slots=slots, folder=folder, seconds=self._silence)
        try:
            for item, self.used in told:
                yield item
        finally:
            told.close()
            self.used = None

    @contextmanager
    def dask_scheduler(self) -> Iterator[None]:
        """Tasks of a cluster of several nodes. On one node dask's threads share memory, and tasks would not."""
        tasks = False
        if self._address is not None or ray.is_initialized():
            self._start(1)
            tasks = sum(node["Alive"] for node in ray.nodes()) > 1
        with dask_on_ray() if tasks else nullcontext():
            yield

    def describe(self) -> str:
        return f"Ray at {self._address}" if self._address else "Ray on this machine"

    def close(self) -> None:
        self._ending.close()
        self._room = 0


def _own_gpus() -> int:
    """GPUs that a Ray started here would find."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    return NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()


class RayWorker:
    """A worker as a Ray actor: one thread walks, another one takes in what other workers send."""

    def __init__(self, make: Callable[[], Owner], rank: int, silence: float):
        self._worker, self._silence = Worker(make, rank), silence

    @ray.method(concurrency_group="mail")
    def deliver(self, key: Key, value: Any) -> None:
        """Takes a message; a carry lies in the object store until it is here, never with the driver."""
        self._worker.mail.put(key, value)

    def walk(self, peers: list, layout: Layout, exchange: str) -> Iterator[list[Done | Doing | Pulse | Tally]]:
        """What is done, told every now and then, and before this worker waits for long or fails."""

        def deliver(to: int, key: Key, value: Any) -> None:
            peers[to].deliver.options(num_returns=0).remote(key, value)

        news, told = [], time.monotonic()
        try:
            for event in self._worker.walk(layout, exchange, deliver, seconds=self._silence):
                waits, mail = isinstance(event, Waiting), self._worker.mail
                if not waits:
                    news.append(event)
                urgent = any(isinstance(one, Done | Tally) for one in news)
                tells = waits and (urgent or not mail.comes(event.keys, TELL_SECONDS))
                if news and (tells or time.monotonic() >= told + TELL_SECONDS):
                    yield news
                    news, told = [], time.monotonic()
                if waits:
                    mail.wait(event.keys, self._silence, lambda keys=event.keys: _in_words(keys, layout))
        except Exception:
            if news:
                yield news
            raise
        yield news

    def hop(self, peer: Any, size: int) -> Hop:
        """Times messages of few bytes and of `size` to another worker and back."""
        seconds = []
        for count in (8, max(size, 8)):
            times = []
            for _ in range(HOP_TRIALS):
                value, begun = np.zeros(count, np.uint8), time.perf_counter()
                ray.get(peer.deliver.remote(("hop",), value), timeout=self._silence)
                times.append(time.perf_counter() - begun)
            seconds.append(min(times))
        slower = max(seconds[1] - seconds[0], 1e-9)
        return Hop(seconds[0], max(size, 8) / slower)


def _in_words(keys: tuple[Key, ...], layout: Layout) -> str:
    """What messages are about and who should send them."""
    place = next(part for part in keys[0] if isinstance(part, Place))
    before = Place(place.strand, place.index - 1)
    sender = f"worker {layout.owner(before)}" if not layout.is_first(place) else "the store"
    return f"the carry that enters shard {place.index} of strand {place.strand} from {sender}"


class RayGroup:
    """Workers as Ray actors. The driver hears which shards are done; carries go from actor to actor."""

    def __init__(self, actors: list, silence: float):
        self._actors, self._silence, self.size = actors, silence, len(actors)

    def hop(self, size: int) -> Hop:
        if self.size == 1:
            return Hop(0.0, float("inf"))
        measured = self._actors[0].hop.remote(self._actors[1], min(size, HOP_BYTES))
        ready, _ = ray.wait([measured], timeout=self._silence)
        if not ready:
            raise WorkerLost(f"no worker answered for {self._silence:.0f} s; {CONTINUE}")
        return _get(measured)

    def walk(self, layout: Layout, exchange: str) -> Iterator[Done | Doing | Pulse | Tally]:
        walks = [
            actor.walk.options(num_returns="streaming").remote(self._actors, layout, exchange)
            for actor in self._actors[: layout.workers]
        ]
        while walks:
            ready, _ = ray.wait(walks, timeout=self._silence)
            if not ready:
                raise WorkerLost(f"no worker finished a shard for {self._silence:.0f} s; {CONTINUE}")
            for one in ready:
                try:
                    reference = next(one)
                except StopIteration:
                    walks.remove(one)
                    continue
                yield from _get(reference)


def _await_end(actors: list) -> None:
    """Returns when the actors are gone, and so what they held."""
    deadline = time.monotonic() + END_SECONDS
    for actor in actors:
        with suppress(RayError):
            ray.get(actor.__ray_ready__.remote(), timeout=max(0.1, deadline - time.monotonic()))


def _end_task(items: ray.ObjectRefGenerator) -> None:
    """Ends a task, if it has not ended: first by asking, then by killing its process. Returns when it is gone."""
    ended = items.completed()
    for force in (False, True):
        if ray.wait([ended], timeout=0)[0]:
            return
        ray.cancel(items, force=force)
        ray.wait([ended], timeout=END_SECONDS / 2)


def _items(function: Callable[..., Iterator[Any]], arguments: tuple) -> Iterator[tuple[Any, Usage]]:
    """What a function yields, each with what this process takes then."""
    forget_peak()  # the process may have done other work before
    for item in function(*arguments):
        yield item, own_usage()


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
