"""Mean power spectra of several fields over the frames that all of them have: whether a forecast is too smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.scores import radial_spectrum


class Spectra:
    """Adds up `radial_spectrum` over frames, with wavenumbers in cycles per voxel whatever the voxels' size.

    A spectrum wants all values of a frame, so of each channel only the frames count in which no field misses any. They
    are the same frames for all fields: what is compared is of the same weather.

    Args:
        channels: Their names.
    """

    def __init__(self, channels: Sequence[str]):
        self._channels = list(channels)
        self._counts = np.zeros(len(self._channels), np.int64)
        self._wavenumbers: np.ndarray | None = None
        self._sums: dict[str, np.ndarray] = {}

    def add(self, fields: Mapping[str, Float[np.ndarray, "channel depth height width"]]) -> None:
        """One frame: of each field, the same ones every time, by name."""
        power = {}
        for name, field in fields.items():
            self._wavenumbers, power[name] = radial_spectrum(field)
        complete = ~np.any([np.isnan(own).any(axis=1) for own in power.values()], axis=0)
        self._counts += complete
        for name, own in power.items():
            self._sums[name] = self._sums.get(name, 0.0) + np.where(complete[:, None], own, 0.0)

    def table(self) -> pd.DataFrame:
        """Mean power: a row of each channel and bin, with the channel, the number of `frames`, the `wavenumber` (cycles
        per voxel) and a column of each field, in the data's units squared. A channel of which no frame is complete has
        no rows."""
        rows = [
            {"channel": name, "frames": count, "wavenumber": wavenumber}
            | {field: sums[channel, place] / count for field, sums in self._sums.items()}
            for channel, (name, count) in enumerate(zip(self._channels, self._counts.tolist(), strict=True))
            if count
            for place, wavenumber in enumerate(self._wavenumbers)
        ]
        return pd.DataFrame(rows, columns=["channel", "frames", "wavenumber", *self._sums])
