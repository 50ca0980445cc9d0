"""The command that compares mixers on a user's own data."""

from __future__ import annotations

import itertools
import json as as_json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.executors import make_executor
from workflows.commands.options import (
    Address,
    Changes,
    Equal,
    Memory,
    Recipe,
    Where,
    Workers,
    counts,
    listed,
    numbers,
    words,
)
from workflows.commands.showing import closing_on_signals


def compare(
    recipe: Recipe,
    mixers: Annotated[
        tuple, listed(words, "NAME,...", "The models, of `chronovox mixers`; differences are from the first.")
    ],
    seeds: Annotated[
        tuple | None, listed(counts, "N,...", "Of the trainings, each model from each; by default 0,1,2.")
    ] = None,
    equal: Annotated[
        Equal,
        typer.Option(
            help="What the models have alike: parameters, those of the recipe's model; time, that of the first one's "
            "training; both; or nothing.",
        ),
    ] = Equal.parameters,
    rates: Annotated[
        tuple | None,
        listed(
            numbers,
            "RATE,...",
            "Learning rates to try with each model from the first seed, and to choose from by the smallest validation "
            "error; by default the recipe's.",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    executor: Annotated[Where, typer.Option(help="Where stages run: on Ray, or in this process.")] = Where.ray,
    workers: Workers = None,
    address: Address = None,
    memory: Memory = None,
    changes: Changes = None,
    json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON, an event a line.")] = False,
) -> None:
    """Train and score a recipe's model with several mixers, from several seeds, side by side.

    The recipe has one training and one evaluation. The run is called NAME-compare; stages of data that the recipe's own
    run has finished are taken as they are. By default channels, and states in proportion, are chosen so that all models
    have about the parameters of the recipe's; --equal also knows as many steps as take the time of the first. After a
    kill the same command continues.
    """
    from pipeline.training.guard import Diverged
    from workflows.comparison import PACE, Comparison, of_equal_time
    from workflows.display import SkipsOnce, display
    from workflows.foresight.models import parameters_on
    from workflows.language.load import load
    from workflows.plan import REPORT
    from workflows.run import run as run_workflow

    comparison = Comparison(load(recipe, changes or ()), mixers, seeds or (0, 1, 2), rates or ())
    taken = comparison.take_over(runs)
    if taken and not json:
        typer.echo(f"{', '.join(taken)}: taken from the run {comparison.workflow.name}")
    screen, place = display(json=json), make_executor(executor, workers, address, memory)
    command = shlex.join(["chronovox", *sys.argv[1:]])
    with closing_on_signals(screen, place):
        folders = run_workflow(comparison.data, runs, place, screen, command=command)
        prepared = folders[comparison.training.inputs["prepared"]]
        alike = equal in (Equal.parameters, Equal.both)
        trainings = comparison.trainings(parameters_on(prepared, comparison.training.settings) if alike else None)
        paced = comparison.paced(trainings)
        folders = run_workflow(paced, runs, place, screen, command=command)
        if equal in (Equal.time, Equal.both):
            paces = as_json.loads((folders[PACE] / "pace.json").read_text())
            trainings = of_equal_time(trainings, paces, comparison.mixers[0])
        screen = screen if json else SkipsOnce(screen, paced.stages)
        if rates:
            tried: dict[float, dict[str, Path]] = {rate: {} for rate in rates}
            for (rate, own), (mixer, training) in itertools.product(tried.items(), trainings.items()):
                typer.echo(f"{mixer}, learning rate {rate:g}", err=json)
                alone = comparison.tried({mixer: training}, paced, rate)
                try:
                    own |= run_workflow(alone, runs, place, screen, command=command)
                except Diverged as error:
                    typer.echo(f"{mixer}: a rate of {rate:g} is too high for it, {error}", err=json)
            trainings = comparison.with_best_rates(trainings, tried)
            chosen = ", ".join(f"{mixer} {training.learning_rate:g}" for mixer, training in trainings.items())
            typer.echo(f"learning rates chosen: {chosen}", err=json)
        run_workflow(comparison.whole(trainings, paced), runs, place, screen, command=command)
    if not json:
        typer.echo(f"report: {runs / comparison.name / REPORT}")
