"""Noisy copies of channels: what a model that is to take noise away learns from, and is judged by."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import dask.array
import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Real

from pipeline.volume import AXES, DATA, InputError, Settings

PREFIX = "noisy "


@dataclass(frozen=True)
class Noise(Settings):
    """White Gaussian noise, another draw for each voxel and frame.

    Attributes:
        deviation: Its standard deviation in the data's units, of all channels or of each.
        seed: Of the draws. A frame's depend on the seed, the series' name and the number of the frame, on nothing else.
    """

    deviation: float | tuple[float, ...]
    seed: int = 0

    def __post_init__(self):
        if not all(0 < one < math.inf for one in self.deviations(1)):
            raise ValueError(f"deviation is {self.deviation}; give positive numbers")

    def deviations(self, channels: int) -> tuple[float, ...]:
        """One for each channel, where one is given for all."""
        return (self.deviation,) * channels if isinstance(self.deviation, float) else self.deviation


def with_noisy_copies(volume: xr.Dataset, name: str, settings: Noise) -> xr.Dataset:
    """The volume with a noisy copy of each channel, `noisy NAME`, in front of them; float32, or float64 where it was.
    Missing values stay so.

    Args:
        volume: One of any real type.
        name: Of the series.
        settings: Which noise.

    Raises:
        InputError: There are more or fewer deviations than channels.
    """
    count = volume.sizes["channel"]
    deviations = np.array(settings.deviations(count))
    if len(deviations) != count:
        raise InputError(
            f"noise has {len(deviations)} deviations and the data {count} channels; give one number, or one for each"
        )
    data = volume[DATA].data.rechunk(dict.fromkeys(range(1, len(AXES)), -1))
    kind = np.result_type(data.dtype, np.float32)
    numbers = np.arange(data.shape[0]).reshape(-1, 1, 1, 1, 1)
    doubled = dask.array.map_blocks(
        _doubled,
        data,
        dask.array.from_array(numbers, chunks=(data.chunks[0], 1, 1, 1, 1)),
        deviations=deviations,
        key=(settings.seed, zlib.crc32(name.encode())),
        kind=kind,
        dtype=kind,
        chunks=(data.chunks[0], (2 * count,), *data.chunks[2:]),
        meta=np.empty((0,) * len(AXES), kind),
    )
    along = {key: own for key, own in volume.coords.items() if own.dims == ("channel",)}
    names = [str(channel) for channel in volume["channel"].values]
    bare = volume.drop_vars([DATA, *(key for key in volume.coords if "channel" in volume[key].dims)])
    twice = {key: ("channel", np.concatenate([own.values] * 2), own.attrs) for key, own in along.items()}
    twice["channel"] = ("channel", np.array([*(PREFIX + one for one in names), *names], object))
    return bare.assign({DATA: (AXES, doubled, volume[DATA].attrs)}).assign_coords(twice)


def _doubled(
    frames: Real[np.ndarray, "time channel depth height width"],
    numbers: Int[np.ndarray, "time 1 1 1 1"],
    *,
    deviations: Float[np.ndarray, "channel"],
    key: tuple[int, int],
    kind: np.dtype,
) -> Float[np.ndarray, "time both depth height width"]:
    """Frames with their noisy copies in front of them."""
    clean = frames.astype(kind)
    noisy = clean.copy()
    for frame, number in zip(noisy, numbers.ravel().tolist(), strict=True):
        draws = np.random.default_rng([*key, number]).standard_normal(frame.shape, np.float32)
        frame += draws * deviations.reshape(-1, 1, 1, 1)
    return np.concatenate([noisy, clean], axis=1)
