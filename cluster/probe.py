"""Whether Ray works here, or a cluster answers; and whether its nodes have one clock, one file system and one software.

`probe` runs in a process of its own (`python -m cluster.probe`), so that nothing that hangs or prints reaches whoever
asked; see `ask`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("chronovox", "torch", "ray", "zarr", "numpy", "numba")
"""What must be the same on all nodes: what is pickled, and what bits depend on."""

NODE_SECONDS = 30.0
"""How long a node may take to answer, or to start a worker for it."""

MARK = "chronovox-probe "
"""What the line with the answer begins with; libraries may print others."""


@dataclass(frozen=True)
class Node:
    """What one node said of itself.

    Attributes:
        name: Its host and address.
        versions: Of Python and packages by name; empty where one is not installed.
        skew: Seconds that its clock is ahead of the driver's; known to half of `trip`.
        trip: Seconds from asking to the answer.
        sees: Whether it reads the file that the driver wrote.
        problem: Why it said nothing; empty where it did.
    """

    name: str
    versions: dict[str, str]
    skew: float = 0.0
    trip: float = 0.0
    sees: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Answer:
    """What a probe found.

    Attributes:
        seconds: Until Ray was there.
        versions: Of the driver.
        nodes: All living nodes.
        resources: Of all of them together.
        problem: Why there is no cluster; empty where there is one.
    """

    seconds: float
    versions: dict[str, str]
    nodes: tuple[Node, ...] = ()
    resources: dict[str, float] | None = None
    problem: str = ""


def ask(address: str | None, file: Path, content: str, *, seconds: float) -> Answer:
    """Probes in another process, which is ended, with all that it started, where it takes longer.

    Args:
        address: The cluster to join; `None` starts a small one on this machine and ends it.
        file, content: What nodes should see, and what is in it.
        seconds: How long all of it may take.
    """
    given = json.dumps({"address": address, "file": os.fspath(file), "content": content})
    here = os.fspath(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster.probe", given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException as error:  # Ctrl-C does not reach a session of its own
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return Answer(seconds, {}, problem=f"no answer within {seconds:.0f} s")
    line = next((line for line in out.splitlines() if line.startswith(MARK)), None)
    if line is None:
        last = (err.strip() or out.strip() or f"exit code {process.returncode}").splitlines()[-1]
        return Answer(seconds, {}, problem=last)
    told = json.loads(line.removeprefix(MARK))
    return Answer(**told | {"nodes": tuple(Node(**one) for one in told["nodes"])})


def probe(address: str | None, file: str, content: str) -> Answer:
    """Starts or joins a cluster, and asks each living node."""
    import ray

    from cluster.connection import joined, own_cluster

    begun, own = time.monotonic(), versions(PACKAGES)
    with ExitStack() as ending:
        try:
            ending.enter_context(own_cluster(1) if address is None else joined(address))
        except Exception as error:  # Ray raises what its parts raise
            return Answer(time.monotonic() - begun, own, problem=_first_line(error))
        there = time.monotonic() - begun
        alive = [node for node in ray.nodes() if node["Alive"]]
        nodes = _asked(alive, file, content)
        return Answer(there, own, nodes, {name: float(value) for name, value in ray.cluster_resources().items()})


def _asked(alive: Sequence[dict[str, Any]], file: str, content: str) -> tuple[Node, ...]:
    """What each node says. The first answer waits for a worker to start; the clock is read from the second."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    wanted, told = PACKAGES, versions

    def look() -> dict[str, Any]:  # sent whole, as all of this program is: nodes may have none of our code
        import time
        from pathlib import Path

        place = Path(file)
        try:
            sees = place.read_text() == content
        except OSError:
            sees = False
        return {"versions": told(wanted), "sees": sees, "time": time.time()}

    found = []
    for node in alive:
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(num_cpus=0, max_retries=0)(look).options(scheduling_strategy=strategy)
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            ray.get(task.remote(), timeout=NODE_SECONDS)
            before = time.time()
            answer = ray.get(task.remote(), timeout=NODE_SECONDS)
            trip = time.time() - before
        except Exception as error:
            found.append(Node(name, {}, problem=_first_line(error)))
            continue
        skew = answer.pop("time") - before - trip / 2
        found.append(Node(name, **answer, skew=skew, trip=trip))
    return tuple(found)


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of Python and of packages; empty where one is not installed."""
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def main() -> None:
    """Prints the answer as one line of JSON."""
    print(MARK + json.dumps(asdict(probe(**json.loads(sys.argv[1])))), flush=True)


if __name__ == "__main__":
    main()
