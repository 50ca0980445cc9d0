"""TIFF, OME-TIFF and ImageJ stacks through tifffile: axes, channels, sizes and times from what the file says."""

from __future__ import annotations

import logging
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import imagecodecs  # noqa: F401  tifffile decompresses with it, and says so only when a page is read
import numpy as np
import tifffile
import xarray as xr

from pipeline.archive.ask import FILES, Ask
from pipeline.archive.assemble import Coordinate, assemble, lazily
from pipeline.archive.several import as_channels, as_runs, no_variables
from pipeline.archive.tiff_axes import roles
from pipeline.archive.tiff_chain import refuse_circle
from pipeline.archive.tiff_metadata import Said, said
from pipeline.volume import InputError

SERIES = "series"
"""What `ask.select` calls one of several series of a file; taken here, so not an axis of the volume."""

BROKEN = re.compile(
    r"invalid page offset|corrupt|failed to re|expected \d+ frames|missing|incompletely|out of range|invalid TiffData"
)
"""What tifffile only writes to its log where pages are lost."""

UNREADABLE = (
    tifffile.TiffFileError, struct.error, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    RuntimeError, AssertionError, EOFError, MemoryError,
)  # fmt: skip
"""What tifffile and imagecodecs raise for files that are damaged."""


def open_tiff(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """The volume of TIFF files, lazily by page: (time, channel, depth, height, width), in the pages' own type.

    Axes come from OME-XML, ImageJ's description or tifffile's own. Pages of which nothing is said are time, with a
    warning unless `ask.time` is `pages`; several axes without names are (time, depth) or (time, channel, depth) where
    `ask.time` is `pages`, else they are refused. `ask.time` and `ask.channels` may name another axis by its letter
    (Z). Colours (S) are channels. Sizes are the coordinates z, y, x (`um`), times seconds; else frame numbers.

    Several files of one image each are frames, in the order of their names, numbers within them by value; other files
    are runs one after another, or channels where `ask.channels` is `files`. Of several series `ask.select` names one:
    `("series", "0")`, or by its name.

    With `ask.skip_bad` every page is read once, frames with pages that cannot be read are NaN (then all is float32)
    and true in the coordinate `missing`.

    Raises:
        InputError: A file cannot be read, is cut short, has several series or axes of unknown meaning, or disagrees
            with another. Reading a page that cannot be decoded raises it, too.
    """
    no_variables(ask, paths[0], "a TIFF file")
    paths = sorted(paths, key=_by_numbers)
    files: list[_Tiff | InputError] = []
    together: set[str] = set()
    for path in paths:
        if str(path.resolve()) not in together:
            try:
                files.append(_Tiff(path, ask))
                together |= files[-1].together
            except InputError as error:
                files.append(error)
    good = [file for file in files if isinstance(file, _Tiff)]
    single = len(files) > 1 and ask.channels != FILES and all(file.roles.planes.size == 1 for file in good)
    for file in files:
        if isinstance(file, InputError) and not (single and ask.skip_bad and good):
            raise file
    if single:
        return _frames(files, good, ask)
    volumes = [(file.path, file.volume()) for file in good]
    return as_channels(volumes) if ask.channels == FILES else as_runs(volumes)


class _Tiff:
    """One series of a file: its pages, what its axes are, and how frames are read."""

    def __init__(self, path: Path, ask: Ask):
        self.path, self.skip_bad = path, ask.skip_bad
        self.lock = threading.Lock()
        with _reads(path, strict=not ask.skip_bad), tifffile.TiffFile(path) as file:
            refuse_circle(path, file)
            self.series = _one_series(path, file, ask)
            self.roles = roles(path, self.series, ask)
            self.dtype = _type(path, self.series)
            self.said: Said = said(file, self.series)
            planes = self.roles.planes
            self.contiguous = ""  # the stored type, where one page stands for many: ImageJ beyond 4 GB, tifffile's own
            if len(self.series.pages) < planes.size:
                if self.series.dataoffset is None:
                    raise InputError(
                        f"{path} declares {planes.size} pages and has {len(self.series.pages)}; fetch it again"
                    )
                self.contiguous = file.byteorder + self.series.dtype.char
            bad = self._bad_planes()
            self.together = {page.parent.filehandle.path for page in self.series.pages if page is not None}
            lost = np.isin(planes, list(bad)).reshape(planes.shape[0], -1).any(1)
            if bad and (not ask.skip_bad or lost.all()):
                raise InputError(
                    f"{path} declares {planes.size} pages and gives {planes.size - len(bad)}; fetch it again"
                    + ("" if lost.all() else ", or have such frames as missing (--skip-bad)")
                )
        self.missing = np.flatnonzero(lost)
        self.stored = np.dtype(np.float32) if len(self.missing) else self.dtype

    def volume(self) -> xr.Dataset:
        shape = self.roles.shape
        coordinates = self.coordinates(shape[0])
        if self.skip_bad:
            coordinates["missing"] = ("time", np.isin(np.arange(shape[0]), self.missing), {})
        return assemble(
            lazily(self.read, shape, self.stored),
            channels=self.roles.names(self.said.channels),
            coordinates=coordinates,
            attributes={"source_format": "TIFF"},
        )

    def coordinates(self, frames: int) -> dict[str, Coordinate]:
        found: dict[str, Coordinate] = {"time": ("time", np.arange(frames), {})}
        if self.said.interval is not None:
            found["time"] = ("time", np.arange(frames) * self.said.interval, {"units": "s"})
        elif self.said.times is not None and len(self.said.times) == frames:
            found["time"] = ("time", self.said.times, {"units": "s"})
        sizes = zip(("z", "y", "x"), ("depth", "height", "width"), self.roles.shape[2:], strict=True)
        for name, axis, length in sizes:
            if name in self.said.sizes:
                size, unit = self.said.sizes[name]
                found[name] = (axis, np.arange(length) * size, {"units": unit})
        return found

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames [start, stop): (time, channel, depth, height, width)."""
        run = np.full((stop - start, *self.roles.shape[1:]), np.nan if len(self.missing) else 0, self.stored)
        good = np.setdiff1d(np.arange(start, stop), self.missing)
        if len(good):
            planes = self.roles.planes[good]
            with self.lock, _reads(self.path):
                pages = self._pages(planes.ravel())
            run[good - start] = self.roles.arranged(pages.reshape(*planes.shape, -1))
        return run

    def _pages(self, planes: np.ndarray) -> np.ndarray:
        """(planes, *page)"""
        page = self.series.keyframe.shape
        if self.contiguous:
            shape = (self.roles.planes.size, *page)
            return np.memmap(self.path, self.contiguous, "r", self.series.dataoffset, shape)[planes]
        file = self.series.keyframe.parent.filehandle
        was_closed = file.closed
        file.open()
        try:
            return self.series.asarray(key=planes.tolist(), maxworkers=1).reshape(len(planes), *page)
        finally:
            if was_closed:
                file.close()

    def _bad_planes(self) -> set[int]:
        """The planes that are absent or lie beyond the end of the file; with `skip_bad` those that do not decode."""
        count, end = self.roles.planes.size, self.path.stat().st_size
        if self.contiguous:
            whole = max(0, end - self.series.dataoffset) // self.series.keyframe.nbytes
            return set(range(whole, count))
        bad = set()
        for number, page in enumerate(self.series.pages):
            if page is None or (
                page.parent.filehandle.path == self.series.keyframe.parent.filehandle.path
                and any(at + size > end for at, size in zip(page.dataoffsets, page.databytecounts, strict=False))
            ):
                bad.add(number)
            elif self.skip_bad:
                try:
                    with _reads(self.path):
                        self._pages(np.array([number]))
                except InputError:
                    bad.add(number)
        return bad


def _frames(files: list[_Tiff | InputError], good: list[_Tiff], ask: Ask) -> xr.Dataset:
    """Files of one image each as the frames of one volume; those that cannot be read are missing."""
    first, *others = good
    for file in others:
        for what, ours, theirs in (
            ("an image (channel, depth, height, width)", first.roles.shape[1:], file.roles.shape[1:]),
            ("the type", first.dtype, file.dtype),
        ):
            if ours != theirs:
                raise InputError(
                    f"{what}: {ours} in {first.path} and {theirs} in {file.path}; images that are frames must agree, "
                    f"leave one out or convert it"
                )
    missing = np.array([isinstance(file, InputError) for file in files])
    dtype = np.dtype(np.float32) if missing.any() else first.dtype
    absent = np.full((1, *first.roles.shape[1:]), np.nan, np.float32)

    def read(start: int, stop: int) -> np.ndarray:
        return np.concatenate(
            [absent if isinstance(file, InputError) else file.read(0, 1) for file in files[start:stop]]
        )

    coordinates = first.coordinates(1)
    coordinates["time"] = ("time", np.arange(len(files)), {})
    if ask.skip_bad:
        coordinates["missing"] = ("time", missing, {})
    return assemble(
        lazily(read, (len(files), *first.roles.shape[1:]), dtype),
        channels=first.roles.names(first.said.channels),
        coordinates=coordinates,
        attributes={"source_format": "TIFF"},
    )


@contextmanager
def _reads(path: Path, strict: bool = True) -> Iterator[None]:
    """Turns what tifffile raises into an error that names the file, and what it only logs into one or a warning.

    Raises:
        InputError: The file is damaged.
    """
    logger, told = logging.getLogger("tifffile"), _Told()
    logger.addFilter(told)
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} cannot be read as TIFF: {reason}; it may be cut short, fetch it again") from error
    finally:
        logger.removeFilter(told)
    broken = [line for line in told.lines if BROKEN.search(line)]
    if broken and strict:
        raise InputError(f"{path} is damaged: {broken[0]}; fetch it again, or have such frames as missing (--skip-bad)")
    if broken:
        warnings.warn(f"{path} is damaged: {broken[0]}; what comes after is lost", stacklevel=4)


class _Told(logging.Filter):
    """Keeps what this thread logs, and lets it go no further."""

    def __init__(self):
        super().__init__()
        self.thread, self.lines = threading.get_ident(), []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        self.lines.append(record.getMessage())
        return False


def _one_series(path: Path, file: tifffile.TiffFile, ask: Ask) -> tifffile.TiffPageSeries:
    found = list(file.series)
    named = [f"{number} ({series.name or series.axes}, {series.shape})" for number, series in enumerate(found)]
    asked = [value for name, value in ask.select if name == SERIES]
    if not found:
        raise InputError(f"{path} has no image; leave it out")
    if not asked and len(found) > 1:
        raise InputError(f"{path} has {len(found)} series; select one by its number or name: {'; '.join(named)}")
    for number, series in enumerate(found):
        if not asked or asked[0] in (str(number), series.name):
            return series
    raise InputError(f"{path} has no series {asked[0]!r}; it has {'; '.join(named)}")


def _type(path: Path, series: tifffile.TiffPageSeries) -> np.dtype:
    dtype = series.dtype
    if dtype is None or dtype.kind not in "buif":
        raise InputError(f"{path} has values of type {dtype}; convert it to whole numbers or floats")
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def _by_numbers(path: Path) -> tuple[str, list[tuple[int, int, str]]]:
    """Sorts names with numbers in them by value: frame9 before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return str(path.parent), [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
