"""The commands that bring archives in and take results out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import (
    Chunk,
    Compressor,
    Format,
    Hands,
    Memory,
    Selected,
    ShardSize,
    Stacked,
    TimeAxis,
    Variable,
    pairs,
    span,
)


def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... DEST.zarr",
            help="Files, folders of files, or a store or its URL; and last the store to be made.",
            show_default=False,
        ),
    ],
    variable: Variable = None,
    select: Selected = None,
    channels: Stacked = "",
    time: TimeAxis = "",
    chunk: Chunk = None,
    shard: ShardSize = None,
    compressor: Compressor = "blosc-lz4",
    append: Annotated[
        bool, typer.Option("--append", help="Add the frames to those that the store holds already.")
    ] = False,
    memory: Memory = None,
    threads: Hands = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Record frames that cannot be read as missing, and list them.")
    ] = False,
) -> None:
    """Bring an archive into a Zarr store with the axes time, channel, depth, height, width. The format is found by
    content; what cannot be read leaves nothing behind. Started again after a kill, the same command continues."""
    import warnings

    from pipeline.archive import Ask, locate
    from pipeline.ingest import bring_in, told
    from pipeline.storage import store
    from pipeline.storage.make import Storage
    from pipeline.storage.means import Means
    from workflows.commands.showing import show

    if len(sources) < 2:
        raise typer.BadParameter("give what is to be read, and last the store to be made: SOURCE... DEST.zarr")
    *given, last = sources
    destination = Path(last)
    ask = Ask(variable or (), select or (), channels, time, skip_bad)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        paths = [locate(source, Path.cwd()) for source in given]
        steps = bring_in(
            paths, destination, ask, Storage.of(chunk, shard, compressor), Means(memory, threads), append=append
        )
        show("ingest", steps)
    for message in dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning):
        typer.echo(f"chronovox: {message}", err=True)
    for line in told(store.open_volume(destination), destination):
        typer.echo(line)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="STORE.zarr",
            help="A store that ingest, a scan or a recipe's stage wrote: raw.zarr, prediction.zarr.",
            show_default=False,
        ),
    ],
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DEST",
            help="The file to be made; its ending says the format: .nc, .nii, .nii.gz, .ome.zarr, .tif, .tiff, .mp4.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Format | None, typer.Option("--format", help="The format, whatever the ending says.", show_default=False)
    ] = None,
    series: Annotated[str, typer.Option(help="The series, where the store has several.", show_default=False)] = "",
    channel: Annotated[
        str, typer.Option(metavar="NAME", help="The one channel to write; by default all.", show_default=False)
    ] = "",
    select: Annotated[
        tuple | None,
        typer.Option(
            parser=pairs,
            metavar="AXIS=VALUE,...",
            help="What is taken of an axis: a value, or FIRST:LAST, both included, as in time=1990:1999,level=500.",
            show_default=False,
        ),
    ] = None,
    shown: Annotated[
        tuple | None,
        typer.Option(
            "--range",
            parser=span,
            metavar="LOW,HIGH",
            help="Of a movie: the values that are black and white; by default the smallest and the largest.",
            show_default=False,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Of a movie: frames a second; by default what the times say, or 10.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at DEST.")] = False,
) -> None:
    """Write a volume of a store as NetCDF, NIfTI, OME-Zarr, OME-TIFF or a movie. The file appears when it is whole;
    what a format cannot keep is told."""
    from pipeline.export import Wish
    from pipeline.export import export as write

    wish = Wish(series, channel, select or (), shown, fps)
    for line in write(source, destination, wish, kind=kind.value if kind else "", overwrite=overwrite):
        typer.echo(line)
