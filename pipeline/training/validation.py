"""The error of a model on the validation frames, with the series' whole past as its memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.behind import carries_behind
from pipeline.elapsed import elapsed
from pipeline.model import Behind, Forecaster
from pipeline.roles import Roles
from pipeline.splits import Span, by_series
from pipeline.storage import store
from pipeline.volume import InputError


@torch.no_grad()
def validation_error(
    model: Forecaster,
    roles: Roles,
    path: Path,
    spans: list[Span],
    scale: Float[np.ndarray, "channel _ _ _"],
    *,
    length: int,
    device: torch.device,
) -> float:
    """The mean squared error of some spans, of forecasts one step ahead, in the data's own units squared, over the
    voxels that have a value; of labels the mean cross-entropy.

    Args:
        model: Whose error.
        roles: Which channels it reads and makes.
        path: The prepared store.
        spans: Of the validation split.
        scale: What a normalised difference of the channels that are made is multiplied by, to be one in the data's
            units.
        length: Frames that go through the model at a time: as many as a training step takes, so that it takes no more
            memory.
        device: Where.

    Raises:
        InputError: None of the frames has a value.
    """
    total, valued = 0.0, 0
    for series, own in by_series(spans).items():
        found, count = _Series(model, roles, path, series, length, device).losses(own, torch.from_numpy(scale))
        total, valued = total + found, valued + count
    if valued == 0:
        raise InputError("no frame of the validation split has a value to be scored on; choose other periods")
    return total / valued


class _Series:
    """A series that goes through a model chunk after chunk."""

    def __init__(self, model: Forecaster, roles: Roles, path: Path, series: str, length: int, device: torch.device):
        self.model, self.roles, self.path, self.series = model, roles, path, series
        self.length, self.device = length, device
        self.steps = elapsed(store.open_volume(path, series), model.unit)

    def losses(self, spans: list[Span], scale: Tensor) -> tuple[float, int]:
        """The losses over some spans, from the series' first frame on; and of how many voxels they are."""
        model, lead = self.model, self.model.settings.lead
        total, valued, carries, stop = 0.0, 0, None, spans[-1].stop - lead
        chunks = [(first, min(first + self.length, stop)) for first in range(0, stop, self.length)]
        behind = carries_behind(model, chunks, self._read, self._steps) if model.settings.bidirectional else {}
        for first, last in chunks:
            frames = self._frames(first, last + lead)
            later = Behind(behind.get(last), self._as_list(self._steps(first + 1, last + 1)))
            read, steps = self.roles.inputs(frames[: last - first]).to(self.device), self._steps(first, last)
            made, carries = model(read, carries, steps, later)
            for span in spans:
                wanted = span.scored if lead else range(span.start, span.stop)
                ends = (min(max(frame - lead - first, 0), last - first) for frame in (wanted.start, wanted.stop))
                scored = slice(*ends)
                aim = self.roles.targets(frames[lead:][scored])
                total += self._loss(made[scored].cpu(), aim, scale)
                valued += model.valued(aim)
        return total, valued

    def _loss(self, made: Tensor, target: Tensor, scale: Tensor) -> float:
        if self.model.settings.classes is not None:
            return self.model.losses(made, target).double().sum().item()
        return (self.model.errors(made, target).double() * scale).square().sum().item()

    def _frames(self, first: int, stop: int) -> Tensor:
        return torch.from_numpy(store.read_frames(self.path, self.series, first, stop))

    def _read(self, first: int, stop: int) -> Tensor:
        return self.roles.inputs(self._frames(first, stop)).to(self.device)

    def _steps(self, first: int, stop: int) -> Tensor | None:
        """The steps to the frames [first, stop); one beyond the last is 1."""
        if self.steps is None:
            return None
        steps = np.append(self.steps, np.float32(1))[first:stop]
        return torch.from_numpy(steps).to(self.device)

    @staticmethod
    def _as_list(steps: Tensor | None) -> list[Tensor] | None:
        return None if steps is None else [steps]
