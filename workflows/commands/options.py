"""The arguments and options of the command line: their types, and how their text is read."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

Recipe = Annotated[Path, typer.Argument(help="The recipe, a YAML or a Python file.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.KEY=VALUE",
        help="Replace a setting of the recipe: forecast.chunk=7, model.model.layers=3, prepared.splits.test.0.last=1990"
        ", matrix.seed=[0,1]. The value is YAML. May be given several times.",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster to join; by default one is started on this machine.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Workers that time is cut over; by default one a GPU, or one a CPU slot.", show_default=False
    ),
]


def listed(parser: Callable[[str], tuple], metavar: str, text: str) -> OptionInfo:
    """An option of several values in one text, which `parser` takes apart."""
    return typer.Option(parser=parser, metavar=metavar, help=text, show_default=False)


class Where(StrEnum):
    ray = "ray"
    local = "local"


class Cut(StrEnum):
    auto = "auto"
    time = "time"
    channels = "channels"


class Equal(StrEnum):
    """What models that are compared have alike."""

    parameters = "parameters"
    time = "time"
    both = "both"
    nothing = "nothing"


class Way(StrEnum):
    auto = "auto"
    chain = "chain"
    tree = "tree"
    all_gather = "all-gather"


class Precision(StrEnum):
    float32 = "float32"
    float64 = "float64"


class Format(StrEnum):
    netcdf = "nc"
    nifti = "nii"
    nifti_gz = "nii.gz"
    ome_zarr = "ome.zarr"
    tiff = "tif"
    mp4 = "mp4"


def words(text: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(","))
    if not all(found):
        raise typer.BadParameter(f"{text!r} has a comma with nothing beside it; take it away")
    return found


def numbers(text: str) -> tuple[float, ...]:
    return _each(float, text, "numbers, as in 0,0.5")


def counts(text: str) -> tuple[int, ...]:
    return _each(int, text, "whole numbers, as in 64 or 48,64")


def _each(kind: type, text: str, what: str) -> tuple:
    try:
        return tuple(kind(word) for word in words(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r}; give {what}") from None


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values of `time=1990:1999,level=500`."""
    found = tuple(tuple(part.strip() for part in word.split("=", 1)) for word in words(text))
    if not all(len(pair) == 2 and all(pair) for pair in found):
        raise typer.BadParameter(f"{text!r}; give AXIS=VALUE, as in time=1990:1999,level=500")
    return found


def span(text: str) -> tuple[float, float]:
    """Two numbers, the lower one first, of 270,310."""
    found = numbers(text)
    if len(found) != 2 or not found[0] < found[1]:
        raise typer.BadParameter(f"{text!r}; give two numbers, the lower one first, as in 270,310")
    return found


def size(text: str) -> float:
    """Bytes from 800MB or 2GB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if text.upper().endswith(unit):
            try:
                return float(text[: -len(unit)]) * factor
            except ValueError:
                break
    raise typer.BadParameter(f"a memory of {text!r}; give it as in 800MB or 2GB")


def extents(text: str) -> dict[str, int]:
    """Sizes by axis of `time=64,height=32`; a number alone is of time."""
    try:
        if "=" not in text:
            return {"time": int(text)}
        return {axis: int(number) for axis, number in pairs(text)}
    except ValueError:
        raise typer.BadParameter(f"{text!r}; give frames, as in 64, or sizes, as in time=64,height=32") from None


Chunk = Annotated[
    dict | None,
    typer.Option(
        parser=extents,
        metavar="FRAMES|AXIS=SIZE,...",
        help="Frames of a stored chunk, or its sizes, as in time=64,height=32; by default whole frames of about 4 MB.",
        show_default=False,
    ),
]
ShardSize = Annotated[
    dict | None,
    typer.Option(
        "--shard",
        parser=extents,
        metavar="FRAMES|AXIS=SIZE,...",
        help="Frames of a file of chunks, or its sizes; by default about 256 MB.",
        show_default=False,
    ),
]
Compressor = Annotated[str, typer.Option(metavar="NAME[:LEVEL]", help="As in none, blosc-lz4, zstd:5, gzip or lzma.")]
Memory = Annotated[
    float | None,
    typer.Option(
        parser=size,
        metavar="SIZE",
        help="What the process may take, as in 800MB or 2GB; by default 750MB for what it reads and writes.",
        show_default=False,
    ),
]
Hands = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; by default one a CPU.", show_default=False)
]
Port = Annotated[
    int,
    typer.Option(
        min=0, max=65535, help="The port of this machine to serve on; by default a free one.", show_default=False
    ),
]
OpenBrowser = Annotated[bool, typer.Option("--open", help="Try to open a browser with the page.")]
Variable = Annotated[
    tuple | None,
    listed(
        words,
        "NAME,...",
        "The variable to read, or several, which become channels; not needed where there is only one.",
    ),
]
Selected = Annotated[
    tuple | None,
    listed(
        pairs,
        "AXIS=VALUE,...",
        "What is taken of an axis: a value, or FIRST:LAST, both included, as in time=1990:1999,level=500.",
    ),
]
Stacked = Annotated[str, typer.Option(help="What is stacked as channels: variables, files, or the name of an axis.")]
TimeAxis = Annotated[
    str, typer.Option(metavar="AXIS", help="The axis that is time, where the archive does not say it.")
]
