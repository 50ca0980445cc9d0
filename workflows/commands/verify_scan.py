"""The command that compares scans of somebody's own data, cut in many ways, with the plain recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import Precision, counts, listed, numbers, words


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
    from workflows.commands.certificate import heading, verdict

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


def describe(decay: float, diffusivity: float | None, velocity: tuple | None) -> str:
    """The propagator that the options give, in words."""
    drift = f", velocity {', '.join(f'{v:g}' for v in velocity)}" if velocity else ""
    return f"decay {decay:g}, diffusivity {diffusivity or 0:g}{drift}"
