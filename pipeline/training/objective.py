"""The loss of a step and its gradient: the windows of the step, divided over the workers, and one message that sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.mesh import Member, share_of
from pipeline.model import Forecaster
from pipeline.rolling import Standing, fed_back, roll
from pipeline.through_time import Run, squares, squares_across
from pipeline.training.curriculum import Cut
from pipeline.training.settings import TrainSettings

Window = tuple[str, int]
"""A window by its series and first frame."""

Frames = Float[Tensor, "time read depth height width"]


class Objective:
    """What training makes small.

    Args:
        model: Whose weights get the gradient.
        frame: Numbers of a frame, without masks.
        member: This worker.
    """

    def __init__(self, settings: TrainSettings, model: Forecaster, frame: int, member: Member):
        self.settings, self.model, self.frame, self.member = settings, model, frame, member
        self.device = next(model.parameters()).device

    def parts(self, firsts: list[Window], cut: Cut) -> list[tuple[Window, int, int]]:
        """What this worker reads of a step's windows, in the order in which it does: of each some frames
        [start, stop)."""
        settings, member = self.settings, self.member
        own = self._own(cut)
        rows = share_of(settings.batch, member.data_rank, member.data_size)
        return [(firsts[number], max(own.start - 1, 0), own.stop + 1) for number in rows]

    def loss(self, parts: Iterable[Frames], cut: Cut) -> float:
        """The loss of a step, given the frames of its `parts`, in units of the normalised data squared: the mean over
        all voxels that are scored and have a value. Its gradient is added to the weights'; both are of all workers.

        One part after another goes forward and backward, so no more than one is held at a time.
        """
        loss, valued, scored = 0.0, 0, cut.scored * self.frame * self.settings.batch
        for frames in parts:
            with self._precision():
                found, own = self._squares(frames.to(self.device), cut)
            share = found / scored
            share.backward()
            loss, valued = loss + share.item(), valued + own
        return self._summed(loss, valued, scored)

    def _own(self, cut: Cut) -> range:
        """The frames of a window that this worker forecasts from, or rolls out."""
        return share_of(cut.window - 1, self.member.time_rank, self.member.time_size)

    def _squares(self, frames: Frames, cut: Cut) -> tuple[Float[Tensor, ""], int]:
        """The squared errors of this worker's part of a window, and how many they are."""
        settings, member = self.settings, self.member
        if member.time_size == 1 and settings.recompute is None:
            forecasts, scored = forecasts_of(self.model, frames, cut.horizon), frames[cut.burn_in + 1 :]
            return self.model.errors(forecasts[cut.burn_in :], scored).square().sum(), self.model.valued(scored)
        run = Run.of_window(frames, self.model, first=self._own(cut).start, burn_in=cut.burn_in)
        if member.time_size > 1:
            return squares_across(self.model, run, member.exchange, recompute=settings.recompute), run.valued()
        return squares(self.model, run, recompute=settings.recompute, truncate=settings.truncate), run.valued()

    def _precision(self) -> torch.autocast:
        """Within, products with weights are made in the precision of the settings. No weight that was cast is kept:
        one that was cast without gradients would be taken where they are wanted."""
        lower = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=lower, cache_enabled=False)

    def _summed(self, loss: float, valued: int, scored: int) -> float:
        """The loss of all workers; their gradients are summed in place. One message for all.

        Where values are missing, how many there are is known at the end alone: loss and gradients, which were divided
        by the number of all voxels, are then divided by the share that has a value.
        """
        gradients = [parameter.grad for parameter in self.model.parameters()]
        numbers = [loss, valued / scored] if self.model.masks else [loss]
        if self.member.data_size * self.member.time_size > 1:
            flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor(numbers)])
            sizes = [gradient.numel() for gradient in gradients]
            *totals, told = self.member.total(flat).split([*sizes, len(numbers)])
            for gradient, total in zip(gradients, totals, strict=True):
                gradient.copy_(total.view_as(gradient))
            numbers = told.tolist()
        loss, *shares = numbers
        for share in filter(None, shares):
            loss /= share
            for gradient in gradients:
                gradient.div_(share)
        return loss


def forecasts_of(
    model: Forecaster, frames: Frames, horizon: int
) -> Float[Tensor, "after_first channel depth height width"]:
    """Forecasts of all frames of a window but the first: one step ahead, and of its last `horizon` frames by rolling
    out. Differentiable through all of it."""
    if horizon == 1:  # the last frame goes along: a shorter run of time may round otherwise
        return model(frames)[0][:-1]
    read = frames[:-horizon]
    forecasts, carries = model(read)
    rolled = roll(model, Standing(fed_back(forecasts[-1], read[-1]), carries))
    further = [standing.frame[None, : model.volume_channels] for standing in itertools.islice(rolled, horizon - 1)]
    return torch.cat([forecasts, *further])
