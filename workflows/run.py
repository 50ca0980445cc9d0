"""A run: the stages of a workflow in order, finished ones skipped, each marked as done only when all of it is there."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from cluster import Executor
from pipeline.progress import Progress
from pipeline.storage.atomic import write_text
from workflows.plan import SUCCESS, PlannedStage, plan
from workflows.workflow import Workflow

VERSIONS = ("chronovox", "torch", "ray", "zarr", "xarray", "dask", "numpy", "numba")


WITHOUT_SPAN = "run the recipe first, without --from and --to"


class RunRefused(ValueError):
    """The run cannot start: another process works on it, or its folder cannot be written."""


class Display(Protocol):
    """Where a run tells what it does."""

    def skip(self, stage: str) -> None: ...
    def start(self, stage: str) -> None: ...
    def progress(self, progress: Progress) -> None: ...
    def finish(self, stage: str, seconds: float) -> None: ...


def run(workflow: Workflow, runs: Path, executor: Executor, display: Display) -> dict[str, Path]:
    """Runs a workflow in the folder `runs/NAME` and returns the folder of each stage.

    A stage whose folder bears a success marker is skipped. An interrupted stage continues if it can and is made anew if
    not. A stage that fails leaves no half-made folder, unless it can continue from it.

    Raises:
        RunRefused: The folder cannot be made, or another process holds this run's lock; the lock of a dead process
            counts for nothing.
    """
    folder = (runs / workflow.name).resolve()  # workers may start elsewhere
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(f"{folder} cannot be made: {error.strerror}; choose another folder with --runs") from error
    with _alone(folder):
        planned = plan(workflow, folder)
        for stage in planned:
            if stage.finished:
                display.skip(stage.stage.name)
            else:
                _run_stage(stage, executor, display)
    return {stage.stage.name: stage.folder for stage in planned}


def run_span(workflow: Workflow, runs: Path, executor: Executor, display: Display, first: str, last: str) -> None:
    """Computes a span of time again in every stage of a run that can, in place; nothing else of the run changes.

    Args:
        first, last: Years or ISO dates, both included.

    Raises:
        RunRefused: No stage can, one that could was never run as the recipe is now, or another process works on the
            run.
        InputError: What the stage has to say against it; nothing is written then.
    """
    folder = (runs / workflow.name).resolve()
    if not folder.exists():
        raise RunRefused(f"{folder} is not there: a span is computed again in a run that exists; {WITHOUT_SPAN}")
    with _alone(folder):
        spanned = [stage for stage in plan(workflow, folder) if stage.stage.kind.again is not None]
        if not spanned:
            raise RunRefused(f"no stage of {workflow.name} can compute a span of time again; an infer stage can")
        begun = []
        for stage in spanned:
            for needed in (stage.folder, *stage.inputs.values()):
                if not needed.exists() or (needed != stage.folder and not (needed / SUCCESS).exists()):
                    what = "is unfinished" if needed.exists() else "is not there"
                    raise RunRefused(
                        f"{needed} {what}: stage {stage.stage.name} was not run as the recipe is now; {WITHOUT_SPAN}"
                    )
            begun.append(
                stage.stage.kind.again(stage.stage.settings, stage.inputs, stage.folder, executor, first, last)
            )
        for stage, steps in zip(spanned, begun, strict=True):
            clock = time.monotonic()
            display.start(stage.stage.name)
            for progress in steps:
                display.progress(progress)
            display.finish(stage.stage.name, time.monotonic() - clock)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the lock of a run."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise RunRefused(f"another process runs {folder}; wait for it, or choose another folder with --runs") from error


def _run_stage(planned: PlannedStage, executor: Executor, display: Display) -> None:
    name, kind, folder = planned.stage.name, planned.stage.kind, planned.folder
    if folder.exists() and not kind.resumes:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    display.start(name)
    started, clock, first = datetime.now(UTC), time.monotonic(), None
    try:
        for progress in kind.run(planned.stage.settings, planned.inputs, folder, executor):
            first = progress.done if first is None else first
            display.progress(progress)
    except BaseException:
        if not kind.resumes or all(path.name.startswith(".") for path in folder.iterdir()):
            shutil.rmtree(folder)
        raise
    seconds = time.monotonic() - clock
    manifest = {
        "stage": name,
        "kind": kind.name,
        "package": kind.distribution,
        "version": kind.version,
        "fingerprint": planned.fingerprint,
        "settings": asdict(planned.stage.settings),
        "inputs": {role: path.name for role, path in planned.inputs.items()},
        "where": executor.describe() if kind.distributed else "the driver",
        "continued_from": first,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": {package: importlib.metadata.version(package) for package in (*VERSIONS, kind.distribution)},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    write_text(folder / SUCCESS, planned.fingerprint + "\n")
    display.finish(name, seconds)
