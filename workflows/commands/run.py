"""The command that runs a recipe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.executors import make_executor
from workflows.commands.options import Address, Changes, Memory, Recipe, Where, Workers
from workflows.commands.showing import closing_on_signals


def run(
    recipe: Recipe,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    executor: Annotated[Where, typer.Option(help="Where stages run: on Ray, or in this process.")] = Where.ray,
    workers: Workers = None,
    address: Address = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="YEAR|DATE",
            help="With --to: compute what forecasts are for this span of time again, in a run that exists, from the "
            "carry stored at its border; nothing before is read, nothing else changes.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="YEAR|DATE", help="The end of that span, included.", show_default=False),
    ] = None,
    memory: Memory = None,
    changes: Changes = None,
    json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON, an event a line.")] = False,
) -> None:
    """Run a recipe. Finished stages are skipped; after a kill the same command continues. A recipe in Python is run
    as a program: run only what you trust."""
    if (first is None) != (last is None):
        raise typer.BadParameter("--from and --to go together: give both years or dates, both are included")
    from workflows.commands.planning import foretold
    from workflows.display import display
    from workflows.language.load import load
    from workflows.plan import REPORT
    from workflows.run import run as run_workflow
    from workflows.run import run_span

    workflow = load(recipe, changes or ())
    screen, place = display(json=json), make_executor(executor, workers, address, memory)
    with closing_on_signals(screen, place):
        if first is not None:
            run_span(workflow, runs, place, screen, first, last)
            return
        foreseen = foretold(workflow, runs, place, quiet=json)
        command = shlex.join(["chronovox", *sys.argv[1:]])
        folders = run_workflow(workflow, runs, place, screen, command=command, foreseen=foreseen)
    if not json:
        for name, folder in folders.items():
            if (folder / "scores.json").exists():
                typer.echo(f"{name}: {folder / 'scores.json'}")
        typer.echo(f"report: {runs / workflow.name / REPORT}")
