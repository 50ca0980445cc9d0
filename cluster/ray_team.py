"""Workers that train together on Ray: Ray Train places them and lets them meet, a mailbox brings what the first says.

Ray Train runs in a task of its own, so that the driver can end it by that task's handle: a task that is cancelled has
Ray Train abort its run and give everything back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, TaskCancelledError

from cluster.mail import CONTINUE, WorkerLost
from cluster.resources import ResourceError, Slots
from cluster.usage import Usage, own_usage

START_SECONDS = 120.0
"""How long workers may take to find their places and to meet."""

END_SECONDS = 30.0
"""How long Ray Train may take to end what it started, before it is killed."""

LOOK_SECONDS = 0.5
"""How often Ray Train looks at its workers."""


class Mailbox:
    """What workers say, in order."""

    def __init__(self):
        self._items: asyncio.Queue = asyncio.Queue()

    async def put(self, kind: str, what: Any) -> None:
        await self._items.put((kind, what))

    async def take(self) -> tuple[str, Any]:
        return await self._items.get()


def team_on_ray(
    function: Callable[..., Iterator[Any]],
    arguments: tuple,
    *,
    data: int,
    time: int,
    slots: Slots,
    folder: Path,
    seconds: float,
) -> Iterator[tuple[Any, Usage]]:
    """Runs `function(member, *arguments)` in data * time workers of Ray Train; yields what the first one's yields, with
    what that worker takes then.

    Raises:
        ResourceError: The workers found no place.
        WorkerLost: A worker died, or none said anything for `seconds`.
        Exception: What a worker raised; the loss of a neighbour counts only if nobody raised anything else.
    """
    folder = folder / f".team-{uuid.uuid4().hex[:8]}"
    mailbox = ray.remote(Mailbox).options(num_cpus=0).remote()
    fit = ray.remote(max_calls=1)(_fit).options(num_cpus=0, max_retries=0)  # its process ends, and all it owns
    running = fit.remote(function, arguments, data, time, slots, str(folder), seconds, mailbox)
    try:
        begun, failure, waiting = False, None, [mailbox.take.remote(), running]
        while True:
            limit = seconds + START_SECONDS if begun else START_SECONDS
            done, _ = ray.wait(waiting, num_returns=1, timeout=limit)
            if not done and not begun:
                raise ResourceError(
                    f"{slots.workers} workers of {slots.cpus} CPUs and {slots.gpus} GPUs found no place within "
                    f"{limit:.0f} s; the cluster is busy: wait, or lower data_parallel or time_parallel"
                )
            if not done:
                raise WorkerLost(f"no worker said anything for {limit:.0f} s; {CONTINUE}")
            if done == [running]:
                waiting.remove(running)
                mailbox.put.remote("end", None)  # behind all that the workers said
                continue
            kind, what = ray.get(waiting[0])
            if kind == "end":
                break
            begun, waiting[0] = True, mailbox.take.remote()
            if kind == "item":
                yield what
            elif kind == "failed" and (failure is None or isinstance(failure, WorkerLost)):
                failure = what  # who lost a neighbour did not fail first
        _outcome(running, begun, failure)
    finally:
        _end(running)
        ray.kill(mailbox)
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(running: ray.ObjectRef, begun: bool, failure: Exception | None) -> None:
    """Raises what made the run fail, if it did."""
    try:
        ray.get(running, timeout=END_SECONDS)
    except RayError as error:
        if failure is not None:
            raise failure from error
        if not begun:
            raise RuntimeError(f"the workers could not start: {error}") from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise WorkerLost(f"a worker was lost: {reason}; {CONTINUE}") from error


def _end(running: ray.ObjectRef) -> None:
    """Ends the run, if it has not ended: first by asking, then by killing the task, whose actors die with it."""
    done, _ = ray.wait([running], timeout=0)
    for force in (False, True):
        if done:
            return
        try:
            ray.cancel(running, force=force)
        except (TaskCancelledError, ValueError):
            return
        done, _ = ray.wait([running], timeout=END_SECONDS)


def _fit(
    function: Callable,
    arguments: tuple,
    data: int,
    time: int,
    slots: Slots,
    folder: str,
    seconds: float,
    mailbox: ActorHandle,
) -> None:
    """One run of Ray Train, from start to end. Needs some seconds to import it."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(LOOK_SECONDS))
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    def loop() -> None:
        _work(function, arguments, data, time, seconds, mailbox)

    bundle = {"CPU": slots.cpus} | ({"GPU": slots.gpus} if slots.gpus else {})
    TorchTrainer(
        loop,
        scaling_config=ScalingConfig(
            num_workers=data * time,
            use_gpu=bool(slots.gpus),
            resources_per_worker=bundle,
            placement_strategy="PACK",
        ),
        torch_config=TorchConfig(timeout_s=int(max(seconds, START_SECONDS))),
        run_config=RunConfig(name="team", storage_path=folder),
    ).fit()


def _work(function: Callable, arguments: tuple, data: int, time: int, seconds: float, mailbox: ActorHandle) -> None:
    """The life of one worker."""
    import torch.distributed as dist

    from cluster.torch_transport import Member

    first = dist.get_rank() == 0
    try:
        ray.get(mailbox.put.remote("begun", None))
        for item in function(Member.of_mesh(data=data, time=time, seconds=seconds), *arguments):
            if first:
                ray.get(mailbox.put.remote("item", (item, own_usage())))
    except Exception as error:
        error.add_note(traceback.format_exc())
        ray.get(mailbox.put.remote("failed", error))
        raise
