"""Zarr arrays and groups: opened, read, and named arrays written as one store that appears whole."""

from __future__ import annotations

import importlib.util
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import zarr

from pipeline.storage.atomic import replace_folder

FAST = importlib.util.find_spec("zarrs") is not None
"""Whether zarrs is installed, which reads about twice as fast; `pip install 'chronovox[fast]'`."""

DEFAULT_PIPELINE = zarr.config.get("codec_pipeline.path")

_OPENING = threading.Lock()
"""Held while an array is opened: that is when it takes its codecs from zarr's settings, which all threads share."""


def limit_threads(count: int) -> None:
    """Lets this process compress and decompress on so many threads; the first call holds."""
    zarr.config.set({"threading.max_workers": count})


def open_array(path: Path, name: str = "", *, fast: bool = False) -> zarr.Array:
    """An array to be read and written; one that is only read may be `fast`: by zarrs, where that is installed.

    Zarrs writes a chunk in its place, where a kill tears it, so it never writes (see `pipeline.storage.chunk_files`). A
    chunk is written whatever it holds: to look whether all of it is fill value costs more.
    """
    mode, pipeline = ("r", "zarrs.ZarrsCodecPipeline") if fast and FAST else ("r+", DEFAULT_PIPELINE)
    with _OPENING, zarr.config.set({"codec_pipeline.path": pipeline}):
        return zarr.open_array(path, path=name, mode=mode).with_config({"write_empty_chunks": True})


def is_store(path: Path) -> bool:
    """Whether a Zarr store lies at `path`."""
    return (path / "zarr.json").is_file()


def groups(path: Path) -> list[str]:
    """The names of the groups (series) in a store."""
    return sorted(zarr.open_group(path, mode="r").group_keys())


def make_groups(path: Path, names: list[str]) -> None:
    """Makes an empty group at `path`, and in it one of each name, unless they are there."""
    for group in (path, *(path / name for name in names)):
        zarr.open_group(group, mode="a", zarr_format=3)


def write_arrays(path: Path, arrays: dict[str, np.ndarray], attributes: dict) -> None:
    """Writes named arrays and JSON attributes as one store, which replaces what was at `path` once whole."""
    aside = aside_of(path)
    group = zarr.create_group(aside, attributes=attributes, zarr_format=3)
    for name, array in arrays.items():  # named axes make it a store that xarray opens
        axes = [f"{name}_{axis}" for axis in range(np.ndim(array))]
        group.create_array(name, data=np.asarray(array), dimension_names=axes)
    reveal(aside, path)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and attributes that `write_arrays` wrote, to the bit."""
    group = zarr.open_group(path, mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}, dict(group.attrs)


def read_attributes(path: Path) -> dict:
    """The attributes of a store alone."""
    return dict(zarr.open_group(path, mode="r").attrs)


def create_array(
    path: Path, name: str, *, shape: tuple[int, ...], chunks: tuple[int, ...], axes: tuple[str, ...], dtype: np.dtype
) -> zarr.Array:
    """Creates a group with one array of named axes in it, to be filled by assignment; at `path`, a place aside that the
    caller renames."""
    group = zarr.create_group(path, zarr_format=3)
    return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, dimension_names=axes)


def write_attributes(path: Path, attributes: dict) -> None:
    """Adds JSON attributes to the group at `path`."""
    zarr.open_group(path, mode="r+").attrs.update(attributes)


def aside_of(path: Path) -> Path:
    """A clean place beside `path` to write what must appear whole."""
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    return aside


def reveal(aside: Path, path: Path) -> None:
    """Puts what was written aside in its place, see `replace_folder`; what stood there is then removed."""
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        replace_folder(aside, path, old)
    else:
        os.replace(aside, path)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
