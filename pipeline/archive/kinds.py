"""The format of a file, by how it begins; its name says nothing."""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path

from pipeline.volume import InputError

HEAD_BYTES = 1024

NETCDF, GRIB, ZARR, NIFTI, DICOM, VIDEO, TIFF, NPY = (
    "NetCDF", "GRIB", "Zarr", "NIfTI", "DICOM", "video", "TIFF", "npy",
)  # fmt: skip


def kind_of(path: Path) -> str:
    """The format of a file, or of a folder that is a Zarr store.

    Raises:
        InputError: It is empty, cannot be read, or is nothing that is known.
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
    if found is None:
        raise InputError(
            f"{path} begins with {head[:8]!r}, which is none of {', '.join(KNOWN)}; convert it to one of them"
        )
    return found


KNOWN = (NETCDF, GRIB, ZARR, NIFTI, DICOM, VIDEO, TIFF, NPY)


def files_in(folder: Path) -> list[Path]:
    """The files below a folder in the order of their names, without hidden ones and those of no known format; a
    warning names the latter.

    Raises:
        InputError: There are none.
    """
    inside = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    inside = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    known, odd = [], []
    for path in inside:
        try:
            (known if _by_head(_head(path)) else odd).append(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error}; allow it, or name the other files alone") from error
    if not known:
        raise InputError(
            f"{folder} has {len(inside)} files and none of them is one of {', '.join(KNOWN)}; name a file, a Zarr "
            "store or a folder with files"
        )
    if odd:
        names = ", ".join(str(path.relative_to(folder)) for path in odd[:5]) + (", ..." if len(odd) > 5 else "")
        warnings.warn(f"{len(odd)} files in {folder} are of no known format and left out: {names}", stacklevel=2)
    return known


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr store, of format 2 or 3."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _head(path: Path) -> bytes:
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
