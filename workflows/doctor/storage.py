"""Whether the folder of the runs can hold them: room, renames that are atomic, locks; and whether codecs come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.doctor.finding import Finding, failed, ok, warning

GB = 1e9
LEAST_DISK, ENOUGH_DISK = 1 * GB, 20 * GB
ENOUGH_INODES = 100_000
"""A store of a large archive has tens of thousands of files."""

LOCK_SECONDS = 20.0

TRIES_LOCK = """
import sys
from filelock import FileLock, Timeout
try:
    FileLock(sys.argv[1], timeout=0).acquire()
except Timeout:
    sys.exit(3)
"""
"""Another process that wants a lock; it ends with 3 where it does not get it."""


@dataclass(frozen=True)
class Room:
    """What a file system has.

    Attributes:
        free: Bytes that may be written.
        inodes: Files that may be made; `None` where they are not counted.
    """

    free: float
    inodes: int | None


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def room_of(folder: Path) -> Room:
    """What the file system of a folder has left."""
    told = os.statvfs(folder)
    return Room(float(told.f_bavail) * told.f_frsize, int(told.f_favail) if told.f_files else None)


def disk(folder: Path, room: Room) -> Finding:
    """Free bytes."""
    found = f"{room.free / GB:.1f} GB free for {folder}"
    if room.free < LEAST_DISK:
        return failed("disk", found, "make room, or name another folder with --runs")
    if room.free < ENOUGH_DISK:
        return warning("disk", found, "a run writes about three times its archive (raw, prepared, prediction)")
    return ok("disk", found)


def inodes(folder: Path, room: Room) -> Finding:
    """Files that can still be made."""
    if room.inodes is None:
        return ok("inodes", f"not counted by the file system of {folder}")
    found = f"{room.inodes} more files can be made in {folder}"
    if room.inodes < ENOUGH_INODES:
        return warning("inodes", found, "remove old runs, or make fewer, larger files with a larger `shard` in ingest")
    return ok("inodes", found)


def of_folder(runs: Path) -> Iterator[Finding]:
    """Room, renames and locks where the runs are; what was tried is removed."""
    place = nearest(runs)
    room = room_of(place)
    yield disk(runs, room)
    yield inodes(runs, room)
    try:
        trial = Path(tempfile.mkdtemp(prefix=".chronovox-doctor-", dir=place))
    except OSError as error:
        remedy = f"make it writable, or name another folder with --runs ({error.strerror})"
        yield failed("runs folder", f"{place} cannot be written", remedy)
        return
    try:
        yield renames(trial)
        yield locks(trial)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def renames(trial: Path) -> Finding:
    """Whether files and folders take each other's names, as results and checkpoints do."""
    remedy = "name a folder on another file system with --runs; object stores mounted as folders do not rename"
    try:
        (trial / "old").write_text("old")
        (trial / "new").write_text("new")
        os.replace(trial / "new", trial / "old")
        (trial / "folder.partial").mkdir()
        (trial / "folder.partial" / "inside").write_text("inside")
        os.replace(trial / "folder.partial", trial / "folder")
        whole = (trial / "old").read_text() == "new" and (trial / "folder" / "inside").read_text() == "inside"
    except OSError as error:
        return failed("renames", f"{error.strerror} in {trial.parent}", remedy)
    if not whole or (trial / "new").exists():
        return failed("renames", f"names in {trial.parent} are not what they were set to", remedy)
    return ok("renames", f"files and folders are renamed whole in {trial.parent}")


def locks(trial: Path) -> Finding:
    """Whether a lock keeps another process out: two must not work on one run."""
    from filelock import FileLock

    remedy = "mount it with locks (NFS: version 4, without nolock), or name another folder with --runs"
    lock = FileLock(trial / "lock", timeout=LOCK_SECONDS)
    try:
        with lock:
            done = subprocess.run(
                [sys.executable, "-c", TRIES_LOCK, os.fspath(trial / "lock")],
                capture_output=True,
                text=True,
                timeout=LOCK_SECONDS,
                check=False,
            )
    except (OSError, NotImplementedError, subprocess.TimeoutExpired) as error:  # filelock 3 without flock
        return failed("locks", f"{type(error).__name__} in {trial.parent}: {error}", remedy)
    if done.returncode == 3:
        return ok("locks", f"hold in {trial.parent}")
    if done.returncode == 0:
        return failed("locks", f"two processes get the same lock in {trial.parent}", remedy)
    return failed("locks", f"not tried: {done.stderr.strip().splitlines()[-1:]}", remedy)


def codecs() -> Iterator[Finding]:
    """Whether what each compressor writes is read back, and zarrs reads it."""
    from pipeline.storage.trial import round_trips, zarrs_reads

    broken = round_trips()
    wrong = {name: why for name, why in broken.items() if why}
    for name, why in wrong.items():
        yield failed(f"codec {name}", why, "pip install --force-reinstall numcodecs zarr")
    yield ok("codecs", f"{len(broken) - len(wrong)} of {len(broken)} compressors give back what they were given")
    same = zarrs_reads()
    if same is None:
        yield ok(
            "zarrs", "not installed; stores are read by zarr-python", "twice as fast: pip install 'chronovox[fast]'"
        )
    elif same:
        yield failed("zarrs", same, "pip install --force-reinstall zarrs, or take it away with pip uninstall zarrs")
    else:
        yield ok("zarrs", "reads what was written")


def compiler() -> Finding:
    """Whether loops are compiled, and kept between processes."""
    import numpy as np

    from ssm_ops.compiled import recurrence

    spectra, state = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    recurrence(spectra, np.array([[-0.5, 0.0]], np.float32), state)
    if not np.allclose(state, [1.75, 1.75]):
        return failed("compiler", f"a compiled loop gave {state.tolist()}, expected [1.75, 1.75]", REINSTALL)
    place = cache_of(recurrence)
    if place is None:
        return warning(
            "compiler",
            "loops are compiled anew in each process: nowhere to keep them",
            "set NUMBA_CACHE_DIR to a folder that can be written",
        )
    return ok("compiler", f"numba compiles; kept in {place}")


REINSTALL = "pip install --force-reinstall numba llvmlite"


def cache_of(function: object) -> Path | None:
    """Where numba keeps a compiled function; `None` where it keeps none, or cannot write there."""
    place = getattr(getattr(function, "_cache", None), "cache_path", None)
    return Path(place) if place and os.access(place, os.W_OK) else None
