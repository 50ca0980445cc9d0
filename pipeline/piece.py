"""A piece of somebody's own data: some frames of a store or an archive, whole or the middle of them, in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from pipeline.archive import Ask, open_archive
from pipeline.grid import natural_boundary
from pipeline.sequence import begun_anew, run_starts
from pipeline.storage import arrays, store
from pipeline.times import with_times
from pipeline.volume import AXES, DATA, SPACE, InputError

FRAMES = 36
"""Frames of a piece, unless told otherwise."""

DAY = 86400.0


@dataclass(frozen=True)
class Piece:
    """Frames in memory, images where the depth is 1.

    Attributes:
        frames: (time, channel, *grid), as they are stored.
        boundary: For each axis of the grid, as the data call for it.
        begins: Those of them that begin a run of the data, without the first.
        days: The time from the frame before to each, infinite where a run begins; the first one's, which nothing is
            before, is the first of the others that is finite. `None` where times are neither dates nor seconds.
        normalised: Whether a `preprocess` stage has normalised the frames.
        grid: Voxels along each axis of the whole grid.
        window: The part of each of these axes that `frames` hold.
        source: What was read.
        extent: Which part of it.
    """

    frames: Float[Tensor, "time channel *grid"]
    boundary: tuple[str, ...]
    begins: tuple[int, ...]
    days: Float[Tensor, "time"] | None
    normalised: bool
    grid: tuple[int, ...]
    window: tuple[slice, ...]
    source: str
    extent: str


def read_piece(
    path: Path,
    *,
    series: str | None = None,
    variable: str | None = None,
    start: int = 0,
    frames: int | None = None,
    crop: tuple[int, ...] = (),
) -> Piece:
    """Reads a piece of a series.

    Args:
        path: A store of a `preprocess`, `ingest` or `infer` stage, the folder of such a stage or of a run; or a NetCDF
            file.
        series: Which series of a prepared store; needed where it has several.
        variable: Which variable of a file; needed where it has several.
        start: The first frame.
        frames: How many; by default `FRAMES`, or all there are.
        crop: The middle voxels to keep along each axis of the grid (one number: along all of them); by default all.

    Raises:
        InputError: There are no such data, or they have missing values; the message says what there is.
    """
    volume, source = _open(path, series, variable)
    volume = with_times(volume)
    total = volume.sizes["time"]
    count = min(FRAMES, total - start) if frames is None else frames
    if count < 2 or start + count > total:
        raise InputError(
            f"{source} has {total} frames and {max(count, 2)} are asked for from frame {start} on; "
            f"ask for 2 to {total} frames that lie in it"
        )
    images = volume.sizes["depth"] == 1
    axes = SPACE[1:] if images else SPACE
    sizes = tuple(volume.sizes[axis] for axis in axes)
    window = _middle(sizes, crop)
    part = volume.isel(time=slice(start, start + count), **dict(zip(axes, window, strict=True)))
    data = np.ascontiguousarray(part[DATA].transpose(*AXES).values)
    missing = int(np.count_nonzero(~np.isfinite(data)))
    if missing:
        raise InputError(
            f"{source} has {missing} missing values of {data.size} in this piece; choose complete frames with another "
            "start or crop"
        )
    voxels = " x ".join(map(str, data.shape[3 if images else 2 :]))
    cropped = "" if not crop else f", the middle of {' x '.join(map(str, sizes))}"
    channels = volume.sizes["channel"]
    begins = tuple(run_starts(part).tolist())
    boundary = tuple(volume.attrs.get("boundary") or natural_boundary(volume))
    return Piece(
        frames=torch.from_numpy(data[:, :, 0] if images else data),
        boundary=boundary[1:] if images else boundary,
        begins=begins,
        days=_days(part, begins),
        normalised="normalised_from" in volume[DATA].attrs,
        grid=sizes,
        window=window,
        source=source,
        extent=f"frames {start} to {start + count - 1} of {total}, {channels} channel{'s' * (channels > 1)}, "
        f"{voxels} voxels{cropped}",
    )


def find_store(path: Path, *names: str) -> Path:
    """The store that `path` is, or the first of `names` in that folder, or in the one folder of it that has it.

    So a store is found from itself, from the folder of its stage, and from the folder of a run.

    Raises:
        InputError: There is nothing at `path`, no such store, or more than one.
    """
    if not path.exists():
        raise InputError(f"no file or folder {path.resolve()}")
    if arrays.is_store(path):
        return path
    for name in names:
        found = [path / name] if arrays.is_store(path / name) else sorted(path.glob(f"*/{name}"))
        if len(found) > 1:
            raise InputError(f"{path} has {len(found)} stores {name}; give one of {', '.join(map(str, found))}")
        if found:
            return found[0]
    raise InputError(f"{path} is no Zarr store, and neither it nor a folder in it has a {' or '.join(names)}")


def _open(path: Path, series: str | None, variable: str | None) -> tuple[xr.Dataset, str]:
    if path.is_file():
        if series is not None:
            raise InputError(f"series {series!r} of the file {path}: a file has variables; name one of those instead")
        volume = open_archive([path], Ask((variable,) if variable else ()))
        return volume, f"{path}, {volume.attrs.get('source_variable', volume.attrs['source_format'])}"
    found = find_store(path, "prepared.zarr", "raw.zarr", "prediction.zarr")
    if variable is not None:
        raise InputError(f"variable {variable!r} of the store {found}: a store has series; leave the variable out")
    try:
        known = arrays.groups(found)
    except (OSError, ValueError) as error:
        raise InputError(f"{found} cannot be read as a Zarr store: {error}") from error
    if series is None and len(known) == 1:
        series = known[0]
    if (series is not None or known) and series not in known:
        asked = "no series is named" if series is None else f"there is no series {series!r}"
        raise InputError(f"{found}: {asked}; it has {', '.join(known) or 'one, without a name'}")
    volume = store.open_volume(found, series)
    if DATA not in volume or volume[DATA].dims != AXES:
        raise InputError(
            f"{found} holds no array {DATA!r} with the axes {', '.join(AXES)}; give a store that ingest or preprocess "
            "wrote"
        )
    return volume, f"{found}, series {series}" if series else str(found)


def _middle(sizes: tuple[int, ...], crop: tuple[int, ...]) -> tuple[slice, ...]:
    """The middle `crop` voxels along each axis."""
    if crop and (len(crop) not in (1, len(sizes)) or min(crop) < 1):
        raise InputError(
            f"crop {','.join(map(str, crop))} of a grid of {' x '.join(map(str, sizes))} voxels; give one number from "
            f"1 on, or {len(sizes)}"
        )
    wanted = crop * len(sizes) if len(crop) == 1 else crop or sizes
    spare = [max(size - keep, 0) for size, keep in zip(sizes, wanted, strict=True)]
    return tuple(slice(cut // 2, cut // 2 + size - cut) for size, cut in zip(sizes, spare, strict=True))


def _days(volume: xr.Dataset, begins: tuple[int, ...]) -> Float[Tensor, "time"] | None:
    differences = np.diff(volume["time"].values)
    if differences.dtype == object:
        seconds = np.array([step.total_seconds() for step in differences])
    elif volume["time"].attrs.get("units") == "s":
        seconds = differences.astype(np.float64)
    else:
        return None
    steps = begun_anew(np.append(1.0, seconds / DAY), np.array(begins, int))
    steps[0] = next(filter(math.isfinite, steps[1:]), 1.0)
    return torch.from_numpy(steps)
