"""The format of an export, by the ending of the file's name; its writer is imported when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.export.source import Source, open_source
from pipeline.export.wish import Wish
from pipeline.storage.atomic import appearing
from pipeline.volume import AXES, InputError

FORMATS = {
    "nc": (".nc",),
    "nii": (".nii",),
    "nii.gz": (".nii.gz",),
    "ome.zarr": (".ome.zarr",),
    "tif": (".tif", ".tiff"),
    "mp4": (".mp4",),
}
"""The formats that are written, and the endings by which they are chosen; `.ome.tif` ends in `.tif`."""

WRITERS = {
    "nc": ("pipeline.export.netcdf", "write_netcdf", ""),
    "nii": ("pipeline.export.nifti", "write_nifti", "medical"),
    "nii.gz": ("pipeline.export.nifti", "write_nifti_gz", "medical"),
    "ome.zarr": ("pipeline.export.ome_zarr", "write_ome_zarr", ""),
    "tif": ("pipeline.export.tiff", "write_tiff", "microscopy"),
    "mp4": ("pipeline.export.video", "write_video", "video"),
}
"""Who writes a format, and the extra that brings the library for it."""

ONE_RUN = WITH_AFFINE = ("nii", "nii.gz")
"""Formats of which a file holds one recording, and those that tell how voxels lie in the patient."""


def export(path: Path, destination: Path, wish: Wish, *, kind: str = "", overwrite: bool = False) -> list[str]:
    """Writes a volume of the store `path` to a file (or a folder, of OME-Zarr), which appears when all of it is there.

    Of a format that holds one recording, a store of several runs becomes a file for each, `NAME_run-1` and so on in the
    order of the runs.

    Args:
        kind: One of `FORMATS`; by default the one that the name of the destination ends in.
        overwrite: Whether what is there already is replaced.

    Returns:
        What was written and what the format could not keep, in words.

    Raises:
        InputError: The format is not known or cannot hold the volume; something is at the destination; a library is
            missing, then the message names the extra that brings it. Nothing is left then.
    """
    kind = kind or format_of(destination)
    writer = _writer(kind, destination)
    if kind != "mp4" and (wish.span is not None or wish.rate is not None):
        raise InputError(f"{destination} is no movie: a range and frames a second are for mp4; leave them out")
    source = open_source(path, wish)
    parts = _parts(source, destination, kind)
    for file in parts:
        _refuse_taken(file, path, kind, overwrite)
    lines: list[str] = []
    with _told_system_errors(destination), appearing(list(parts)) as asides:
        for aside, part in zip(asides, parts.values(), strict=True):
            lines += [line for line in writer(part, aside, wish) if line not in lines]
    if "affine" in source.volume.attrs and kind not in WITH_AFFINE:
        lines.append("the affine is not kept: only the size of voxels, and places along each axis where there are any")
    return [*(_written(file, part) for file, part in parts.items()), *lines]


def format_of(destination: Path) -> str:
    """The format that a name ends in.

    Raises:
        InputError: None is known by it.
    """
    for kind, endings in FORMATS.items():
        if destination.name.lower().endswith(endings):
            return kind
    known = ", ".join(ending for endings in FORMATS.values() for ending in endings)
    raise InputError(
        f"{destination.name} ends in none of {known}; rename it, or name the format (--format {', '.join(FORMATS)})"
    )


def _writer(kind: str, destination: Path):
    module, function, extra = WRITERS[kind]
    try:
        return getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise InputError(
            f"{destination} is to be {kind}, and to write it {error.name} is missing; pip install 'chronovox[{extra}]'"
        ) from error


def _parts(source: Source, destination: Path, kind: str) -> dict[Path, Source]:
    """The files to be written, and what of the volume each of them holds."""
    runs = source.volume["run"].values if "run" in source.volume.coords else None
    if kind not in ONE_RUN or runs is None or (runs == runs[0]).all():
        return {destination: source}
    ending = next((e for e in FORMATS[kind] if destination.name.lower().endswith(e)), "")
    stem = destination.name[: len(destination.name) - len(ending)]
    ending = destination.name[len(stem) :]
    order = list(dict.fromkeys(runs.tolist()))
    width = len(str(len(order)))
    return {
        destination.with_name(f"{stem}_run-{number:0{width}d}{ending}"): source.part((runs == run).nonzero()[0])
        for number, run in enumerate(order, start=1)
    }


def _refuse_taken(file: Path, path: Path, kind: str, overwrite: bool) -> None:
    if file.resolve() == path.resolve() or path.resolve() in file.resolve().parents:
        raise InputError(f"{file} lies in the store {path} that is read; choose another place")
    if not file.exists():
        return
    if not overwrite:
        raise InputError(f"{file} is there already; choose another name, or replace it (--overwrite)")
    if file.is_dir() and (kind != "ome.zarr" or not (file / "zarr.json").is_file()):
        raise InputError(f"{file} is a folder, which {kind} does not replace; remove it, or choose another name")


@contextmanager
def _told_system_errors(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{destination} cannot be written: {error}; make room, or choose another place") from error


def _written(file: Path, part: Source) -> str:
    sizes = ", ".join(f"{axis} {size}" for axis, size in zip(AXES, part.shape, strict=True))
    size = sum(one.stat().st_size for one in ([file] if file.is_file() else file.rglob("*")) if one.is_file())
    return f"{file}: {sizes}; {size / 1e6:.1f} MB"
