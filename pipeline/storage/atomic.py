"""Files and folders that are either as they were or as they shall be, whenever the writer is killed."""

from __future__ import annotations

import ctypes
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which takes the name `path` when the block ends, and is gone if it fails. Its folder is
    made where it is missing.

    Two may write the same file at a time. It is not waited for the disk: what a system that lost its power had not
    written yet may be missing.
    """
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        file = aside.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = aside.open("wb")
    try:
        with file:
            yield file
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes | np.ndarray) -> None:
    """Writes a file whole or not at all, as `replaced` does."""
    with replaced(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Writes a file aside, to the disk, and then renames it to `path`."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


@contextmanager
def appearing(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Clean places beside `paths` for files or folders to be written: they take their names once all are whole, in the
    place of what stood there. Where writing fails nothing is left of them, and what stood there stays."""
    asides = [path.with_name(path.name + ".partial") for path in paths]
    for aside in asides:
        _remove(aside)
        aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield asides
        for aside, path in zip(asides, paths, strict=True):
            old = path.with_name(path.name + ".old")
            if path.is_dir():  # a folder cannot be replaced at once
                _remove(old)
                os.replace(path, old)
            os.replace(aside, path)
            _remove(old)
    except BaseException:
        for aside in asides:
            _remove(aside)
        raise


def _remove(path: Path) -> None:
    """Removes a file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link(source: Path, path: Path) -> None:
    """Gives a file that will not be written again a second name, or makes a copy where the file system cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copy2(source, path)


def replace_folder(new: Path, path: Path, aside: Path) -> None:
    """Puts the folder `new` in the place of the folder `path`; what stood there is then at `new` or `aside`.

    At once where the system can exchange two names (Linux, most file systems). Elsewhere in two steps: who is killed
    between them leaves the old folder at `aside` and none at `path`.
    """
    if not _exchange(new, path):
        os.replace(path, aside)
        os.replace(new, path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names by the system call renameat2 with RENAME_EXCHANGE; whether it could."""
    here, exchange = -100, 2
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return call(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(exchange)) == 0
