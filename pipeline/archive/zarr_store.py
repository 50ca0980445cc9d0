"""Zarr stores of others, in formats 2 and 3, in a folder or at a URL: grids, images (OME-Zarr) and single arrays.

A URL (https://, s3://, gs://) is read through fsspec; credentials are those that the system of the store finds itself.
Where AWS's tools find none, a bucket is read as a public one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
import zarr

from pipeline.archive.ask import Ask
from pipeline.archive.assemble import Coordinate, assemble
from pipeline.archive.guard import guarded, guarded_array
from pipeline.archive.multiscales import along, channel_names, image_of, ome_attributes
from pipeline.storage.store import DECODE
from pipeline.volume import AXES, DATA, InputError

BY_COUNT = {5: AXES, 4: ("time", "depth", "height", "width"), 3: ("time", "height", "width")}
"""What the axes of an array are that says nothing of them."""

UNDECODED = {"decode_times": False, "decode_timedelta": False}

CONNECT_SECONDS, READ_SECONDS = 20.0, 60.0
"""How long a server on the web may take to answer, and be silent."""

BESIDE = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "sftp": "paramiko"}
"""What addresses need that no extra brings."""

IMAGES = ("multiscales", "plate", "well", "bioformats2raw.layout")
"""Attributes by which OME-Zarr is known."""


def open_zarr(path: Path | str, *, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """The variables of a store as xarray or other writers of CF named their axes, lazily in the store's chunks.

    Masked and unpacked; times are numbers with `units`. A store that Chronovox wrote is a volume already (`data`, with
    the five axes and cftime times). An array without a group becomes one too: its axes are those it names, else
    (time, channel, depth, height, width), (time, depth, height, width) or (time, height, width).

    Args:
        path: A folder, or a URL; groups and arrays inside a store follow the store's name.
        storage_options: What fsspec is told of a URL, such as `{"anon": True}` for a public bucket.

    Raises:
        InputError: There is no store, or nothing in it that can be read; the message names what there is. Computing an
            array raises it where a chunk cannot be read.
    """
    node = _node(path, storage_options)
    if isinstance(node, zarr.Array):
        return _plain(node, str(path))
    try:
        arrays, inside = dict(node.arrays()), sorted(node.group_keys())
    except Exception as error:  # each system of stores has errors of its own
        raise InputError(f"{path} has a description that cannot be read: {error}; fetch it again") from error
    if not arrays:
        remedy = f"name one of its groups: {', '.join(f'{path}/{name}' for name in inside)}" if inside else (
            "name another; a store at a URL must have consolidated metadata unless its server lists folders"
        )  # fmt: skip
        raise InputError(f"{path} is a Zarr group without arrays; {remedy}")
    unnamed = [name for name, array in arrays.items() if array.ndim and _names(array) is None]
    if unnamed:
        raise InputError(
            f"{path}: the axes of {', '.join(unnamed)} have no names, so they cannot be told apart; name one array, "
            f"for instance {path}/{unnamed[0]}"
        )
    own = DATA in arrays and _names(arrays[DATA]) == AXES
    try:
        found = xr.open_dataset(
            str(path),
            engine="zarr",
            consolidated=node.metadata.consolidated_metadata is not None,
            cache=False,
            storage_options=_options(path, storage_options),
            **(DECODE if own else UNDECODED),
        )
        return guarded(found, str(path), apart=True)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:  # of coordinates all is read
        raise InputError(
            f"{path} cannot be opened as a dataset: {error}; name one of its arrays: {', '.join(arrays)}"
        ) from error


def is_ome_zarr(path: Path | str, *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether a store says that it is an image, a plate or a well of OME-Zarr; `False` where there is no store."""
    try:
        node = _node(path, storage_options)
    except InputError:
        return False
    return isinstance(node, zarr.Group) and any(key in ome_attributes(node.attrs.asdict()) for key in IMAGES)


