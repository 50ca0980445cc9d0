"""Clusters that this process joins, and those that it starts on this machine and ends by their handles, which leaves
other Rays alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import ray
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.utils import write_ray_address

from cluster.authentication import knock, showing_token, wanting_token, where_from
from cluster.resources import ResourceError, refuse_unreachable

END_SECONDS = 10.0
"""How long the processes of a cluster may take to end after they were told to."""

HOST = "127.0.0.1"
"""Where the dashboard of a cluster for trying things out listens, and nowhere else."""


@dataclass(frozen=True)
class OwnCluster:
    """A cluster that this process started.

    Attributes:
        address: Of its head, for those who join it.
        dashboard: The URL for those who submit jobs.
        token: Where its token lies, in words: a path or the name of a variable.
        fresh: Whether the token was made for it, and ends with it.
    """

    address: str
    dashboard: str
    token: str
    fresh: bool


@contextmanager
def own_cluster(cpus: int) -> Iterator[None]:
    """A cluster of one node that this process is connected to. It wants a token, and ends with the block, and with this
    process, whatever ends that."""
    with _ours():
        try:
            ray.init("local", num_cpus=cpus, include_dashboard=False, logging_level="error", log_to_driver=False)
            yield
        finally:
            with _all_gone():
                ray.shutdown()


@contextmanager
def joined(address: str) -> Iterator[None]:
    """A cluster that is there, to which this process is connected while the block lasts. It is shown the user's token.

    Args:
        address: `HOST:PORT` of its head, or `auto`.

    Raises:
        ResourceError: Nothing answers there, it is no Ray, or it refuses our token or the lack of one.
    """
    refuse_unreachable(address)
    with showing_token():
        found = knock(address)
        try:
            ray.init(address=found, logging_level="error", log_to_driver=False)
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise ResourceError(f"no Ray cluster answers at {address}: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def cluster_for_jobs(cpus: int) -> Iterator[OwnCluster]:
    """A cluster of one node with a dashboard, to which jobs can be submitted; they find the Python of this process as
    `python`. It ends as the other does, and its logs are gone with it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with TemporaryDirectory(prefix="cv-") as folder, _ours() as fresh:  # short: the names of sockets are below it
        settings = RayParams(
            num_cpus=cpus,
            include_dashboard=True,
            dashboard_host=HOST,
            dashboard_port=None,  # 8265, or the next that is free
            dashboard_agent_listen_port=0,  # `ray.init` takes 52365, and where it is taken no job can be submitted
            temp_dir=folder,
        )
        node = Node(settings, head=True, shutdown_at_exit=False, spawn_reaper=True)
        try:
            # What starts a job looks for its cluster here, and else takes any that this machine runs.
            write_ray_address(node.gcs_address, folder)
            yield OwnCluster(node.gcs_address, f"http://{node.webui_url}", where_from(), fresh is not None)
        finally:
            with _all_gone():
                node.kill_all_processes(check_alive=False, allow_graceful=True)


@contextmanager
def _ours() -> Iterator[Path | None]:
    """What each Ray of our own is started with; yields the file of a fresh token, if one was made."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with wanting_token() as fresh:
        yield fresh


@contextmanager
def _all_gone() -> Iterator[None]:
    """Waits for all processes of ours that Ray may have started; some follow the others into their end."""
    below = psutil.Process().children(recursive=True)
    yield
    psutil.wait_procs(below, timeout=END_SECONDS)
