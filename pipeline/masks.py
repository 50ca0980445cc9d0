"""Masks: channels behind the data's own that tell where there is a value (1) and where there is none (0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from pipeline.survey import Survey
from pipeline.volume import DATA, InputError

MASK = "mask"


def mask_names(series: Mapping[str, xr.Dataset], surveys: Mapping[str, Survey]) -> list[str]:
    """The names of the masks: one where all channels always lack the same voxels, else one for each.

    Raises:
        InputError: A channel has such a name already.
    """
    channels = [str(name) for name in next(iter(series.values()))["channel"].values]
    names = [MASK] if all(found.alike for found in surveys.values()) else [f"{MASK} {channel}" for channel in channels]
    twice = next((name for name in names if name in channels), None)
    if twice is not None:
        raise InputError(f"a channel is called {twice!r}, as the mask would be; give the channel another name")
    return names


def with_masks(volume: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """The volume without its data, its coordinates those of channels with masks behind them."""
    bare = volume.drop_vars(DATA)
    if not names:
        return bare
    longer = {}
    for name, coordinate in bare.coords.items():
        if coordinate.dims == ("channel",):
            nothing = np.nan if coordinate.dtype.kind in "fiu" else ""
            more = list(names) if name == "channel" else [nothing] * len(names)
            values = np.array([*coordinate.values.tolist(), *more], float if nothing != "" else object)
            longer[name] = ("channel", values, coordinate.attrs)
    bare = bare.drop_vars([name for name in bare.coords if "channel" in bare[name].dims])
    return bare.assign_coords(longer).assign_attrs(masks=len(names))


def masks_of(volume: xr.Dataset) -> int:
    """How many of a prepared volume's channels are masks; the last ones."""
    return int(volume.attrs.get("masks", 0))


def data_channels(volume: xr.Dataset) -> int:
    """How many of a prepared volume's channels are data; the first ones."""
    return volume.sizes["channel"] - masks_of(volume)
