"""From the data's own units to numbers of order 1 and back, by statistics of the training frames.

What is subtracted is the climatology of the frame's phase of the year (where anomalies are asked for) and a mean; what
remains is divided by a scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Shaped

from pipeline.moments import Moments, merged
from pipeline.volume import InputError

Statistic = Float[np.ndarray, "channel _ _ _"]
Phase = Int[np.ndarray, "time"] | None

FLAT = 1e-3
"""A voxel that varies less, relative to its channel, is divided by the channel's scale: by its own, a small change
after training would become a huge number."""


@dataclass(frozen=True)
class Normalisation:
    """Statistics of the training frames, float64; those of whole channels have axes of length 1.

    Attributes:
        mean: Subtracted; zero where there is a cycle.
        scale: Divided by.
        climatology: The mean of each voxel over the training frames, NaN where it never has a value: such a voxel is
            missing everywhere. A baseline is made of it, and nothing else.
        count: Values of each voxel.
        cycle: Subtracted first, where there is one: the mean of each voxel in each phase of the year, NaN where it
            has no value in that phase.
    """

    mean: Statistic
    scale: Statistic
    climatology: Float[np.ndarray, "channel depth height width"]
    count: Int[np.ndarray, "channel depth height width"]
    cycle: Float[np.ndarray, "phase channel depth height width"] | None = None

    @staticmethod
    def measured(phases: list[Moments], *, mean: str, scale: str, anomalies: bool) -> Normalisation:
        """The statistics of training frames from their moments in each phase; without anomalies there is one.

        Args:
            phases: Of each phase.
            mean, scale: `voxel`, `channel` or `none`. A scale is the root mean square of what remains.

        Raises:
            InputError: A channel has no value, or nothing remains of it.
        """
        whole = merged(phases, phases[0].mean.shape)
        total = whole.count.sum(axis=(1, 2, 3), keepdims=True)
        if (total == 0).any():
            raise InputError("the training frames have no value in some channel; choose other periods or channels")
        offset, squares = np.zeros_like(total, dtype=np.float64), whole.squares
        if anomalies:  # their mean is zero, in each phase
            squares = sum(phase.squares for phase in phases)
        elif mean == "channel":
            offset = (whole.mean * whole.count).sum(axis=(1, 2, 3), keepdims=True) / total
        elif mean == "voxel":
            offset = _known(whole)
        if not anomalies and mean != "voxel":
            squares = squares + whole.count * (whole.mean - offset) ** 2
        own = np.sqrt(squares / np.maximum(whole.count, 1))
        of_channel = np.sqrt(squares.sum(axis=(1, 2, 3), keepdims=True) / total)
        if (of_channel == 0).any():
            raise InputError("the training frames do not vary in some channel; there is nothing to learn from it")
        scales = {
            "voxel": np.where(own < FLAT * of_channel, of_channel, own),
            "channel": of_channel,
            "none": np.ones_like(of_channel),
        }
        cycle = np.stack([_known(phase) for phase in phases]) if anomalies else None
        return Normalisation(offset, scales[scale], _known(whole), whole.count, cycle)

    @staticmethod
    def of(arrays: dict[str, np.ndarray]) -> Normalisation:
        """The statistics that `arrays` gave."""
        return Normalisation(**arrays)

    def of_channels(self, places: Sequence[int]) -> Normalisation:
        """The statistics of some channels."""
        taken = list(places)
        cycle = None if self.cycle is None else self.cycle[:, taken]
        return Normalisation(self.mean[taken], self.scale[taken], self.climatology[taken], self.count[taken], cycle)

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, to be stored."""
        names = ("mean", "scale", "climatology", "count", "cycle")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def to_normal(
        self, frames: Shaped[np.ndarray, "time channel depth height width"], phases: Phase = None
    ) -> Float[np.ndarray, "time channel depth height width"]:
        """Frames of any real type as float32 numbers of order 1; what is missing, or was never met, is NaN."""
        from pipeline.voxelwise import normalise  # brings numba, 50 MB

        kind = np.float32 if frames.dtype == np.float32 else np.float64
        flat = np.ascontiguousarray(frames, kind).reshape(*frames.shape[:2], -1)
        normal = np.empty(flat.shape, np.float32)
        scale = self.scale.reshape(len(self.scale), -1)
        if self.cycle is None:
            normalise(flat, self.mean.reshape(len(self.mean), -1), scale, normal)
        else:
            for frame, phase, out in zip(flat, phases, normal, strict=True):
                normalise(frame[None], self.cycle[phase].reshape(len(self.mean), -1), scale, out[None])
        return self._where_known(normal.reshape(frames.shape))

    def to_units(
        self, normal: Float[np.ndarray, "time channel depth height width"], phases: Phase = None
    ) -> Float[np.ndarray, "time channel depth height width"]:
        """Normalised frames in the data's units, float64; NaN in voxels without a value in training (in that phase)."""
        frames = normal.astype(np.float64) * self.scale + self.mean
        return self._where_known(frames if self.cycle is None else frames + self.cycle[phases])

    def expected(self, phase: int | None = None) -> Float[np.ndarray, "channel depth height width"]:
        """The mean of the training frames, of that phase of the year where anomalies are from phases."""
        return self.climatology if self.cycle is None else self.cycle[phase]

    def _where_known(
        self, frames: Float[np.ndarray, "time channel depth height width"]
    ) -> Float[np.ndarray, "time channel depth height width"]:
        """The frames, made here, with NaN where no voxel was met."""
        if not self._all_known:
            frames[:, self.count == 0] = np.nan
        return frames

    @cached_property
    def _all_known(self) -> bool:
        return bool((self.count > 0).all())


def _known(moments: Moments) -> Float[np.ndarray, "channel depth height width"]:
    return np.where(moments.count > 0, moments.mean, np.nan)
