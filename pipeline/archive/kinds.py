"""The format of a file, by how it begins; its name says nothing."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.volume import InputError

HEAD_BYTES = 1024

NETCDF, GRIB, ZARR, NIFTI, DICOM, VIDEO, TIFF, NPY = (
    "NetCDF", "GRIB", "Zarr", "NIfTI", "DICOM", "video", "TIFF", "npy",
)  # fmt: skip


def kind_of(path: Path) -> str:
    """The format of a file, or of a folder that is a Zarr store.

    Raises:
        InputError: It is empty, cannot be read, is no file, or is nothing that is known.
    """
    if path.is_dir():
        if is_zarr(path):
            return ZARR
        raise InputError(f"{path} is a folder and no Zarr store; name the files in it")
    try:
        head = _head(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes); fetch it again, or leave it out")
    found = _by_head(head)
    if found is None and head.lstrip()[:9].lower() in (b"<!doctype", b"<html", b"<html>"):
        raise InputError(f"{path} is a web page, perhaps what a server says instead of a file; fetch it again")
    header = _header(path) if found is None else None
    if header is not None:
        raise InputError(f"{path} holds the numbers of {header}, which says what they are; name that instead")
    if found is None:
        raise InputError(
            f"{path} begins with {head[:8]!r}, which is none of {', '.join(KNOWN)}; convert it to one of them"
        )
    return found


KNOWN = (NETCDF, GRIB, ZARR, NIFTI, DICOM, VIDEO, TIFF, NPY)


def files_in(folder: Path) -> list[Path]:
    """The files and Zarr stores below a folder in the order of their names, without hidden ones, images of a header
    and those of no known format; a warning names the latter.

    Raises:
        InputError: There are none; or something in it cannot be read, or is a link to nothing.
    """
    known, odd = [], []
    try:
        for path in sorted(_inside(folder)):
            if path.is_dir() or _by_head(_head(path)):
                known.append(path)
            elif _header(path) is None:
                odd.append(path)
    except OSError as error:
        name = error.filename or folder
        raise InputError(f"{name} cannot be read: {error}; allow it, or name the other files alone") from error
    if not known:
        raise InputError(
            f"{folder} has {len(odd)} files and none of them is one of {', '.join(KNOWN)} (hidden ones are left out); "
            "name a file, a Zarr store or a folder with files"
        )
    if odd:
        names = ", ".join(str(path.relative_to(folder)) for path in odd[:5]) + (", ..." if len(odd) > 5 else "")
        warnings.warn(f"{len(odd)} files in {folder} are of no known format and left out: {names}", stacklevel=2)
    return known


def without_images(paths: Sequence[Path | str]) -> list[Path | str]:
    """The paths without those that hold the numbers of a header that is named as well (.img of .hdr)."""
    known = set(paths)
    return [path for path in paths if isinstance(path, str) or _header(path) not in known]


def _header(path: Path) -> Path | None:
    """The header (.hdr) beside a file of numbers (.img), compressed or not."""
    bare = path.name.removesuffix(".gz")
    if not bare.endswith(".img"):
        return None
    headers = [path.with_name(bare.removesuffix(".img") + ending) for ending in (".hdr", ".hdr.gz")]
    return next((header for header in headers if header.is_file()), None)


def _inside(folder: Path) -> Iterator[Path]:
    """The files and Zarr stores below a folder that are not hidden."""
    for parent, folders, files in os.walk(folder, onerror=_fails):
        here = Path(parent)
        shown = [name for name in folders if not name.startswith(".")]
        yield from (here / name for name in shown if is_zarr(here / name))
        folders[:] = [name for name in shown if not is_zarr(here / name)]
        for path in (here / name for name in files if not name.startswith(".")):
            if path.is_symlink() and not path.exists():
                raise InputError(f"{path} is a link to {os.readlink(path)}, which leads nowhere; mend or remove it")
            if path.is_file():
                yield path


def _fails(error: OSError) -> None:
    raise error


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr store, of format 2 or 3."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path} is no file but a socket, a pipe or a device; name a file, a folder or a Zarr store")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as file:
            return file.read(HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} has a damaged gzip stream: {error}; fetch it again") from error


def _by_head(head: bytes) -> str | None:
    if head[:3] == b"CDF" or head[:8] == b"\x89HDF\r\n\x1a\n":
        return NETCDF
    if head[:4] == b"GRIB":
        return GRIB
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] == b"n+2\0":
        return NIFTI
    if head[128:132] == b"DICM":
        return DICOM
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TIFF
    if head[:6] == b"\x93NUMPY":
        return NPY
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head[:4] == b"\x1aE\xdf\xa3":
        return VIDEO
    return None
