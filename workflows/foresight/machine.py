"""What there is: memory, GPUs, disk, and how fast this machine moves numbers through a store."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.storage import store
from pipeline.storage.make import Storage, make
from pipeline.storage.means import Means
from pipeline.volume import AXES, DATA
from workflows.foresight.kept import Kept

LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""What a container may take, and takes."""


def free_memory() -> float:
    """Bytes that processes of this machine may still take."""
    found = [float("inf")]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(1024.0 * int(lines["MemAvailable"].split()[0]))
    except (OSError, KeyError):
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for limit, current in LIMITS:
        try:
            found.append(float(Path(limit).read_text()) - float(Path(current).read_text()))
        except (OSError, ValueError):  # no container, or one without a limit: "max"
            continue
    return min(found)


def free_disk(folder: Path) -> float:
    """Bytes that are free where a folder is or will be."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return float(shutil.disk_usage(there).free)


@dataclass(frozen=True)
class Rates:
    """Bytes a second, uncompressed, that one process reads from a store, and reads from one and writes to another."""

    read: float
    write: float


TRIAL = (64, 1, 1, 256, 512)
"""The volume that is written and read to measure them: 34 MB."""


def rates(kept: Kept) -> Rates:
    """Measured once, in about a second."""

    def measure() -> dict[str, float]:
        values = np.random.default_rng(0).standard_normal(TRIAL, np.float32)
        volume = xr.Dataset({DATA: (AXES, values)})
        with tempfile.TemporaryDirectory() as folder:
            path, begun = Path(folder) / "trial.zarr", time.perf_counter()
            for _ in make({None: volume}, path, Storage(), Means(), {"made_by": "a trial"}):
                pass
            written = time.perf_counter()
            store.read_frames(path, None, 0, TRIAL[0])
            read = time.perf_counter()
        return {"read": values.nbytes / (read - written), "write": values.nbytes / (written - begun)}

    return Rates(**kept.get("rates", {"trial": TRIAL}, measure))
