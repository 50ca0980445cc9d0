"""Which series a model can forecast, and what a volume of forecasts looks like."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array
import numpy as np
import xarray as xr

from pipeline.phases import PHASE, Phases
from pipeline.roles import Roles, names_of
from pipeline.volume import AXES, DATA, SPACE, InputError


def refuse_unlike(volumes: dict[str, xr.Dataset]) -> None:
    """Refuses series whose frames have not the same shape."""
    shapes = {name: tuple(volume.sizes[axis] for axis in AXES[1:]) for name, volume in volumes.items()}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise InputError(
                f"frames of series {first!r} are {shapes[first]} ({', '.join(AXES[1:])}), those of {name!r} are "
                f"{shape}; give each grid an infer stage of its own"
            )


def refuse_other_preparation(volumes: dict[str, xr.Dataset], model: dict) -> None:
    """Refuses series with other channels or masks than the model reads, or anomalies from other phases of the year."""
    reads = tuple(model["description"][name] for name in ("volume_channels", "masks"))
    for name, volume in volumes.items():
        roles = Roles.of_model(volume, model["channels"])
        has = len(roles.reads), roles.masks
        if has != reads:
            raise InputError(
                f"series {name!r} is prepared with {has[0]} channels and {has[1]} masks, the model reads {reads[0]} "
                f"and {reads[1]}; prepare both alike"
            )
    learned = list(model["learned_from"].get("phases", ()))
    for name, volume in volumes.items():
        kept = Phases.kept(volume)
        phases = list(kept.names) if kept else []
        if phases != learned:
            raise InputError(
                f"series {name!r} is prepared as anomalies from {len(phases)} phases of the year, the model learned "
                f"from anomalies from {len(learned)}; prepare both with the same anomalies and training periods"
            )


def forecast_volume(volume: xr.Dataset, times: Sequence, channels: Sequence[str] | None = None) -> xr.Dataset:
    """A volume to be filled with forecasts for some times, or with what else a model makes, float32 in the units of the
    source: the channels of a prepared volume without masks, and its coordinates but those along time.

    Args:
        volume: The prepared volume.
        times: One for each frame.
        channels: The names of the channels, where they are not those of the volume.

    Raises:
        InputError: A time lies in a phase of the year that no training frame has, where the data are anomalies.
    """
    along = [name for name in volume.coords if "time" in volume[name].dims]
    like = volume.drop_vars([DATA, *along])
    names = names_of(volume) if channels is None else list(channels)
    if set(names) <= set(names_of(volume)):
        like = like.isel(channel=[names_of(volume).index(name) for name in names])
    else:
        like = like.drop_vars([name for name in like.coords if "channel" in like[name].dims])
        like = like.assign_coords(channel=("channel", np.array(names, object)))
    shape = (len(times), len(names), *(volume.sizes[axis] for axis in SPACE))
    attributes = {key: value for key, value in volume[DATA].attrs.items() if key != "normalised_from"}
    attributes["units"] = volume[DATA].attrs["normalised_from"]
    zeros = dask.array.zeros(shape, dtype=np.float32, chunks=(1, *shape[1:]))
    like = like.assign({DATA: (AXES, zeros, attributes)}).assign_coords(time=("time", times, volume["time"].attrs))
    like[DATA].encoding = volume[DATA].encoding
    encoding = volume["time"].encoding
    like["time"].encoding = {key: encoding[key] for key in ("units", "calendar") if key in encoding}
    phases = Phases.kept(volume)
    if phases is not None:
        like = like.assign_coords({PHASE: phases.coordinate(times)})
    like.attrs.pop("masks", None)
    return like
