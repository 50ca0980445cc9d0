"""The command `chronovox`. Heavy imports wait until a command needs them, so that help is there at once."""

from __future__ import annotations

import sys

import typer

from workflows.commands import clusters
from workflows.commands.archives import export, ingest
from workflows.commands.cancelling import cancel
from workflows.commands.comparing import compare
from workflows.commands.jobs import list_runs, logs, status, submit
from workflows.commands.looking import view
from workflows.commands.mixers import mixers
from workflows.commands.models import export_model, import_model
from workflows.commands.planning import plan
from workflows.commands.recipes import check, schema
from workflows.commands.run import run
from workflows.commands.scan import scan
from workflows.commands.stores import rechunk, repair, verify
from workflows.commands.verify_scan import verify_scan
from workflows.commands.watching import board
from workflows.doctor.command import doctor
from workflows.init.command import init

app = typer.Typer(
    help="Convolutional state-space models over 4D archives, on Ray, resumable from Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def chronovox() -> None:
    pass


RECIPES = (run, compare, init, check, schema, mixers, plan, board)
JOBS = (submit, status, logs, cancel)
STORES = (ingest, export, export_model, import_model, rechunk, verify, repair, view)

for command in (*RECIPES, *JOBS, *STORES, scan, verify_scan, doctor):
    app.command()(command)
app.command("list")(list_runs)
app.add_typer(clusters.app, name="cluster")


def main() -> None:
    """Runs the command line: a user's mistake is one message and exit code 2, a bug is a traceback."""
    try:
        app()
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo("\n".join([f"chronovox: {error}", *getattr(error, "__notes__", [])]), err=True)
        sys.exit(code)


def exit_code(error: Exception) -> int | None:
    """2 for what the user can mend, 1 for a worker or a store lost on the way, `None` for a bug."""
    from cluster.mail import WorkerLost
    from cluster.resources import ResourceError
    from pipeline.stream import StoreError
    from pipeline.volume import InputError
    from workflows.mistakes import RecipeError
    from workflows.run import RunRefused

    if isinstance(error, InputError | RecipeError | ResourceError | RunRefused):
        return 2
    return 1 if isinstance(error, WorkerLost | StoreError) else None


if __name__ == "__main__":
    main()
