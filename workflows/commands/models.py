"""The commands that take trained models out and bring them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export_model(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A trained model: its checkpoint, or the folder of its stage or run.",
            show_default=False,
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DEST.safetensors", help="The file to be made.", show_default=False)
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at DEST.")] = False,
) -> None:
    """Write a trained model as a safetensors file: the best weights, the statistics, and how to build it."""
    from pipeline.model_file import export_model as write
    from pipeline.piece import find_store

    typer.echo(write(find_store(checkpoint, "checkpoint.zarr"), destination, overwrite=overwrite))


def import_model(
    source: Annotated[
        Path, typer.Argument(metavar="IN.safetensors", help="What export-model wrote.", show_default=False)
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DEST.zarr", help="The checkpoint to be made.", show_default=False)
    ],
) -> None:
    """Make a checkpoint of a file that export-model wrote; it forecasts to the same bits, and is not trained on."""
    from pipeline.model_file import import_model as read

    typer.echo(read(source, destination))
