"""Compressed files for readers that need plain ones: unpacked into a temporary file for as long as it is used."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from pipeline.volume import InputError

MAGIC = b"\x1f\x8b"

COPY_BYTES = 1 << 20


def is_compressed(path: Path) -> bool:
    """Whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_unpacked(path: Path, read: Callable[[Path], xr.Dataset]) -> xr.Dataset:
    """What `read` finds in a file that gzip compressed, lazily.

    The file is unpacked a megabyte at a time into the folder for temporary files (`TMPDIR`), and removed when no array
    that comes of the dataset needs it any more, or the process ends.

    Raises:
        InputError: The file is damaged or does not fit there; or what `read` raises, with the name of this file.
    """
    plain = _Plain(path)
    try:
        dataset = read(plain.path)
    except InputError as error:
        raise InputError(str(error).replace(str(plain.path), str(path))) from error
    for name, variable in dataset.variables.items():
        if isinstance(variable.data, dask.array.Array):
            kept = variable.data.map_blocks(_same, plain=plain, dtype=variable.dtype, meta=variable.data._meta)
            dataset[name].variable.data = kept
    dataset.encoding["source"] = str(path)
    return dataset


class _Plain:
    """An unpacked file, which is removed with the last graph that this is part of."""

    def __init__(self, path: Path):
        folder = Path(tempfile.mkdtemp(prefix="chronovox-"))
        self.path = folder / path.name.removesuffix(".gz")
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        try:
            with gzip.open(path) as packed, self.path.open("wb") as file:
                shutil.copyfileobj(packed, file, COPY_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._remove()
            raise InputError(
                f"{path} is damaged, its gzip stream cannot be unpacked: {error}; fetch it again"
            ) from error
        except OSError as error:
            self._remove()
            raise InputError(
                f"{path} cannot be unpacked into {folder.parent}: {error}; name a folder with room by TMPDIR, or "
                "unpack it yourself"
            ) from error

    def __dask_tokenize__(self) -> str:
        return str(self.path)

    def __reduce__(self) -> tuple:
        return str, (str(self.path),)  # another process reads the file and does not own it


def _same(block: np.ndarray, plain: object) -> np.ndarray:
    del plain  # it is an argument so that the file outlives the graph
    return block
