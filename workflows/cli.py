"""The command `chronovox`. Heavy imports wait until a command needs them, so that help is there at once."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Convolutional state-space models over 4D archives, on Ray, resumable from Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Recipe = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Replace a setting of the recipe.", show_default=False),
]


class Where(StrEnum):
    ray = "ray"
    local = "local"


@app.callback()
def chronovox() -> None:
    pass


@app.command()
def run(
    recipe: Recipe,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    executor: Annotated[Where, typer.Option(help="Where stages run: on Ray, or in this process.")] = Where.ray,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Workers that time is cut over; by default one a GPU, or one a CPU slot.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster to join; by default one is started on this machine.", show_default=False),
    ] = None,
    changes: Changes = None,
) -> None:
    """Run a recipe. Finished stages are skipped; after a kill the same command continues."""
    from workflows.display import display
    from workflows.load import load
    from workflows.run import run as run_workflow

    workflow = load(recipe, changes or ())
    screen, place = display(), make_executor(executor, workers, address)
    try:
        folders = run_workflow(workflow, runs, place, screen)
    except KeyboardInterrupt:
        screen.close()
        typer.echo("interrupted; run the same command again to continue", err=True)
        raise typer.Exit(130) from None
    finally:
        screen.close()
        place.close()
    for name, folder in folders.items():
        for result in ("report.html", "scores.json"):
            if (folder / result).exists():
                typer.echo(f"{name}: {folder / result}")


@app.command()
def check(recipe: Recipe, changes: Changes = None) -> None:
    """Check a recipe and list its stages, without running anything."""
    from workflows.load import load

    for stage in load(recipe, changes or ()).ordered():
        inputs = f" from {', '.join(stage.inputs.values())}" if stage.inputs else ""
        typer.echo(f"{stage.name}: {stage.kind.name}{inputs}")


def make_executor(where: Where, workers: int | None, address: str | None):
    """The executor that the options ask for."""
    if where is Where.local:
        if address:
            raise typer.BadParameter("--address joins a Ray cluster; use it with --executor ray")
        from cluster.local import LocalExecutor

        return LocalExecutor(workers)
    from cluster.ray_executor import RayExecutor

    return RayExecutor(address, workers=workers)


def main() -> None:
    """Runs the command line: a user's mistake is one message and exit code 2, a bug is a traceback."""
    try:
        app()
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"chronovox: {error}", err=True)
        sys.exit(code)


def exit_code(error: Exception) -> int | None:
    """2 for what the user can mend, 1 for a worker lost on the way, `None` for a bug."""
    from cluster.executor import WorkerLost
    from cluster.resources import ResourceError
    from pipeline.volume import InputError
    from workflows.load import RecipeError
    from workflows.run import RunRefused

    if isinstance(error, InputError | RecipeError | ResourceError | RunRefused):
        return 2
    return 1 if isinstance(error, WorkerLost) else None
