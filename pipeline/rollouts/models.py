"""The members of an ensemble: models, and the perturbed starts of each."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from pipeline.checkpoint import Checkpoint
from pipeline.model import Forecaster
from pipeline.rolling import Standing
from pipeline.rollouts.settings import RolloutSettings
from pipeline.rollouts.starts import Start
from pipeline.training.checkpoints import Checkpoints
from pipeline.volume import InputError

ROLES = ("prepared", "model")


def trainings(inputs: Mapping[str, Path]) -> list[Path]:
    """The folders of the `train` stages: `model` first, then the others by their names."""
    return [inputs["model"], *(inputs[role] for role in sorted(inputs) if role not in ROLES)]


def load_models(inputs: Mapping[str, Path], checkpoints: int, statistics: Mapping[str, np.ndarray]) -> list[Forecaster]:
    """Of each training the best model, and then its last `checkpoints`, the earliest first: with averaged weights where
    training averages.

    Args:
        statistics: Those that the series were normalised by.

    Raises:
        InputError: Fewer checkpoints were kept, or a model learned from series that were normalised otherwise.
    """
    found = []
    for folder in trainings(inputs):
        best = Checkpoint.load(folder / "checkpoint.zarr")
        task = best.description["model"]["task"]
        if task != "forecast":
            raise InputError(f"{folder.name} has a model of task {task!r}, and only forecasts can be rolled out")
        refuse_other_statistics(folder, best.statistics, statistics)
        found.append(best.best_model())
        kept = Checkpoints(folder, checkpoints)
        if len(kept.steps()) < checkpoints:
            raise InputError(
                f"checkpoints is {checkpoints}, and {folder.name} has {len(kept.steps())}; set keep of that train "
                f"stage to at least {checkpoints}, or checkpoints to at most {len(kept.steps())}"
            )
        for step in kept.steps()[len(kept.steps()) - checkpoints :]:
            one = Checkpoint.load(kept.path(step))
            found.append(one.model_with(one.average or one.weights))
    return found


def refuse_other_statistics(folder: Path, learned: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> None:
    """Refuses a model whose normalised numbers are not those of the series."""
    for name in sorted(learned.keys() | now.keys()):
        one, other = learned.get(name), now.get(name)
        if one is None or other is None or not np.array_equal(one, other, equal_nan=True):
            raise InputError(
                f"{folder.name} learned from series whose {name} of the training frames is another than that of the "
                "prepared ones; prepare both with the same training periods and settings"
            )


class Members:
    """The members of an ensemble: of each model `count`, numbered through.

    Args:
        models: On their device.
        settings: How many, and what sets them apart.
    """

    def __init__(self, models: Sequence[Forecaster], settings: RolloutSettings):
        self._settings = settings
        self.models = [model for model in models for _ in range(settings.members)]

    def __len__(self) -> int:
        return len(self.models)

    def begin(self, start: Start, standings: Sequence[Standing]) -> list[Standing]:
        """Where each member stands at a start, given where each model does."""
        each = [standing for standing in standings for _ in range(self._settings.members)]
        return [self._perturbed(standing, start, member) for member, standing in enumerate(each)]

    def _perturbed(self, standing: Standing, start: Start, member: int) -> Standing:
        """With noise on what has a value."""
        if self._settings.perturbation == 0:
            return standing
        channels = self.models[member].volume_channels
        key = [self._settings.seed, zlib.crc32(start.series.encode()), start.frame, member]
        drawn = np.random.default_rng(key).standard_normal((channels, *standing.frame.shape[1:]), np.float32)
        noise = torch.from_numpy(drawn).to(standing.frame.device) * self._settings.perturbation
        data, masks = standing.frame[:channels], standing.frame[channels:]
        return standing._replace(frame=torch.cat([data + (noise * masks if len(masks) else noise), masks]))