def open_ome_zarr(path: Path | str, ask: Ask, *, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """An image of OME-Zarr (0.1 to 0.5) at its finest level as a volume, lazily in the store's chunks and type.

    Times are in seconds, or numbered where no unit is said; z, y and x in micrometres or millimetres, without units
    where none are said; channels have the names that the attribute `omero` gives.

    Args:
        ask: `time` names the axis that is time, where none says so; `select` and `channels` are not looked at here.

    Raises:
        InputError: The store is no image; its description and its array disagree; no axis is time.
    """
    node = _node(path, storage_options)
    attributes = node.attrs.asdict()
    ome = ome_attributes(attributes)
    if "multiscales" not in ome:
        raise InputError(f"{path} is no single image of OME-Zarr; name one: {_images(path, node, ome)}")
    image = image_of(attributes, str(path), ask.time)
    try:
        array = node[image.path]
    except KeyError as error:
        raise InputError(
            f"{path} says that its finest level is {image.path!r}, and has {', '.join(sorted(node.array_keys()))}; "
            "fetch it again"
        ) from error
    if array.ndim != len(image.axes):
        raise InputError(
            f"{path} names {len(image.axes)} axes ({', '.join(axis.name for axis in image.axes)}), and its array "
            f"{image.path!r} has {array.ndim}: {array.shape}; write it again with as many"
        )
    odd = [axis.name for axis, size in zip(image.axes, array.shape, strict=True) if not axis.role and size > 1]
    if odd:
        raise InputError(f"{path} has axes that are none of a volume: {', '.join(odd)}; store one place of them alone")
    coordinates: dict[str, Coordinate] = {}
    for axis, size in zip(image.axes, array.shape, strict=True):
        if axis.role not in ("", "channel"):
            name = "time" if axis.role == "time" else {"depth": "z", "height": "y", "width": "x"}[axis.role]
            coordinates[name] = (axis.role, *along(axis, size, str(path)))
    data = _five(array, tuple(axis.role for axis in image.axes), str(path))
    return assemble(
        data,
        channels=channel_names(image.labels, data.shape[1]),
        coordinates=coordinates,
        attributes={"source_format": f"OME-Zarr {image.version}"},
    )


def _node(path: Path | str, options: Mapping[str, Any] | None) -> zarr.Group | zarr.Array:
    """The group or array at a path or URL.

    Raises:
        InputError: There is none, or it cannot be reached.
    """
    try:
        return zarr.open(str(path), mode="r", storage_options=_options(path, options))
    except ImportError as error:
        more = BESIDE.get(str(path).partition("://")[0])
        packages = "'chronovox[remote]'" + (f" {more}" if more else "")
        raise InputError(f"{path} needs what is not installed ({error}); pip install {packages}") from error
    except FileNotFoundError as error:
        remedy = "name the folder of one" + ("; of other formats fetch the files first" if "://" in str(path) else "")
        raise InputError(f"{path} has no Zarr group or array ({error}); {remedy}") from error
    except Exception as error:  # each system of stores has errors of its own
        told = f"{path} cannot be read as Zarr: {type(error).__name__}: {error}"
        if str(path).startswith("s3://"):
            told = f"{told}; see to the bucket's name and your credentials, or set FSSPEC_S3_ANON=true if it is public"
        raise InputError(told) from error


def _options(path: Path | str, options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What fsspec is told of a URL; nothing for a folder. A server on the web may not be silent for ever."""
    if "://" not in str(path):
        return None
    told = dict(options or {})
    if str(path).startswith("s3://") and "anon" not in told and _is_anonymous():
        told["anon"] = True
    if str(path).startswith("http"):
        from aiohttp import ClientTimeout  # of the extra `remote`, which folders do not need

        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        told.setdefault("client_kwargs", {"timeout": timeout})
    return told


@cache
def _is_anonymous() -> bool:
    """Whether neither fsspec's settings say who reads s3:// nor AWS's own tools find credentials: then buckets are read
    as public ones."""
    try:
        from botocore.session import Session  # of the extra `remote`
        from fsspec.config import conf
    except ImportError:
        return False
    return not conf.get("s3") and Session().get_credentials() is None


def _images(path: Path | str, node: zarr.Group, ome: Mapping[str, Any]) -> str:
    """Images inside a plate, a well or a collection, as they would be named."""
    wells = ome.get("plate", {}).get("wells", ())
    fields = ome.get("well", {}).get("images", ())
    inside = [f"{well.get('path')}/0" for well in wells] + [str(field.get("path")) for field in fields]
    inside = inside or [name for name in sorted(node.group_keys()) if name != "OME"]
    more = f" or one of {len(inside) - 8} more" if len(inside) > 8 else ""
    return ", ".join(f"{path}/{name}" for name in inside[:8]) + more


def _names(array: zarr.Array) -> tuple[str, ...] | None:
    """The names of an array's axes; `None` where not all have one."""
    old = array.metadata.zarr_format == 2
    found = array.attrs.get("_ARRAY_DIMENSIONS") if old else array.metadata.dimension_names
    return None if found is None or None in found else tuple(map(str, found))


def _plain(array: zarr.Array, source: str) -> xr.Dataset:
    """A volume of a single array."""
    names = _names(array)
    if names is not None and set(names) <= set(AXES):
        axes = names
    elif array.ndim in BY_COUNT:
        axes = BY_COUNT[array.ndim]
    else:
        raise InputError(
            f"{source} is an array of {array.ndim} axes {array.shape}; expected 5 (time, channel, depth, height, "
            "width), 4 (time, depth, height, width) or 3 (time, height, width)"
        )
    data = _five(array, axes, source)
    return assemble(
        data,
        channels=channel_names((), data.shape[1]),
        coordinates={"time": ("time", np.arange(data.shape[0], dtype=float), {})},
        attributes={"source_format": "Zarr"},
    )


def _five(array: zarr.Array, roles: tuple[str, ...], source: str) -> dask.array.Array:
    """The numbers of an array with the five axes of a volume, in its chunks; an axis without a role has one place.

    Raises:
        InputError: An axis is empty, two have one role, or numbers are none.
    """
    known = [role for role in roles if role]
    if len(set(known)) < len(known) or "time" not in known:
        raise InputError(f"{source} has the axes {', '.join(roles)}; expected each of {', '.join(AXES)} once at most")
    if 0 in array.shape:
        raise InputError(f"{source} has the shape {array.shape}, so nothing is in it; fetch it again")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{source} has values of type {array.dtype}; expected real numbers: convert it")
    axes = [role or f"axis {number}" for number, role in enumerate(roles)]
    data = guarded_array(array, array.shards or array.chunks, axes, f"{source}: an array")
    data = data[tuple(slice(None) if role else 0 for role in roles)]
    lacking = [axis for axis in AXES if axis not in known]
    data = data[(..., *(None for _ in lacking))]
    return data.transpose([(*known, *lacking).index(axis) for axis in AXES])
