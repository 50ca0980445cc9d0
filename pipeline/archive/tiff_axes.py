"""What the axes of a TIFF series are in a volume, and which pages make a frame."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from pipeline.archive.ask import FILES, Ask
from pipeline.volume import InputError

TIME, CHANNEL, DEPTH, HEIGHT, WIDTH = "time", "channel", "depth", "height", "width"
KNOWN = {"T": TIME, "C": CHANNEL, "S": CHANNEL, "Z": DEPTH, "Y": HEIGHT, "X": WIDTH}
UNNAMED = "IQ"
"""tifffile's letters for a sequence of pages and for an axis of which nothing is said."""

PAGES = "pages"
COLOURS = ("red", "green", "blue", "alpha")


@dataclass(frozen=True)
class Roles:
    """How pages become frames.

    Attributes:
        planes: (time, channel, depth) numbers of pages.
        page: The shape of a page.
        order: Where each axis of (time, channel, depth, *page) goes in (time, channel, samples, depth, .., width).
        shape: That of the volume: (time, channel, depth, height, width).
        samples: How many channels one page has: colours.
        coloured: Whether these are red, green and blue.
    """

    planes: np.ndarray
    page: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]
    samples: int
    coloured: bool

    def arranged(self, pages: np.ndarray) -> np.ndarray:
        """Pages (time, channel, depth, *page) as (time, channel, depth, height, width)."""
        pages = pages.reshape(*pages.shape[:3], *self.page).transpose(self.order)
        return pages.reshape(len(pages), *self.shape[1:])

    def names(self, channels: Sequence[str]) -> list[str]:
        """Names of the channels, from those of the pages and of the colours; numbers where there are none."""
        count = self.planes.shape[1]
        own = list(channels) if len(channels) == count else [str(number) for number in range(count)]
        if self.samples == 1:
            return own
        colours = list(COLOURS[: self.samples]) if self.coloured else [str(number) for number in range(self.samples)]
        return colours if count == 1 else [f"{name} {colour}" for name in own for colour in colours]


def roles(path: Path, series: tifffile.TiffPageSeries, ask: Ask) -> Roles:
    """What each axis of a series is.

    Raises:
        InputError: An axis is unknown and longer than 1, or is asked for and is not there.
    """
    letters, sizes = series.axes, series.shape
    parts = _parts(path, letters, sizes, ask)
    lead = _lead(path, sizes, math.prod(series.keyframe.shape))
    if TIME in parts[lead:]:
        raise InputError(f"{path} has its time axis inside the pages (axes {letters}); save one page for each time")
    planes = np.arange(math.prod(sizes[:lead])).reshape(sizes[:lead])
    first = [axis for role in (TIME, CHANNEL, DEPTH) for axis in range(lead) if parts[axis] == role]
    planes = planes.transpose(*first, *(axis for axis in range(lead) if axis not in first))
    count = {
        role: math.prod(sizes[axis] for axis in range(lead) if parts[axis] == role) for role in (TIME, CHANNEL, DEPTH)
    }
    inside = {
        role: [axis - lead + 3 for axis in range(lead, len(sizes)) if parts[axis] == role]
        for role in (CHANNEL, DEPTH, HEIGHT, WIDTH, "")
    }
    samples = math.prod(sizes[axis + lead - 3] for axis in inside[CHANNEL])
    deep = math.prod(sizes[axis + lead - 3] for axis in inside[DEPTH])
    return Roles(
        planes=planes.reshape(count[TIME], count[CHANNEL], count[DEPTH]),
        page=tuple(sizes[lead:]),
        order=(0, 1, *inside[CHANNEL], 2, *inside[DEPTH], *inside[HEIGHT], *inside[WIDTH], *inside[""]),
        shape=(
            count[TIME],
            count[CHANNEL] * samples,
            count[DEPTH] * deep,
            sizes[parts.index(HEIGHT)],
            sizes[parts.index(WIDTH)],
        ),
        samples=samples,
        coloured=series.keyframe.photometric == tifffile.PHOTOMETRIC.RGB,
    )


def _lead(path: Path, sizes: tuple[int, ...], page: int) -> int:
    """How many axes count pages: those before the ones that a page has."""
    for lead in range(len(sizes) - 1):
        if math.prod(sizes[lead:]) == page:
            return lead
    raise InputError(f"{path} has pages of {page} values, and declares a stack of {sizes}; save it again as OME-TIFF")


def _parts(path: Path, letters: str, sizes: tuple[int, ...], ask: Ask) -> list[str]:
    """The role of each axis; empty for an axis of length 1 that has none."""
    parts = [KNOWN.get(letter, "") for letter in letters]
    if ask.channels not in ("", FILES):
        _give(path, letters, parts, CHANNEL, ask.channels)
    if ask.time not in ("", TIME, PAGES):
        _give(path, letters, parts, TIME, ask.time)
    unknown = [axis for axis, part in enumerate(parts) if not part and sizes[axis] > 1]
    unnamed = [axis for axis in unknown if letters[axis] in UNNAMED]
    free = {1: (TIME,), 2: (TIME, DEPTH), 3: (TIME, CHANNEL, DEPTH)}.get(len(unnamed), ())
    allowed = ask.time == PAGES or len(unnamed) == 1
    if unnamed == unknown and allowed and free and not set(free) & set(parts):
        for axis, role in zip(unnamed, free, strict=True):
            parts[axis] = role
        if ask.time != PAGES:
            warnings.warn(
                f"{path} does not say what its {sizes[unnamed[0]]} pages are; they are taken as time (say "
                f"--time {PAGES}, or save it as OME-TIFF with axes, if they are not)",
                stacklevel=2,
            )
        unknown = []
    if unknown:
        raise InputError(
            f"{path} has axes {letters} of {sizes}, and what {', '.join(letters[axis] for axis in unknown)} is cannot "
            f"be known; name one by its letter as time or as channels (--time, --channels), say --time {PAGES} where "
            f"pages without names are (time, depth) or (time, channel, depth), or save it as OME-TIFF"
        )
    if HEIGHT not in parts or WIDTH not in parts:
        raise InputError(f"{path} has axes {letters}; an image needs Y and X")
    return parts


def _give(path: Path, letters: str, parts: list[str], role: str, name: str) -> None:
    letter = name.upper()
    if len(letter) != 1 or letters.count(letter) != 1 or letter in "YX":
        raise InputError(
            f"{path} has axes {letters}, and {name!r} is asked as its {role}; name one of them by its letter"
        )
    for axis, part in enumerate(parts):
        if part == role and letters[axis] != "S":
            parts[axis] = ""
    parts[letters.index(letter)] = role
