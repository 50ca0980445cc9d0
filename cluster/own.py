"""A Ray of our own on this machine: started, and ended by its handle, which leaves other Rays of the machine alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import ray
from ray._private.utils import write_ray_address

from cluster.authentication import wanting_token, where_from

END_SECONDS = 10.0
"""How long the processes of a cluster may take to end after they were told to."""

HOST = "127.0.0.1"
"""Where the dashboard of a cluster for trying things out listens, and nowhere else."""


@dataclass(frozen=True)
class OwnCluster:
    """A cluster that this process started.

    Attributes:
        address: Of its head, for those who join it.
        dashboard: The URL for those who submit jobs, if it has a dashboard.
        token: Where its token lies, in words: a path or the name of a variable.
        fresh: Whether the token was made for it, and ends with it.
    """

    address: str
    dashboard: str | None
    token: str
    fresh: bool


@contextmanager
def own_cluster(cpus: int, **options: Any) -> Iterator[OwnCluster]:
    """A cluster of one node that wants a token; `options` are those of `ray.init`. It ends with the block, and with
    this process, whatever ends that."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    before = psutil.Process().children()
    with wanting_token() as fresh:
        try:
            told = ray.init("local", num_cpus=cpus, logging_level="error", log_to_driver=False, **options).address_info
            dashboard = f"http://{told['webui_url']}" if told["webui_url"] else None
            yield OwnCluster(told["gcs_address"], dashboard, where_from(), fresh is not None)
        finally:
            below = [one for one in psutil.Process().children(recursive=True) if one not in before]
            ray.shutdown()
            psutil.wait_procs(below, timeout=END_SECONDS)  # some follow the others into their end


@contextmanager
def cluster_for_jobs(cpus: int) -> Iterator[OwnCluster]:
    """One with a dashboard, to which jobs can be submitted; they find the Python of this process as `python`. Its logs
    are gone with it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with (
        TemporaryDirectory(prefix="cv-") as folder,  # short: the names of sockets are below it
        own_cluster(cpus, include_dashboard=True, dashboard_host=HOST, _temp_dir=folder) as cluster,
    ):
        # What starts a job looks for its cluster here, and else takes any that this machine runs.
        write_ray_address(cluster.address, folder)
        yield cluster
