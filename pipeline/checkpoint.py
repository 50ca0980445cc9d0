"""Checkpoints are Zarr stores: weights as named arrays, optimiser state, statistics; whole or not there at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xxhash

from pipeline.model import Forecaster
from pipeline.storage import arrays
from pipeline.volume import InputError

GROUPS = ("weights", "optimiser", "best", "statistics", "average")
"""The fields of a checkpoint that are named arrays; in the store `weights.encoder.weight`."""

KEPT = ("step", "description", "best_error", "learned_from", "rollbacks", "channels")
"""The fields that are attributes of the store."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""What reading a damaged store raises, depending on where it was hit."""


@dataclass(frozen=True)
class Checkpoint:
    """What training has reached.

    Attributes:
        step: Training steps done.
        description: How to build the model, see `Forecaster.description`.
        weights: The model's weights.
        optimiser: Per weight, the optimiser's moments.
        best: The weights with the smallest validation error so far; of averaged weights, where training averages.
        statistics: Those of the training frames, see `pipeline.normalisation`.
        best_error: Its validation mean squared error, in the data's own units squared; of labels the cross-entropy.
        learned_from: What the statistics are of: the training periods by their series and dates.
        average: The average of the weights, see `training.average`; nothing where training takes none.
        norms: Norms of the last gradients, float64, the oldest first; nothing where training does not look at them.
        rollbacks: How training went back so far, see `pipeline.train`: flat records, the first first.
        channels: The names of the channels `known` (of which the statistics are), and those the model `reads` and
            `makes`; nothing where it reads and makes whatever there is.
    """

    step: int
    description: dict
    weights: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray]
    best: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]
    best_error: float
    learned_from: dict = field(default_factory=dict)
    average: dict[str, np.ndarray] = field(default_factory=dict)
    norms: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rollbacks: tuple[dict, ...] = ()
    channels: dict[str, list[str]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the store at `path`; it appears whole. There is no random state: all draws are keyed by the step."""
        named = {f"{group}.{name}": array for group in GROUPS for name, array in getattr(self, group).items()}
        if self.norms.size:
            named["norms"] = self.norms
        attributes = {name: getattr(self, name) for name in KEPT}
        arrays.write_arrays(path, named, attributes | {"digests": digests(named, attributes)})

    @staticmethod
    def load(path: Path) -> Checkpoint:
        """Reads a store that `save` wrote, to the bit.

        Raises:
            InputError: It cannot be read, or is not what was written; the message says what of it.
        """
        if not arrays.is_store(path):
            raise InputError(f"{path} is no Zarr store; give a checkpoint that train wrote")
        try:
            found, attributes = arrays.read_arrays(path)
            written = attributes.pop("digests")
            told = digests(found, attributes)
            kept = {name: attributes[name] for name in KEPT}
        except UNREADABLE as error:
            raise InputError(
                f"{path} cannot be read as a checkpoint: {type(error).__name__}, {error}; give another one"
            ) from error
        for name in sorted(written.keys() | told.keys()):
            if written.get(name) != told.get(name):
                raise InputError(
                    f"{path} is damaged: the digest of {name or 'its attributes'} is {told.get(name)}, written was "
                    f"{written.get(name)}; give another one"
                )

        def group(prefix: str) -> dict[str, np.ndarray]:
            return {_now(k.removeprefix(prefix)): v for k, v in found.items() if k.startswith(prefix)}

        kept["rollbacks"] = tuple(kept["rollbacks"])
        norms = found.get("norms", np.zeros(0))
        return Checkpoint(**{name: group(f"{name}.") for name in GROUPS}, **kept, norms=norms)

    def best_model(self) -> Forecaster:
        """The model with the smallest validation error, for inference."""
        return self.model_with(self.best)

    def model_with(self, weights: dict[str, np.ndarray]) -> Forecaster:
        """The model with some of these weights, for inference: they take no gradients.

        Not left to `torch.no_grad`: around a program that pauses it would switch gradients off for whoever runs
        meanwhile.
        """
        model = Forecaster.from_description(self.description)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return model.eval().requires_grad_(False)


def _now(name: str) -> str:
    """The name of a weight now: when ConvSSM was the only mixer, a block's was called ssm."""
    return name.replace(".ssm.", ".mixer.")


def digests(named: dict[str, np.ndarray], attributes: dict) -> dict[str, str]:
    """The digests of arrays by name, and under the empty name that of the attributes."""
    text = json.dumps(attributes, sort_keys=True).encode()
    return {"": xxhash.xxh3_128_hexdigest(text)} | {
        name: xxhash.xxh3_128_hexdigest(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        for name, array in named.items()
    }


def to_arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copies of named tensors as numpy arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
