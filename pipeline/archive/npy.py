"""NumPy's npy files, mapped into memory: the meaning of the axes follows from how many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import xarray as xr
from numpy.lib import format as npy_format

from pipeline.archive.ask import FILES, Ask
from pipeline.archive.assemble import assemble, lazily
from pipeline.archive.several import as_channels, as_runs, no_variables
from pipeline.volume import InputError

READ_HEADER = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def open_npy(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """The volume of npy files, lazily, in their own type (truth values as uint8).

    Five axes are (time, channel, depth, height, width), four (time, depth, height, width), three (time, height,
    width). Times are frame numbers, channels are numbers, no units are known. Several files are runs one after another
    (coordinate `run`), or channels where `ask.channels` is `files`.

    With `ask.skip_bad` the frames that a file cut short lacks are NaN (then all is float32) and true in the
    coordinate `missing`.

    Raises:
        InputError: A file is no npy file, is cut short, holds objects or other things that are no real numbers, has
            another number of axes or no frames, or disagrees with another; or what is asked makes no sense for it.
    """
    no_variables(ask, paths[0], "an npy file")
    if ask.channels not in ("", FILES):
        raise InputError(
            f"{paths[0]} is an npy file, whose axes have no names, and {ask.channels!r} is asked as its channels; ask "
            f"for {FILES!r} where each file is a channel, or for nothing"
        )
    if ask.time not in ("", "time"):
        raise InputError(
            f"{paths[0]} is an npy file, whose first axis is time, and {ask.time!r} is asked as time; leave it out"
        )
    volumes = [(path, _volume(path, ask.skip_bad)) for path in paths]
    return as_channels(volumes) if ask.channels == FILES else as_runs(volumes)


@dataclass(frozen=True)
class _Array:
    """Where an array lies in a file: `shape` as a volume, `whole` frames of it."""

    path: Path
    shape: tuple[int, ...]
    whole: int
    stored: np.dtype
    order: str
    offset: int

    def read(self, start: int, stop: int, dtype: np.dtype) -> np.ndarray:
        run = np.full((stop - start, *self.shape[1:]), np.nan if dtype.kind == "f" else 0, dtype)
        if start < self.whole:
            shape = (self.whole, *self.shape[1:])
            frames = np.memmap(self.path, self.stored, "r", self.offset, shape, self.order)[start:stop]
            run[: len(frames)] = frames
        return run


def _volume(path: Path, skip_bad: bool) -> xr.Dataset:
    array = _array(path, skip_bad)
    frames, own = array.shape[0], np.dtype(np.uint8) if array.stored.kind == "b" else array.stored.newbyteorder("=")
    dtype = own if array.whole == frames else np.dtype(np.float32)
    coordinates = {"time": ("time", np.arange(frames), {})}
    if skip_bad:
        coordinates["missing"] = ("time", np.arange(frames) >= array.whole, {})
    return assemble(
        lazily(lambda start, stop: array.read(start, stop, dtype), array.shape, dtype),
        channels=[str(number) for number in range(array.shape[1])],
        coordinates=coordinates,
        attributes={"source_format": "npy"},
    )


def _array(path: Path, skip_bad: bool) -> _Array:
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            shape, by_columns, stored = READ_HEADER.get(version, READ_HEADER[2, 0])(file)
            offset = file.tell()
    except (OSError, ValueError, TypeError, EOFError, SyntaxError, TokenError) as error:
        raise InputError(f"{path} cannot be read as npy: {error}; fetch it again") from error
    if stored.hasobject:
        raise InputError(f"{path} holds Python objects, which are not read; save an array of numbers")
    if stored.kind not in "buif":
        raise InputError(f"{path} holds values of type {stored}; convert it to whole numbers or floats")
    if len(shape) not in (3, 4, 5):
        raise InputError(
            f"{path} has {len(shape)} axes, {shape}; give it 3 (time, height, width), 4 (time, depth, height, width) "
            f"or 5 (time, channel, depth, height, width)"
        )
    if 0 in shape:
        raise InputError(f"{path} has axes of {shape}, and no values; leave it out")
    declared, given = math.prod(shape) * stored.itemsize, path.stat().st_size - offset
    whole = min(shape[0], given * shape[0] // declared)
    if whole < shape[0] and (by_columns or not skip_bad or not whole):
        raise InputError(
            f"{path} declares {declared} bytes of values and gives {given}, {whole} of {shape[0]} frames; "
            "fetch it again" + ("" if by_columns or not whole else ", or have such frames as missing (--skip-bad)")
        )
    volume = (shape[0], *(1,) * (5 - len(shape)), *shape[1:])
    return _Array(path, volume, whole, stored, "F" if by_columns else "C", offset)
