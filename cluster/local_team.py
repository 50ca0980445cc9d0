"""Workers that train together on this machine without Ray: processes that find each other through a file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch.distributed as dist

from cluster.mail import CONTINUE, WorkerLost
from cluster.torch_transport import Member
from cluster.usage import Usage, own_usage

START_SECONDS = 120.0
"""How long processes may take to meet."""

END_SECONDS = 10.0
"""How long a process may take to end once it was told to."""

REASON_SECONDS = 2.0
"""When a worker has lost its neighbour: how long the neighbour may take to say why."""


def team_of_processes(
    function: Callable[..., Iterator[Any]], arguments: tuple, *, data: int, time: int, seconds: float
) -> Iterator[tuple[Any, Usage]]:
    """Runs `function(member, *arguments)` in data * time new processes; yields what the first one's yields, with what
    that process takes then.

    All of them have ended when this ends, however it ends.

    Raises:
        WorkerLost: A process died, or none said anything for `seconds`.
        Exception: What a process raised; the loss of a neighbour counts only if nobody raised anything else.
    """
    context, size = multiprocessing.get_context("spawn"), data * time
    with tempfile.TemporaryDirectory() as folder:
        processes, pipes = [], []
        try:
            for rank in range(size):
                ours, theirs = context.Pipe(duplex=False)
                call = (theirs, Path(folder) / "meet", rank, data, time, seconds, function, arguments)
                processes.append(context.Process(target=_work, args=call, name=f"worker {rank}", daemon=True))
                processes[-1].start()
                theirs.close()  # so that a process that ends is seen to end
                pipes.append(ours)
            yield from _listen(pipes, seconds)
        finally:
            _end(processes)
            for pipe in pipes:
                pipe.close()


def _listen(pipes: list[Connection], seconds: float) -> Iterator[tuple[Any, Usage]]:
    """What the first process yields, until all are done."""
    open_pipes, lost = list(pipes), None
    while open_pipes:
        limit = seconds + START_SECONDS  # a worker that waited for another says more, so it may speak first
        ready = wait(open_pipes, timeout=REASON_SECONDS if lost else limit)
        if not ready:
            raise lost or WorkerLost(f"no worker said anything for {limit:.0f} s; {CONTINUE}")
        for pipe in ready:
            try:
                kind, what = pipe.recv()
            except EOFError:
                lost = lost or WorkerLost(f"worker {pipes.index(pipe)} of {len(pipes)} died; {CONTINUE}")
                open_pipes.remove(pipe)
                continue
            if kind == "item":
                yield what
            elif kind == "done":
                open_pipes.remove(pipe)
            elif isinstance(what, WorkerLost):  # somebody else failed first, and will say so
                lost = lost or what
                open_pipes.remove(pipe)
            else:
                raise what
    if lost:
        raise lost


def _work(
    pipe: Connection, meet: Path, rank: int, data: int, time: int, seconds: float, function: Callable, arguments: tuple
) -> None:
    """The life of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it decides
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        limit = timedelta(seconds=max(seconds, START_SECONDS))
        store = dist.FileStore(str(meet), data * time)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=data * time, timeout=limit)
        for item in function(Member.of_mesh(data=data, time=time, seconds=seconds), *arguments):
            if rank == 0:
                pipe.send(("item", (item, own_usage())))
        pipe.send(("done", None))
        dist.destroy_process_group()
    except Exception as error:
        error.add_note(traceback.format_exc())
        pipe.send(("failed", error))


def _follow_parent() -> None:
    """Ends this process as soon as the one that started it has ended, killed or not."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _end(processes: list[multiprocessing.Process]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join(END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join(END_SECONDS)
        process.close()
