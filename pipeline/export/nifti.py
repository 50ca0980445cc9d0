"""NIfTI files (x, y, z, t), frame after frame, with the header that their source had where it is still true."""

from __future__ import annotations

import gzip
import re
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from pipeline.export.nifti_header import header_of
from pipeline.export.source import Source
from pipeline.export.wish import Wish
from pipeline.volume import InputError

FOURTH, FIFTH = re.compile(r"(t|direction)\d+"), re.compile(r"u\d+")
"""The names of channels that were places of the fourth and the fifth axis of a file."""

COMPRESSION = 1
"""Of gzip, as nibabel has it: images of noise gain little from more."""


def write_nifti(source: Source, path: Path, wish: Wish) -> list[str]:
    """Writes one file of NIfTI-1; of NIfTI-2 where the source was, or an axis has more than 32767 places.

    Integers keep their type. Floats that came from scaled integers are the same integers with the same slope and
    intercept again, if every one of them is, to the bit; other floats are written as they are (float32, float64).
    Channels that were places of the fourth or the fifth axis are that again. Affine, codes, units, repetition time and
    start are the source's where they are true of what is written (see `pipeline.export.nifti_header`).

    Raises:
        InputError: There are several channels that no axis of the source was; places are left out between others.
    """
    del wish
    with path.open("wb") as file:
        return _write(source, file)


def write_nifti_gz(source: Source, path: Path, wish: Wish) -> list[str]:
    """The same, compressed: without time and name in the stream, so that the same volume gives the same bytes."""
    del wish
    with path.open("wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as file:
        return _write(source, file)


def _write(source: Source, file: BufferedIOBase) -> list[str]:
    directions = _fourth_axis_is_channels(source)
    time, channels, *grid = source.shape
    sizes = (*grid[::-1], channels) if directions else (*grid[::-1], time, channels)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    packing = _packing(source)
    dtype = packing[0] if packing else _own_type(source.dtype)
    header, lines = header_of(source, sizes, dtype, packing[1:] if packing else None, numbered=directions)
    file.write(header.binaryblock + bytes(4))  # four bytes: no extensions
    for channel in range(channels):  # the last axis of the file
        for _, frames in source.blocks():
            values = frames[:, channel]
            file.write((packed(values, *packing) if packing else values.astype(dtype)).tobytes())
    return lines


def _fourth_axis_is_channels(source: Source) -> bool:
    """Whether channels are the fourth axis of the file; if not they are the fifth, or there is one.

    Raises:
        InputError: They are neither.
    """
    names = source.channels
    if len(names) == 1:
        return False
    if "nifti" in source.volume.attrs:
        if source.shape[0] == 1 and all(FOURTH.fullmatch(name) for name in names):
            return True
        if all(FIFTH.fullmatch(name) for name in names):
            return False
    raise InputError(
        f"{source.path} has {len(names)} channels, and a file of NIfTI is to have one; write each to a file of its own "
        f"(--channel): {', '.join(names)}"
    )


def _own_type(dtype: np.dtype) -> np.dtype:
    """The type in which values are written that are not scaled."""
    if dtype.kind == "b":
        return np.dtype("u1")
    return np.dtype("<f4") if dtype == np.float16 else dtype.newbyteorder("<")


def _packing(source: Source) -> tuple[np.dtype, float, float] | None:
    """The integer type, slope and intercept that the source had, if they give every value to the bit."""
    nifti = source.volume.attrs.get("nifti", {})
    scaling = (nifti.get("scl_slope", 1.0), nifti.get("scl_inter", 0.0))
    stored = np.dtype(nifti.get("dtype", "f4")).newbyteorder("<")
    if source.dtype.kind != "f" or stored.kind not in "iu" or scaling == (1.0, 0.0):
        return None
    for _, frames in source.blocks():
        if not np.isfinite(frames).all():
            return None
        wanted = np.rint((frames.astype(np.float64) - scaling[1]) / scaling[0])
        limits = np.iinfo(stored)
        if wanted.min() < limits.min or wanted.max() > limits.max:
            return None
        if not np.array_equal((wanted * scaling[0] + scaling[1]).astype(frames.dtype), frames):
            return None
    return stored, *scaling


def packed(values: np.ndarray, dtype: np.dtype, slope: float, intercept: float) -> np.ndarray:
    """The integers that stand for values: values are `slope * integer + intercept`."""
    return np.rint((values.astype(np.float64) - intercept) / slope).astype(dtype)
