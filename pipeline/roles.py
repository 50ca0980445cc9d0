"""Which channels of a prepared series a model reads, and which it is to make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr
from jaxtyping import Shaped
from torch import Tensor

from pipeline.masks import data_channels, masks_of
from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError


@dataclass(frozen=True)
class Roles:
    """Positions of channels in the frames of a prepared series, masks included.

    Attributes:
        reads: Channels that are read, by name.
        makes: Channels that are made, by name.
        read, made: Their positions, and behind them those of their masks.
    """

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    read: tuple[int, ...]
    made: tuple[int, ...]

    @staticmethod
    def of(volume: xr.Dataset, settings: ModelSettings) -> Roles:
        """Those of a series that is learned from: forecasts read and make all channels; other tasks make the targets
        of the settings and read the others.

        Raises:
            InputError: The series has not such channels.
        """
        names = names_of(volume)
        if settings.task == "forecast":
            return Roles.named(volume, names, names)
        reads = settings.inputs or [name for name in names if name not in settings.targets]
        if not reads or not {*reads, *settings.targets} <= set(names):
            raise InputError(
                f"the targets are {', '.join(settings.targets)}, the inputs {', '.join(reads) or 'none'}, and the "
                f"prepared channels {', '.join(names)}; name some of these, and as targets not all"
            )
        if settings.task == "denoise" and len(reads) != len(settings.targets):
            raise InputError(
                f"task 'denoise' makes {len(settings.targets)} channels ({', '.join(settings.targets)}) of "
                f"{len(reads)} ({', '.join(reads)}), and wants one for each; name as many targets, or choose task 'map'"
            )
        return Roles.named(volume, reads, settings.targets)

    @staticmethod
    def of_model(volume: xr.Dataset, channels: dict[str, list[str]]) -> Roles:
        """Those of a series for a trained model, by what its checkpoint says of channels: forecasts read and make
        whatever there is. What is made may be missing in the series, and then has no position.

        Raises:
            InputError: A channel that is read is missing.
        """
        names = names_of(volume)
        if not channels:
            return Roles.named(volume, names, names)
        missing = [name for name in channels["reads"] if name not in names]
        if missing:
            raise InputError(
                f"the model reads the channels {', '.join(channels['reads'])} and the series has {', '.join(names)}; "
                "prepare it with those"
            )
        return Roles.named(volume, channels["reads"], channels["makes"])

    @staticmethod
    def named(volume: xr.Dataset, reads: Sequence[str], makes: Sequence[str]) -> Roles:
        """Those of a series by the channels' names, as far as it has them."""
        names, masks = names_of(volume), masks_of(volume)

        def positions(wanted: Sequence[str]) -> tuple[int, ...]:
            data = [names.index(name) for name in wanted if name in names]
            behind = [len(names)] if masks == 1 and data else [len(names) + place for place in data] if masks else []
            return (*data, *behind)

        return Roles(tuple(reads), tuple(makes), positions(reads), positions(makes))

    def as_names(self, known: Sequence[str]) -> dict[str, list[str]]:
        """What a checkpoint says of channels; `known` are all that were prepared."""
        return {"known": list(known), "reads": list(self.reads), "makes": list(self.makes)}

    @property
    def masks(self) -> int:
        """How many masks are read."""
        return len(self.read) - len(self.reads)

    def inputs(self, frames: Shaped[Tensor, "time channel *grid"]) -> Shaped[Tensor, "time read *grid"]:
        """Of prepared frames what is read."""
        return _taken(frames, self.read)

    def targets(self, frames: Shaped[Tensor, "time channel *grid"]) -> Shaped[Tensor, "time target *grid"]:
        """Of prepared frames what is to be made, with its masks."""
        return _taken(frames, self.made)


def names_of(volume: xr.Dataset) -> list[str]:
    """The names of the channels of a prepared volume that are data, and no masks."""
    return [str(name) for name in volume["channel"].values[: data_channels(volume)]]


def _taken(frames: Tensor, positions: tuple[int, ...]) -> Tensor:
    return frames if positions == tuple(range(frames.shape[1])) else frames[:, list(positions)]
