"""The command `doctor`: each check by table with facts that are given, none for ever, none with a traceback."""

import json
import math
import os
import threading
from dataclasses import replace

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from cluster.probe import Answer, Node
from workflows.cli import app
from workflows.doctor import command, machine, packages, storage
from workflows.doctor.cluster import of_answer, token
from workflows.doctor.finding import Check, Finding, State, bounded, ok
from workflows.doctor.machine import Machine
from workflows.doctor.packages import Asked, Gpus, Torch

GB = 1e9
FINE = Machine(
    cpus=8, allowed=8, quota=math.inf, memory=32 * GB, available=30 * GB, limit=math.inf, used=0.0, shared=16 * GB,
    shared_free=16 * GB, files=(65536.0, 65536.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("check", "change", "state", "told"),
    [
        (machine.cpus, {}, "ok", "8"),
        (machine.cpus, {"quota": 2.5}, "warning", "--workers 2"),
        (machine.cpus, {"allowed": 2}, "ok", "2 granted, of 8"),
        (machine.memory, {}, "ok", "30.0 GB free of 32.0 GB"),
        (machine.memory, {"limit": 4 * GB, "used": 1 * GB}, "warning", "3.0 GB free"),
        (machine.memory, {"available": 0.5 * GB}, "failed", "ask for more"),
        (machine.shared_memory, {"shared": 64e6, "shared_free": 64e6}, "warning", "--shm-size=10g"),
        (machine.shared_memory, {"limit": 2 * GB, "shared_free": 0.7 * GB}, "ok", "Ray wants 0.6 GB"),
        (machine.shared_memory, {"shared": None}, "ok", "no /dev/shm"),
        (machine.open_files, {"files": (1024.0, 1048576.0)}, "warning", "ulimit -n 65536"),
        (machine.open_files, {"files": (1024.0, 1024.0)}, "warning", "limits.conf"),
        (machine.open_files, {"files": (math.inf, math.inf)}, "ok", "no limit"),
    ],
)
def test_what_a_machine_grants(check, change, state, told):
    found = check(replace(FINE, **change))
    assert found.state == state
    assert told in found.found + found.remedy


def test_limits_of_control_groups(tmp_path):
    """The least of the group and those above it; version 1 says 'none' as -1, and as a number beyond all."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    own.write_text("0::/a/b\n")
    (inner / "cpu.max").write_text("max 100000\n")
    (root / "a" / "cpu.max").write_text("150000 100000\n")
    (inner / "memory.max").write_text("2000000000\n")
    (inner / "memory.current").write_text("500000000\n")
    (root / "a" / "memory.max").write_text("max\n")
    folders = machine.groups(root, own)
    assert machine.cpu_limit(folders) == 1.5
    assert machine.memory_limit(folders) == (2e9, 5e8)
    old = tmp_path / "old"
    files = {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000, "memory/memory.limit_in_bytes": 2**63 - 4096}
    for name, number in files.items():
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(f"{number}\n")
    folders = machine.groups(old, tmp_path / "nowhere")
    assert (machine.cpu_limit(folders), machine.memory_limit(folders)) == (math.inf, (math.inf, 0.0))
    (old / "cpu/cpu.cfs_quota_us").write_text("300000\n")
    assert machine.cpu_limit(folders) == 3.0


LINES = [
    "numpy<3,>=2.1",
    "ray[default]>=2.60",
    'nothing>9; python_version < "3"',
    'av>=18; extra == "video"',
    'pytest; extra == "test"',
    'chronovox[video]; extra == "test"',
]


def test_packages_against_their_bounds():
    wanted = packages.parsed(LINES, ">=3.11", ["video", "test"])
    assert wanted == Asked(
        ">=3.11", (Requirement("numpy<3,>=2.1"), Requirement("ray[default]>=2.60")), {"video": (Requirement(LINES[3]),)}
    )
    have = {"numpy": "3.0.1", "ray": "2.61.0"}
    bad, summary = packages.packages(wanted, have.get)
    assert (bad.state, bad.name, bad.remedy) == ("failed", "package numpy", "pip install 'numpy<3,>=2.1'")
    assert summary.found == "1 of 2 within their bounds"
    missing, _ = packages.packages(wanted, {"numpy": "2.2"}.get)
    assert (missing.found, missing.remedy) == ("not installed, wanted >=2.60", "pip install 'ray[default]>=2.60'")
    (video,) = packages.extras(wanted, have.get)
    assert (video.state, video.remedy) == ("ok", "if you need it: pip install 'chronovox[video]'")
    (video,) = packages.extras(wanted, {"av": "17.0"}.get)
    assert (video.state, video.found) == ("warning", "av 17.0, wanted >=18")
    assert packages.python_version("3.10.2", wanted).state == "failed"
    assert packages.python_version("3.14.0rc1", wanted).state == "ok"
    (unknown,) = packages.packages(None, have.get)
    assert unknown.state == "warning"


SMI = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-1)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-2)
"""


@pytest.mark.parametrize(
    ("torch", "gpus", "state", "told"),
    [
        (Torch("2.13.0+cpu"), None, "ok", "no NVIDIA driver"),
        (Torch("2.13.0+cpu"), Gpus(()), "ok", "no GPU"),
        (Torch("2.13.0+cu128", "12.8", 2), Gpus(("A100", "A100"), "12.8"), "ok", "uses 2 of 2 x A100"),
        (Torch("2.13.0+cpu"), Gpus(("A100",), "12.8"), "failed", "torch==2.13.0' --index-url https://download.pytorch.org/whl/cu128"),
        (Torch("2.13.0+cu130", "13.0", 0), Gpus(("A100",), "12.2"), "failed", "driver is older"),
    ],
)  # fmt: skip
def test_torch_against_the_gpus(torch, gpus, state, told):
    found = packages.torch_and_gpus(torch, gpus)
    assert found.state == state
    assert told in found.found + found.remedy


def test_what_nvidia_smi_says():
    names = ("NVIDIA A100-SXM4-80GB",) * 2
    assert packages.of_smi(SMI, "| NVIDIA-SMI 570.1   Driver Version: 570.1   CUDA Version: 12.8  |") == Gpus(
        names, "12.8"
    )


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    found = {one.name: one.state for one in storage.of_folder(tmp_path / "runs" / "deep")}
    assert {name: found[name] for name in ("renames", "locks")} == {"renames": "ok", "locks": "ok"}
    assert list(tmp_path.iterdir()) == []
    assert storage.disk(tmp_path, storage.Room(5e8, None)).state == "failed"
    assert storage.disk(tmp_path, storage.Room(5e9, None)).state == "warning"
    assert storage.inodes(tmp_path, storage.Room(5e8, 99)).state == "warning"


def test_locks_and_renames_that_do_not_hold_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "TRIES_LOCK", "")  # another process, which gets what it wants
    assert storage.locks(tmp_path).found.startswith("two processes get the same lock")

    def refuses(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", refuses)
    assert storage.renames(tmp_path).state == "failed"


def test_codecs_and_the_compiler(monkeypatch):
    assert {one.state for one in (*storage.codecs(), storage.compiler())} == {State.ok}
    from pipeline.storage import codecs

    monkeypatch.setattr(codecs, "named", lambda *_: 1 / 0)
    assert next(one.name for one in storage.codecs()) == "codec none"


def test_a_check_that_hangs_or_breaks_has_failed():
    (hung,) = bounded(Check("hangs", threading.Event().wait, 0.05))
    assert (hung.state, hung.found) == ("failed", "no answer within 0 s")
    (broken,) = bounded(Check("breaks", lambda: 1 / 0))
    assert (broken.state, broken.found) == ("failed", "ZeroDivisionError: division by zero")
    assert bounded(Check("fine", lambda: ok("fine", "yes"))) == [ok("fine", "yes")]


def test_the_token(tmp_path):
    assert token(None, {}).state == "ok"
    assert token("host:6379", {}).state == "warning"
    (tmp_path / "token").write_text("secret")
    given = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    assert token("host:6379", given).state == "ok"
    assert token("host:6379", given | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "no")}).state == "failed"
    held = token("host:6379", {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"})
    assert held.state == "ok"
    assert "secret" not in held.found


OWN = {"python": "3.11.7", "ray": "2.60.0", "numpy": "2.4.0"}
NODE = Node("one", OWN, skew=0.01, trip=0.1, sees=True)


@pytest.mark.parametrize(
    ("node", "name", "state", "told"),
    [
        (NODE, "clocks", "ok", "within"),
        (NODE, "shared folder", "ok", "all 2 nodes see"),
        (replace(NODE, skew=-4.0), "clocks", "warning", "-4.0 s off"),
        (replace(NODE, skew=4.0, trip=7.0), "clocks", "ok", "within"),
        (replace(NODE, sees=False), "shared folder", "failed", "not seen by one"),
        (replace(NODE, versions=OWN | {"ray": "2.59.0"}), "node one", "failed", "ray 2.59.0, here 2.60.0"),
        (replace(NODE, versions=OWN | {"numpy": ""}), "node one", "warning", "numpy missing, here 2.4.0"),
        (replace(NODE, problem="lost"), "node one", "failed", "lost"),
    ],
)
def test_nodes_of_a_cluster(node, name, state, told, tmp_path):
    answer = Answer(1.0, OWN, (node, replace(NODE, name="two")), {"CPU": 4.0, "memory": 1e9})
    found = {one.name: one for one in of_answer("host:6379", tmp_path, answer)}
    assert found["ray"].found == "at host:6379: 2 nodes, 4 CPU, in 1.0 s"
    assert found[name].state == state
    assert told in found[name].found


def test_no_cluster(tmp_path):
    (found,) = of_answer("host:6379", tmp_path, Answer(1.0, {}, problem="no answer within 120 s"))
    assert (found.state, "check the address" in found.remedy) == ("failed", True)


@pytest.mark.slow
def test_the_command_with_a_ray_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["ray"]["found"].startswith("starts on this machine"), found["ray"]
    assert done.exit_code == int(any(one["state"] == "failed" for one in found.values()))
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_and_plain_lines(monkeypatch):
    bad = Finding("disk", State.failed, "full", "make room")
    for finding, code in ((ok("disk", "empty"), 0), (bad, 1)):
        monkeypatch.setattr(command, "checks", lambda *_, one=finding: iter([Check("disk", lambda: one)]))
        done = CliRunner().invoke(app, ["doctor"])
        assert done.exit_code == code
    assert done.stdout.splitlines() == ["failed  disk: full", "        -> make room", "0 ok, 0 warnings, 1 failed"]


def test_an_address_where_nothing_listens(tmp_path):
    from workflows.doctor.cluster import of_cluster

    found = list(of_cluster("127.0.0.1:1", tmp_path))
    assert (found[-1].name, found[-1].state) == ("ray", "failed")
    assert "no Ray cluster answers at 127.0.0.1:1" in found[-1].found
