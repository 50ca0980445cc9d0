"""What somebody wants of an archive: which variables, which part of each axis, and what is stacked as channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Source = Path | str
"""A file, a folder, or the URL of a Zarr store."""

VARIABLES, FILES = "variables", "files"
"""What may be stacked as channels besides an axis of the archive, by its name."""


@dataclass(frozen=True)
class Ask:
    """All that a reader is told beside the files.

    Attributes:
        variables: The names of variables; none where the archive has one, or no names.
        select: For each axis that is restricted its name and what is taken of it: a value of its coordinate (or a
            number, where it has none), or `FIRST:LAST`, both included.
        channels: What is stacked as channels: `variables`, `files`, or the name of an axis; empty where nothing is.
        time: The name of the axis that is time, where the archive does not say that it is.
        skip_bad: Whether frames that cannot be read are recorded as missing; else they are errors.
    """

    variables: tuple[str, ...] = ()
    select: tuple[tuple[str, str], ...] = ()
    channels: str = ""
    time: str = ""
    skip_bad: bool = False
