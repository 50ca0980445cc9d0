"""The commands that look after stores: cut anew, verify, repair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import Chunk, Compressor, Hands, Memory, ShardSize

Kept = Annotated[Path, typer.Argument(metavar="STORE.zarr", help="A store that Chronovox made.", show_default=False)]


def rechunk(
    source: Annotated[Path, typer.Argument(metavar="IN.zarr", help="A store of volumes.", show_default=False)],
    destination: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="The new one.", show_default=False)],
    chunk: Chunk = None,
    shard: ShardSize = None,
    compressor: Compressor = "blosc-lz4",
    memory: Memory = None,
    threads: Hands = None,
) -> None:
    """Cut a store anew: other chunks, shards or compression, the same numbers, with bounded memory. Started again after
    a kill, the same command continues."""
    from pipeline.storage.make import Storage
    from pipeline.storage.means import Means
    from pipeline.storage.rechunk import rechunk as cut_anew
    from workflows.commands.showing import show

    storage, means = Storage.of(chunk, shard, compressor), Means(memory, threads)
    show("rechunk", cut_anew(source, destination, storage, means))


def verify(path: Kept) -> None:
    """Look at every file of a store: is it there, and as it was written? Exit code 1 if one is not."""
    from pipeline.storage.verify import inspect

    seen, damages = 0, []
    for number, _, some in inspect(path):
        seen, damages = number, damages + some
        for damage in some:
            typer.echo(str(damage))
    if damages:
        typer.echo(f"{len(damages)} of {seen} files are damaged; `chronovox repair {path}` makes them again", err=True)
        raise typer.Exit(1)
    typer.echo(f"{path}: {seen} files, all as they were written")


def repair(path: Kept, memory: Memory = None, threads: Hands = None) -> None:
    """Make the files of a store again that are missing or damaged, from what the store was made of; to the bit."""
    from pipeline.storage.means import Means
    from pipeline.storage.verify import inspect
    from workflows.commands.repair import repair as mend
    from workflows.commands.showing import show

    damages = [damage for _, _, some in inspect(path) for damage in some]
    for damage in damages:
        typer.echo(str(damage))
    if not damages:
        typer.echo(f"{path}: nothing is damaged")
        return
    show("repair", mend(path, damages, Means(memory, threads)))
