"""The command that scans a store without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.executors import make_executor
from workflows.commands.options import Address, Cut, Way, Where, listed, numbers, size, words
from workflows.commands.showing import closing_on_signals


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
    address: Address = None,
    cut: Annotated[Cut, typer.Option(help="What is divided over the workers.")] = Cut.auto,
    exchange: Annotated[Way, typer.Option(help="How carries pass between workers.")] = Way.auto,
) -> None:
    """Scan an archive: h_t = A * h_(t-1) + x_t with A decay, diffusion and drift; no training. Started again after a
    kill, the same command continues; started again when IN has more frames, it scans those and adds them to OUT."""
    from pipeline.filter import FilterJob, FilterSettings
    from workflows.commands.filtering import run_filter
    from workflows.display import display

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
