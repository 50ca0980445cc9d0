"""The command `init`: a commented recipe for somebody's own files, after a look at them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import Selected, Stacked, TimeAxis, Variable, size


class Kind(StrEnum):
    climate = "climate"
    medical = "medical"
    video = "video"


def init(
    kind: Annotated[Kind, typer.Argument(help="What the files are.", show_default=False)],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Files, folders of files, or a store or its URL, as for ingest.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option(help="The recipe to be written; one that is there is not touched.")] = Path(
        "recipe.yaml"
    ),
    name: Annotated[
        str | None, typer.Option(help="Of the run; by default that of the first file.", show_default=False)
    ] = None,
    variable: Variable = None,
    select: Selected = None,
    channels: Stacked = "",
    time: TimeAxis = "",
    memory: Annotated[
        float,
        typer.Option(parser=size, metavar="SIZE", help="What a step of training may take, as in 800MB or 4GB."),
    ] = "4GB",
) -> None:
    """Look at your files and write a recipe for them, with a reason for every choice: what is learned from and tested
    on, how large the model and its windows are. It runs as it is and ends in a report."""
    import importlib.util
    import warnings
    from dataclasses import replace

    from pipeline.archive import Ask, locate
    from pipeline.volume import InputError
    from workflows.init.choosing import Means, choose
    from workflows.init.looking import look, word
    from workflows.init.telling import told
    from workflows.init.writing import source_in, written

    if output.exists():
        raise InputError(f"{output} is there already and is not overwritten; name another with --output, or remove it")
    if not output.parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.parent}; make it first")
    here = Path.cwd()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        facts = look(files, kind.value, Ask(variable or (), select or (), channels, time), here)
    series = [
        replace(one, sources=tuple(source_in(own, locate(own, here), output.parent) for own in one.sources))
        for one in facts.series
    ]
    facts = replace(facts, series=tuple(series))
    chosen = name or word(Path(files[0]).name.split(".")[0])
    if not chosen.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"--name {chosen!r} is no name for a run; use letters, digits, _ and -")
    images = importlib.util.find_spec("skimage") is not None
    draft = choose(facts, kind.value, chosen, Means(memory, images))
    seen = told(facts)
    with output.open("x") as file:
        file.write(written(draft, seen))
    for line in seen:
        typer.echo(line)
    said = [str(one.message) for one in caught if one.category is UserWarning]
    for line in dict.fromkeys([*said, *draft.warnings]):
        typer.echo(f"chronovox: {line}", err=True)
    typer.echo(f"\n{output} is written; read it, then\n  chronovox check {output}\n  chronovox run {output}")
