"""Checkpoints are Zarr stores: weights as named arrays, optimiser state, statistics; whole or not there at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pipeline.model import Forecaster
from pipeline.storage import arrays


@dataclass(frozen=True)
class Checkpoint:
    """What training has reached.

    Attributes:
        step: Training steps done.
        description: How to build the model, see `Forecaster.description`.
        weights: The model's weights.
        optimiser: Per weight, the optimiser's moments.
        best: The weights with the smallest validation error so far.
        statistics: Those of the training frames, see `pipeline.normalisation`.
        best_error: Its validation mean squared error, in the data's own units squared.
        learned_from: What the statistics are of: the training periods by their series and dates.
    """

    step: int
    description: dict
    weights: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray]
    best: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]
    best_error: float
    learned_from: dict = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the store at `path`; it appears whole. There is no random state: all draws are keyed by the step."""
        groups = {
            "weights": self.weights,
            "optimiser": self.optimiser,
            "best": self.best,
            "statistics": self.statistics,
        }
        named = {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}
        attributes = {
            "step": self.step,
            "description": self.description,
            "best_error": self.best_error,
            "learned_from": self.learned_from,
        }
        arrays.write_arrays(path, named, attributes)

    @staticmethod
    def load(path: Path) -> Checkpoint:
        found, attributes = arrays.read_arrays(path)

        def group(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}

        return Checkpoint(
            step=attributes["step"],
            description=attributes["description"],
            weights=group("weights."),
            optimiser=group("optimiser."),
            best=group("best."),
            statistics=group("statistics."),
            best_error=attributes["best_error"],
            learned_from=attributes["learned_from"],
        )

    def best_model(self) -> Forecaster:
        """The model with the smallest validation error, for inference: its weights take no gradients.

        Not left to `torch.no_grad`: around a program that pauses it would switch gradients off for whoever runs
        meanwhile.
        """
        model = Forecaster.from_description(self.description)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in self.best.items()})
        return model.eval().requires_grad_(False)


def latest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint of a folder of `step-NNNNNNNN.zarr` stores."""
    found = sorted(folder.glob("step-????????.zarr"))
    return Checkpoint.load(found[-1]) if found else None


def of_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step."""
    return Checkpoint.load(path_of(folder, step))


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.zarr"


def save_step(folder: Path, checkpoint: Checkpoint) -> None:
    """Saves a step's checkpoint and then removes the ones before it."""
    path = path_of(folder, checkpoint.step)
    older = [other for other in folder.glob("step-????????.zarr") if other != path]
    checkpoint.save(path)
    for other in older:
        shutil.rmtree(other)


def to_arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copies of named tensors as numpy arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
