"""A run: the stages of a workflow in order, finished ones skipped, each marked as done only when all of it is there."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from cluster import Executor
from pipeline.progress import Progress
from pipeline.storage.atomic import write_text
from workflows.events import Began, Ended, Event, Finished, Planned, Skipped, Started
from workflows.foresight.cost import Foreseen
from workflows.journal import Journal
from workflows.language.dump import dump
from workflows.measured import Measured, begin_anew
from workflows.mistakes import RecipeError
from workflows.plan import RECIPE, SUCCESS, PlannedStage, plan
from workflows.stopping import LOCK, Cancelled, Stop, stoppable
from workflows.workflow import Workflow

VERSIONS = ("chronovox", "torch", "ray", "zarr", "xarray", "dask", "numpy", "numba")


WITHOUT_SPAN = "run the recipe first, without --from and --to"


class RunRefused(ValueError):
    """The run cannot start: another process works on it, or its folder cannot be written."""


class Display(Protocol):
    """Where a run tells what happens, and in which stage."""

    def tell(self, stage: str | None, event: Event) -> None: ...


def run(
    workflow: Workflow,
    runs: Path,
    executor: Executor,
    display: Display,
    *,
    command: str = "",
    foreseen: Sequence[Foreseen] = (),
) -> dict[str, Path]:
    """Runs a workflow in the folder `runs/NAME` and returns the folder of each stage.

    A stage whose folder bears a success marker is skipped. An interrupted stage continues if it can and is made anew if
    not. A stage that fails leaves no half-made folder, unless it can continue from it. What happens is told to the
    display, and to the event log (`workflows.journal`) in the run's folder. The recipe as it is run is kept there, and
    however the run ends its report is written (`workflows.report`).

    Args:
        command: What was typed, for the log.
        foreseen: What the stages will take, to be set beside what they take.

    Raises:
        RunRefused: The folder cannot be made, or another process holds this run's lock; the lock of a dead process
            counts for nothing.
        Cancelled: A request ended the run (`workflows.stopping`); what was committed stands.
    """
    folder = (runs / workflow.name).resolve()  # workers may start elsewhere
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunRefused(f"{folder} cannot be made: {error.strerror}; choose another folder with --runs") from error
    with _alone(folder), stoppable(folder) as stop, _reported(folder), _told(folder, display, stop) as telling:
        planned = plan(workflow, folder)
        _keep_recipe(workflow, folder)
        telling.tell(None, beginning(workflow.name, planned, executor, command))
        costs = {one.name: asdict(one.cost) for one in foreseen if one.cost is not None}
        if costs:
            telling.tell(None, Planned(costs))
        for stage in planned:
            if stage.finished:
                telling.tell(stage.stage.name, Skipped())
            else:
                _run_stage(stage, executor, telling, stop, costs.get(stage.stage.name))
    return {stage.stage.name: stage.folder for stage in planned}


def beginning(name: str, planned: Sequence[PlannedStage], executor: Executor, command: str) -> Began:
    """What is told of a run when it begins."""
    stages = tuple(
        {
            "name": stage.stage.name,
            "kind": stage.stage.kind.name,
            "inputs": list(dict.fromkeys(stage.stage.inputs.values())),
            "folder": stage.folder.name,
            "finished": stage.finished,
        }
        for stage in planned
    )
    return Began(name, stages, command, executor.describe(), socket.gethostname(), os.getpid())


@dataclass(frozen=True)
class _Telling:
    """Tells several."""

    displays: tuple[Display, ...]

    def tell(self, stage: str | None, event: Event) -> None:
        for display in self.displays:
            display.tell(stage, event)


@contextmanager
def _told(folder: Path, display: Display, stop: Stop) -> Iterator[_Telling]:
    """The display and the run's event log; they are told how the run ended."""
    begun = time.monotonic()
    with closing(Journal.of_run(folder)) as journal:
        telling = _Telling((display, journal))

        def ended(how: str, why: str = "") -> None:
            telling.tell(None, Ended(how, round(time.monotonic() - begun, 3), why))

        try:
            yield telling
        except KeyboardInterrupt:
            ended("cancelled" if stop.wanted else "interrupted")
            if stop.wanted:
                raise Cancelled from None
            raise
        except BaseException as error:
            ended("failed", f"{type(error).__name__}: {error}")
            raise
        ended("finished")


def _keep_recipe(workflow: Workflow, folder: Path) -> None:
    """Writes the workflow as a recipe into the folder of its run, if a recipe can say it."""
    try:
        text = dump(workflow)
    except RecipeError:
        (folder / RECIPE).unlink(missing_ok=True)
        return
    write_text(folder / RECIPE, text)


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """When the block ends, however it does, the report of the run is written."""
    from workflows.report.page import write_report

    try:
        yield
    except BaseException:
        with suppress(OSError):  # a full disk may be what it failed of
            write_report(folder)
        raise
    write_report(folder)


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
            name, clock = stage.stage.name, time.monotonic()
            display.tell(name, Started(stage.stage.kind.name))
            for said in steps:
                display.tell(name, said)
            display.tell(name, Finished(time.monotonic() - clock))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the lock of a run."""
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise RunRefused(f"another process runs {folder}; wait for it, or choose another folder with --runs") from error


def _run_stage(planned: PlannedStage, executor: Executor, telling: _Telling, stop: Stop, cost: dict | None) -> None:
    name, kind, folder = planned.stage.name, planned.stage.kind, planned.folder
    if folder.exists() and not kind.resumes:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    tell = partial(telling.tell, name)
    tell(Started(kind.name))
    begin_anew()
    started, measured, first = datetime.now(UTC), Measured(executor, tell), None
    try:
        with closing(kind.run(planned.stage.settings, planned.inputs, folder, executor)) as steps:
            for said in steps:
                measured.hear(said)
                tell(said)
                if isinstance(said, Progress):
                    first = said.done if first is None else first
                    stop.obey()  # what is told is committed
    except BaseException:
        if not kind.resumes or all(path.name.startswith(".") for path in folder.iterdir()):
            shutil.rmtree(folder)
        raise
    finished = measured.finished()
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
        **asdict(finished),
        "foreseen": cost,
        "versions": {package: importlib.metadata.version(package) for package in (*VERSIONS, kind.distribution)},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    write_text(folder / SUCCESS, planned.fingerprint + "\n")
    tell(finished)
