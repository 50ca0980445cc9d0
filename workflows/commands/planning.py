"""The command `plan`, and what `run` does with it first: what a run will take, refused where it does not fit."""

from __future__ import annotations

import json as encoding
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands.executors import make_executor
from workflows.commands.options import Changes, Memory, Recipe, Where

if TYPE_CHECKING:
    from cluster import Executor
    from workflows.foresight.cost import Cost, Foreseen
    from workflows.workflow import Workflow


def plan(
    recipe: Recipe,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    executor: Annotated[Where, typer.Option(help="Where stages would run: on Ray, or in one process.")] = Where.ray,
    workers: Annotated[
        int | None, typer.Option(min=1, help="As for `run`; by default one a GPU or CPU slot.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The Ray cluster; by default this machine.", show_default=False),
    ] = None,
    memory: Memory = None,
    changes: Changes = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """What a run will take: chunks, workers, bytes, memory, time. Nothing is written. Exit code 2: it does not fit."""
    from workflows.commands.showing import closing_on_signals
    from workflows.foresight.table import show
    from workflows.language.load import load

    place = make_executor(executor, workers, address, memory)
    with closing_on_signals(place):
        foreseen, refuse = foreseen_run(load(recipe, changes or ()), runs, place)
        if json:
            typer.echo(encoding.dumps([asdict(one) for one in foreseen], indent=1))
        else:
            show(foreseen)
        refuse()


def foretold(workflow: Workflow, runs: Path, executor: Executor, *, quiet: bool = False) -> list[Foreseen]:
    """What `run` does first: foresees, says it in a line, and refuses what does not fit. Where a rehearsal fails the
    run goes on unforeseen: it may still be what was asked for.

    Raises:
        InputError, ResourceError: As for `foresee`, and for what does not fit.
    """
    from workflows.foresight.rehearsal import RehearsalFailed
    from workflows.foresight.table import summary

    try:
        foreseen, refuse = foreseen_run(workflow, runs, executor)
    except RehearsalFailed as failed:
        typer.echo(f"not foreseen: {failed}", err=True)
        return []
    refuse()
    if not quiet:
        typer.echo(f"plan: {summary(foreseen)}")
    return foreseen


def foreseen_run(workflow: Workflow, runs: Path, executor: Executor) -> tuple[list[Foreseen], Callable[[], None]]:
    """What the stages of a run will take, and a call that refuses what does not fit.

    Raises:
        InputError, ResourceError: As for `foresee`.
        RehearsalFailed: A bug, or a machine that is too small for a rehearsal.
    """
    from workflows.foresight.foresee import foresee
    from workflows.foresight.kept import Kept
    from workflows.foresight.limits import Limits, refuse_over_budget
    from workflows.plan import plan as planned

    folder, kept = (runs / workflow.name).resolve(), Kept()
    foreseen = foresee(planned(workflow, folder), executor, kept)

    def again(name: str, changes: Mapping[str, Any]) -> Cost:
        stage = workflow.stages[name]
        changed = replace(stage, settings=replace(stage.settings, **changes))
        stages = replace(workflow, stages=workflow.stages | {name: changed})
        return next(one.cost for one in foresee(planned(stages, folder), executor, kept) if one.name == name)

    return foreseen, lambda: refuse_over_budget(foreseen, Limits.found(executor, runs), again)
