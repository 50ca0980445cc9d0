"""The command `chronovox`. Heavy imports wait until a command needs them, so that help is there at once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from workflows import clusters
from workflows.archives import export, ingest
from workflows.cancelling import cancel
from workflows.doctor.command import doctor
from workflows.executors import make_executor
from workflows.init.command import init
from workflows.jobs import list_runs, logs, status, submit
from workflows.looking import view
from workflows.models import export_model, import_model
from workflows.options import (
    Changes,
    Cut,
    Memory,
    Precision,
    Recipe,
    Way,
    Where,
    Workers,
    counts,
    listed,
    numbers,
    size,
    words,
)
from workflows.planning import plan
from workflows.recipe_commands import check, schema
from workflows.showing import closing_on_signals
from workflows.stores import rechunk, repair, verify
from workflows.watching import board

app = typer.Typer(
    help="Convolutional state-space models over 4D archives, on Ray, resumable from Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def chronovox() -> None:
    pass


@app.command()
def run(
    recipe: Recipe,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    executor: Annotated[Where, typer.Option(help="Where stages run: on Ray, or in this process.")] = Where.ray,
    workers: Workers = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The Ray cluster to join; by default one is started on this machine.",
            show_default=False,
        ),
    ] = None,
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
    from workflows.display import display
    from workflows.load import load
    from workflows.plan import REPORT
    from workflows.planning import foretold
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


@app.command("verify-scan")
def verify_scan(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A prepared or raw Zarr store, the folder of its stage or run, or a NetCDF file.",
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="A trained model: its checkpoint, or the folder of its stage or run.", show_default=False),
    ] = None,
    decay: Annotated[float | None, typer.Option(help="Instead of a model: decay a step.", show_default=False)] = None,
    diffusivity: Annotated[
        float | None, typer.Option(help="Beside --decay: voxels^2 a step; by default 0.", show_default=False)
    ] = None,
    velocity: Annotated[
        tuple | None,
        listed(numbers, "V,V,...", "Beside --decay: voxels a step along each axis; by default 0."),
    ] = None,
    kernel: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a model: the taps of a convolution a step, a .npy file of (channel or 1, *K).",
            show_default=False,
        ),
    ] = None,
    boundary: Annotated[
        tuple | None,
        listed(
            words,
            "NAME,...",
            "Beside --decay or --kernel: periodic, reflect, dirichlet, padded or padded:24 for each axis; by "
            "default what the data call for.",
        ),
    ] = None,
    unit_days: Annotated[
        float | None,
        typer.Option(
            help="Beside --decay or --kernel: the days of one step of the transition; frames are then as far apart as "
            "their calendar says. By default each frame is one step.",
            show_default=False,
        ),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="The series of a prepared store, if it has several.", show_default=False)
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="The variable of a file, if it has several.", show_default=False)
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="The first frame.")] = 0,
    frames: Annotated[
        int | None, typer.Option(min=2, help="How many frames; by default 36, or all.", show_default=False)
    ] = None,
    crop: Annotated[
        tuple | None,
        listed(counts, "N,...", "Keep the middle N voxels of each axis: the plain recurrence is slow. By default all."),
    ] = None,
    dtype: Annotated[Precision, typer.Option(help="The precision of the scans.")] = Precision.float32,
    trials: Annotated[int, typer.Option(min=1, help="Random cuts of each way.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the cuts.")] = 0,
) -> None:
    """Compare scans of your own data, cut in many ways, with the plain float64 recurrence. Exit code 1: they differ."""
    import torch

    from pipeline.certify import certify, model_scans, transition_scan
    from pipeline.piece import read_piece
    from pipeline.transitions import propagator, read_kernel
    from workflows.certificate import heading, verdict

    given = {"--model": model, "--decay": decay, "--kernel": kernel}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --model, --decay and --kernel: what is to be scanned with")
    beside = {"--diffusivity": diffusivity, "--velocity": velocity}
    if decay is None:
        beside |= {"--boundary": boundary, "--unit-days": unit_days} if model is not None else {}
        stray = [name for name, value in beside.items() if value is not None]
        if stray:
            raise typer.BadParameter(
                f"{', '.join(stray)} beside {chosen[0]}, which has its own; leave it out, or give --decay"
            )

    piece = read_piece(data, series=series, variable=variable, start=start, frames=frames, crop=crop or ())
    precision = getattr(torch, dtype)
    if model is not None:
        name, scans = model_scans(piece, model, dtype=precision)
        what = {"model": name}
    else:
        transition = propagator(decay, diffusivity or 0.0, velocity) if kernel is None else read_kernel(kernel)
        words_for = describe(decay, diffusivity, velocity) if kernel is None else f"the kernel of {kernel}"
        unit = f" for every {unit_days:g} days" if unit_days else ""
        what = {"transition": words_for + unit}
        scans = [transition_scan(piece, transition, boundary=boundary, unit_days=unit_days, dtype=precision)]
    if piece.begins:
        first = ", ".join(str(start + t) for t in piece.begins)
        what["runs"] = f"{len(piece.begins) + 1}, each begins from a state of zero (frames {first})"
    heading(
        {"data": piece.source, "piece": piece.extent}
        | what
        | {"boundary": ", ".join(scans[0].boundary), "trials": f"{trials} of each random way, in {dtype}"}
    )
    if not verdict(certify(scans, trials=trials, seed=seed)):
        raise typer.Exit(1)


RECIPES = (init, check, schema, plan, board)
JOBS = (submit, status, logs, cancel)
STORES = (ingest, export, export_model, import_model, rechunk, verify, repair, view)

for command in (*RECIPES, *JOBS, *STORES, doctor):
    app.command()(command)
app.command("list")(list_runs)
app.add_typer(clusters.app, name="cluster")


@app.command()
def scan(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN.zarr",
            help="A store with an array data (time, channel, depth, height, width).",
            show_default=False,
        ),
    ],
    destination: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="The result.", show_default=False)],
    decay: Annotated[float, typer.Option(help="Decay a unit of time.", show_default=False)],
    diffusivity: Annotated[float, typer.Option(help="Voxels^2 a unit of time.")] = 0.0,
    velocity: Annotated[
        tuple | None,
        listed(
            numbers, "V,V,V", "Voxels a unit of time along depth, height, width (images: height, width); by default 0."
        ),
    ] = None,
    boundary: Annotated[
        tuple | None,
        listed(
            words,
            "NAME,...",
            "periodic, reflect, dirichlet, padded or padded:24 for each axis; by default what the data call for.",
        ),
    ] = None,
    dt: Annotated[float, typer.Option(help="The time between frames.")] = 1.0,
    dt_from_time: Annotated[
        bool, typer.Option("--dt-from-time", help="Instead: differences of the coordinate time over their median.")
    ] = False,
    join_runs: Annotated[
        bool,
        typer.Option(
            "--join-runs",
            help="Go on across the borders of runs, which the coordinate run tells. By default each begins from zero.",
        ),
    ] = False,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Frames of a stored chunk; by default such that it is as large as the input's.",
            show_default=False,
        ),
    ] = None,
    carry_tolerance: Annotated[
        float, typer.Option(help="Leave out of the carries what matters less than this; 0 is exact.")
    ] = 0.0,
    memory: Annotated[str, typer.Option(help="What each worker may take, as in 800MB or 2GB.")] = "1GB",
    executor: Annotated[Where, typer.Option(help="Where it runs: on Ray, or in this process.")] = Where.ray,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers; by default one a GPU, or one a CPU slot.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a worker.")] = 1,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The Ray cluster to join; by default one is started on this machine.",
            show_default=False,
        ),
    ] = None,
    cut: Annotated[Cut, typer.Option(help="What is divided over the workers.")] = Cut.auto,
    exchange: Annotated[Way, typer.Option(help="How carries pass between workers.")] = Way.auto,
) -> None:
    """Scan an archive: h_t = A * h_(t-1) + x_t with A decay, diffusion and drift; no training. Started again after a
    kill, the same command continues; started again when IN has more frames, it scans those and adds them to OUT."""
    from pipeline.filter import FilterJob, FilterSettings
    from workflows.display import display
    from workflows.filtering import run_filter

    settings = FilterSettings(
        decay,
        diffusivity,
        velocity,
        boundary,
        dt,
        dt_from_time=dt_from_time,
        join_runs=join_runs,
        chunk=chunk,
        carry_tolerance=carry_tolerance,
    )
    job = FilterJob(settings, source, destination, threads=threads, memory=size(memory))
    screen, place = display(), make_executor(executor, workers, address)
    with closing_on_signals(screen, place):
        run_filter(job, place, screen, cut=cut, exchange=exchange)


def describe(decay: float, diffusivity: float | None, velocity: tuple | None) -> str:
    """The propagator that the options give, in words."""
    drift = f", velocity {', '.join(f'{v:g}' for v in velocity)}" if velocity else ""
    return f"decay {decay:g}, diffusivity {diffusivity or 0:g}{drift}"


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
    from workflows.load import RecipeError
    from workflows.run import RunRefused

    if isinstance(error, InputError | RecipeError | ResourceError | RunRefused):
        return 2
    return 1 if isinstance(error, WorkerLost | StoreError) else None


if __name__ == "__main__":
    main()
