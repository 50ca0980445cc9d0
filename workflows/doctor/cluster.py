"""Whether Ray starts, or a cluster answers, and whether its nodes fit together."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster.probe import Answer, ask
from cluster.resources import ResourceError, refuse_unreachable
from workflows.doctor.finding import Finding, failed, ok, warning
from workflows.doctor.storage import nearest

SECONDS = 120.0
"""How long a cluster may take to answer for all its nodes."""

SKEW = 1.0
"""Seconds that clocks may differ by: logs and manifests of nodes are read beside each other."""

SAME = ("python", "chronovox", "torch", "ray", "zarr")
"""What must not differ; other packages make a warning."""


def token(address: str | None, environment: Mapping[str, str]) -> Finding:
    """Whether this process would show a cluster its token."""
    mode = environment.get("RAY_AUTH_MODE", "")
    if mode == "token":
        if environment.get("RAY_AUTH_TOKEN"):
            return ok("token", "RAY_AUTH_MODE=token, the token is in RAY_AUTH_TOKEN")
        place = Path(environment.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
        if place.is_file():
            return ok("token", f"RAY_AUTH_MODE=token, the token is in {place}")
        return failed(
            "token",
            f"RAY_AUTH_MODE=token, and there is no token: {place} is not there",
            "set RAY_AUTH_TOKEN_PATH to the file with the token of the cluster, the same on its head, workers and "
            "clients",
        )
    if address is None:
        return ok("token", "not needed for a Ray that is started here")
    return warning(
        "token",
        f"RAY_AUTH_MODE is {mode or 'not set'}",
        "clusters that `ray start` makes want RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH; set them if this one does",
    )


def of_cluster(address: str | None, runs: Path) -> Iterator[Finding]:
    """Ray itself, and each node."""
    yield token(address, os.environ)
    try:
        refuse_unreachable(address or "")
    except ResourceError as error:
        yield failed("ray", str(error), "check the address and the firewall between here and there")
        return
    content = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix=".chronovox-doctor-", dir=nearest(runs)) as folder:
        file = Path(folder) / "seen"
        file.write_text(content)
        yield from of_answer(address, runs, ask(address, file, content, seconds=SECONDS))


def of_answer(address: str | None, runs: Path, answer: Answer) -> Iterator[Finding]:
    """What an answer means."""
    if answer.problem:
        remedy = (
            "look into the newest folder of /tmp/ray/session_*/logs; /tmp must be writable and have room"
            if address is None
            else "check the address, the token and the version of Ray on the head"
        )
        yield failed("ray", answer.problem, remedy)
        return
    counted = ", ".join(
        f"{value:g} {name}" for name, value in (answer.resources or {}).items() if name in ("CPU", "GPU")
    )
    where = "starts on this machine" if address is None else f"at {address}: {len(answer.nodes)} nodes, {counted}"
    yield ok("ray", f"{where}, in {answer.seconds:.1f} s")
    silent = [node for node in answer.nodes if node.problem]
    for node in silent:
        yield failed(
            f"node {node.name}", node.problem, "look into its log; take it out of the cluster, or start it anew"
        )
    said = [node for node in answer.nodes if not node.problem]
    if address is None or not said:
        return
    for node in said:
        odd = {
            name: (found, answer.versions.get(name, ""))
            for name, found in node.versions.items()
            if found != answer.versions.get(name, "")
        }
        if odd:
            told = ", ".join(
                f"{name} {found or 'missing'}, here {own or 'missing'}" for name, (found, own) in odd.items()
            )
            make = failed if set(odd) & set(SAME) else warning
            yield make(f"node {node.name}", told, "install the same versions there, or use one container image for all")
    unseeing = [node.name for node in said if not node.sees]
    if unseeing:
        remedy = "put --runs on a file system that all nodes mount at the same path"
        yield failed("shared folder", f"{runs} is not seen by {', '.join(unseeing)}", remedy)
    else:
        yield ok("shared folder", f"all {len(said)} nodes see {runs}")
    worst = max(said, key=lambda node: abs(node.skew))
    beyond = abs(worst.skew) - worst.trip / 2
    if beyond > SKEW:
        yield warning(
            "clocks", f"{worst.name} is {worst.skew:+.1f} s off", "let chrony or systemd-timesyncd set its clock"
        )
    else:
        yield ok("clocks", f"within {max(abs(worst.skew), worst.trip / 2):.2g} s")
