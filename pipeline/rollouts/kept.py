"""Where forecasts stand, kept: what it takes to go on, later or after a kill."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.baselines import Frame
from pipeline.rolling import Standing
from pipeline.storage import arrays


@dataclass(frozen=True)
class Underway:
    """What has come of a start.

    Attributes:
        lead: How many frames ahead it is.
        standings: Of each member.
        baselines: What baselines that see a series forecast at the start, by name, in the data's units.
    """

    lead: int
    standings: list[Standing]
    baselines: dict[str, Frame]


def as_arrays(standings: list[Standing]) -> dict[str, np.ndarray]:
    """Standings by name, to be stored: `0.frame`, `0.carry_0`, .."""
    found = {}
    for number, standing in enumerate(standings):
        found[f"{number}.frame"] = standing.frame.cpu().numpy()
        if standing.step is not None:
            found[f"{number}.step"] = standing.step.cpu().numpy()
        for point, carry in enumerate(standing.carries or ()):
            found[f"{number}.carry_{point}"] = carry.cpu().numpy()
    return found


def of_arrays(found: dict[str, np.ndarray], device: torch.device) -> list[Standing]:
    """What `as_arrays` gave, to the bit; other names are left alone."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(found[name]).to(device)

    standings: list[Standing] = []
    while f"{len(standings)}.frame" in found:
        number = len(standings)
        points = sum(name.startswith(f"{number}.carry_") for name in found)
        carries = [tensor(f"{number}.carry_{point}") for point in range(points)]
        step = tensor(f"{number}.step") if f"{number}.step" in found else None
        standings.append(Standing(tensor(f"{number}.frame"), carries or None, step))
    return standings


class Kept:
    """A folder of Zarr stores, each of which says where one thing stands; each is replaced as a whole.

    Args:
        folder: Where they lie.
        device: On which standings are wanted.
    """

    def __init__(self, folder: Path, device: torch.device):
        self.folder, self._device = folder, device

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.zarr"

    def write(self, name: str, underway: Underway) -> None:
        named = as_arrays(underway.standings) | {f"baseline.{key}": own for key, own in underway.baselines.items()}
        arrays.write_arrays(self.path(name), named, {"lead": underway.lead})

    def read(self, name: str) -> Underway | None:
        """What was written last; `None` where nothing was."""
        if not arrays.is_store(self.path(name)):
            return None
        found, told = arrays.read_arrays(self.path(name))
        baselines = {key.removeprefix("baseline."): own for key, own in found.items() if key.startswith("baseline.")}
        return Underway(told["lead"], of_arrays(found, self._device), baselines)

    def lead(self, name: str) -> int:
        """How far it is, by what was written last; 0 where nothing was."""
        return arrays.read_attributes(self.path(name))["lead"] if arrays.is_store(self.path(name)) else 0

    def clear(self) -> None:
        """Removes all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.path(name), ignore_errors=True)
