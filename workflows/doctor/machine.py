"""What a machine grants: CPUs, memory, shared memory, open files. Facts are read by `here`; checks are of facts."""

from __future__ import annotations

import math
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.doctor.finding import Finding, failed, ok, warning

GB = 1e9

LEAST_MEMORY, ENOUGH_MEMORY = 1 * GB, 4 * GB
"""Below the first nothing runs; below the second small recipes do."""

STORE_SHARE, ENOUGH_STORE = 0.3, 2 * GB
"""Ray takes this share of the memory for its object store, in shared memory; so much of it is enough for most."""

OPEN_FILES = 4096
"""Ray's workers, Zarr's shards and a thousand NetCDF files are open at once."""

ROOT = Path("/sys/fs/cgroup")

UNLIMITED = 1 << 60
"""What cgroups of version 1 say where there is no limit is more than this."""


@dataclass(frozen=True)
class Machine:
    """Facts of a machine.

    Attributes:
        cpus: That the system has.
        allowed: That this process may run on.
        quota: CPUs that its control group grants, in fractions; infinite where there is no limit.
        memory, available: Bytes that the system has, and that are free to be taken.
        limit, used: Bytes that its control group grants, and takes; infinite and 0 where there is no limit.
        shared: Bytes of /dev/shm; `None` where there is none.
        shared_free: Bytes free there.
        files: Soft and hard limit of open files.
    """

    cpus: int
    allowed: int
    quota: float
    memory: float
    available: float
    limit: float
    used: float
    shared: float | None
    shared_free: float
    files: tuple[float, float]

    @property
    def granted(self) -> float:
        """CPUs."""
        return min(self.allowed, self.quota)

    @property
    def room(self) -> float:
        """Bytes that can be taken."""
        return min(self.available, self.limit - self.used)


def here() -> Machine:
    """This machine, and what of it this process is granted."""
    told = memory_told(Path("/proc/meminfo"))
    limit, used = memory_limit(groups())
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    return Machine(
        cpus=os.cpu_count() or 1,
        allowed=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        quota=cpu_limit(groups()),
        memory=told.get("MemTotal", math.nan),
        available=told.get("MemAvailable", math.inf),
        limit=limit,
        used=used,
        shared=None if shared is None else float(shared.total),
        shared_free=0.0 if shared is None else float(shared.free),
        files=tuple(
            math.inf if one == resource.RLIM_INFINITY else float(one)
            for one in resource.getrlimit(resource.RLIMIT_NOFILE)
        ),
    )


def memory_told(path: Path) -> dict[str, float]:
    """Bytes by name, of /proc/meminfo; nothing where there is none."""
    if not path.exists():
        return {}
    pairs = (line.split(":") for line in path.read_text().splitlines() if line.endswith("kB"))
    return {name: 1024.0 * float(value.split()[0]) for name, value in pairs}


def groups(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> list[Path]:
    """The folders of this process's control group and those above it, up to the root, which all limit it; of version 1
    those of the controllers."""
    lines = [line.split(":", 2) for line in own.read_text().splitlines()] if own.exists() else []
    found = []
    for _, controllers, path in lines:
        top = root if not controllers else root / controllers
        place = top / path.lstrip("/")
        while place.is_relative_to(top) and place != top:
            found.append(place)
            place = place.parent
        found.append(top)
    return [place for place in dict.fromkeys([*found, root, root / "cpu", root / "memory"]) if place.is_dir()]


def cpu_limit(folders: list[Path]) -> float:
    """CPUs that control groups grant (`cpu.max`, or `cpu.cfs_quota_us` of version 1); infinite without a limit."""
    found = [math.inf]
    for folder in folders:
        quota, period = None, None
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        elif (folder / "cpu.cfs_quota_us").is_file():
            quota, period = ((folder / f"cpu.cfs_{one}_us").read_text().strip() for one in ("quota", "period"))
        if quota is not None and period is not None and quota.lstrip("-").isdigit() and int(quota) > 0:
            found.append(int(quota) / int(period))
    return min(found)


def memory_limit(folders: list[Path]) -> tuple[float, float]:
    """Bytes that control groups grant, the least of all, and what is taken of it; infinite and 0 without a limit."""
    found = [(math.inf, 0.0)]
    for folder in folders:
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            text = (folder / limit).read_text().strip() if (folder / limit).is_file() else ""
            if text.isdigit() and int(text) < UNLIMITED:
                now = (folder / used).read_text().strip() if (folder / used).is_file() else "0"
                found.append((float(text), float(now)))
    return min(found, key=lambda pair: pair[0] - pair[1])


def cpus(machine: Machine) -> Finding:
    """CPUs granted, against what libraries count."""
    if machine.quota < machine.allowed:
        workers = max(1, int(machine.quota))
        return warning(
            "cpus",
            f"{machine.quota:g} granted by the control group, and libraries count {machine.allowed}",
            f"say --workers {workers} and set OMP_NUM_THREADS={workers}, or threads wait for each other",
        )
    if machine.allowed < machine.cpus:
        return ok("cpus", f"{machine.allowed} granted, of {machine.cpus} that the machine has")
    return ok("cpus", f"{machine.allowed}")


def memory(machine: Machine) -> Finding:
    """Memory that can be taken."""
    limited = f", limit of the control group {machine.limit / GB:.1f} GB" if math.isfinite(machine.limit) else ""
    found = f"{machine.room / GB:.1f} GB free of {machine.memory / GB:.1f} GB{limited}"
    if machine.room < LEAST_MEMORY:
        return failed("memory", found, "end what else runs, or ask for more: less than 1 GB holds no stage")
    if machine.room < ENOUGH_MEMORY:
        return warning("memory", found, "say --memory 750MB to ingest and run, and shorten `window` in train stages")
    return ok("memory", found)


def shared_memory(machine: Machine) -> Finding:
    """/dev/shm against what Ray's object store wants."""
    wants = STORE_SHARE * min(machine.memory, machine.limit)
    if machine.shared is None:
        return ok("shared memory", "no /dev/shm on this system; Ray keeps its objects in files")
    free, size = machine.shared_free / GB, machine.shared / GB
    found = f"{free:.2f} GB free of {size:.2f} GB in /dev/shm; Ray wants {wants / GB:.1f} GB"
    if machine.shared_free >= min(wants, ENOUGH_STORE):
        return ok("shared memory", found)
    return warning(
        "shared memory",
        found,
        f"start the container with --shm-size={max(1, math.ceil(wants / GB))}g (Kubernetes: an emptyDir of medium "
        "Memory at /dev/shm); else Ray keeps its objects in /tmp, which is slow",
    )


def open_files(machine: Machine) -> Finding:
    """The limit of open files."""
    soft, hard = machine.files
    if soft >= OPEN_FILES:
        return ok("open files", f"up to {soft:.0f}" if math.isfinite(soft) else "no limit")
    most = f"{min(hard, 65536):.0f}"
    remedy = f"ulimit -n {most}" if hard > soft else "let root raise nofile in /etc/security/limits.conf"
    return warning("open files", f"up to {soft:.0f}; with many workers and files {OPEN_FILES} are opened", remedy)


def of_machine() -> Iterator[Finding]:
    """All of it."""
    machine = here()
    for check in (cpus, memory, shared_memory, open_files):
        yield check(machine)
