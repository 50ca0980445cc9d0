"""Small volumes made on the spot: fields on grids, scans with affines."""

from __future__ import annotations

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive.assemble import assemble
from pipeline.archive.geometry import spatial
from pipeline.volume import AXES, DATA

WORLD = (np.arange(-88.75, 90, 2.5), np.arange(0, 360, 5.0))


def grid(values, latitude=None, longitude=None, *, time="days", calendar="noleap", start="2001-01-01", **more):
    """A volume of `values` (time, height, width), or of five axes, with dates a day (or an hour) apart."""
    values = np.asarray(values)
    values = values[:, None, None] if values.ndim == 3 else values
    frames, channels, _, height, width = values.shape
    latitude = np.linspace(30, 60, height) if latitude is None else latitude
    longitude = np.linspace(200, 250, width) if longitude is None else longitude
    freq = {"days": "D", "hours": "h"}[time]
    dates = xr.date_range(start, periods=frames, freq=freq, calendar=calendar, use_cftime=True).values
    found = assemble(
        dask.array.from_array(values, chunks=(5, *values.shape[1:])),
        channels=[f"c{n}" for n in range(channels)],
        coordinates={
            "time": ("time", dates, {}),
            "latitude": ("height", np.asarray(latitude), {"units": "degrees_north"}),
            "longitude": ("width", np.asarray(longitude), {"units": "degrees_east"}),
            **more,
        },
        attributes={"source_format": "NetCDF"},
    )
    found["time"].encoding = {"units": "hours since 1990-01-01", "calendar": calendar}
    found[DATA].attrs = {"units": "K"}
    return found


def scan(values, affine, **more):
    """A volume of `values` (time, channel, depth, height, width) with an affine, a frame each 2 s."""
    values = np.asarray(values)
    coordinates, attributes = spatial(np.asarray(affine, float), values.shape[:1:-1])
    coordinates["time"] = ("time", 2.0 * np.arange(len(values)), {"units": "s"})
    return assemble(
        dask.array.from_array(values, chunks=(3, *values.shape[1:])),
        channels=[f"echo{n}" for n in range(values.shape[1])],
        coordinates=coordinates | more,
        attributes=attributes | {"nifti": {"pixdim": [1.0], "descrip": "a scan"}},
    )


def places(affine, shape):
    """Where the voxels of (depth, height, width) lie: (depth, height, width, 3), in mm."""
    depth, height, width = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.stack([width, height, depth], -1) @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3]


def cut(volume, *chunks):
    """The volume cut at other places along (time, channel, depth, height, width)."""
    volume = volume.copy()
    volume[DATA] = (AXES, volume[DATA].data.rechunk(chunks), volume[DATA].attrs)
    return volume
