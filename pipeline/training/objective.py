"""The loss of a step and its gradient: the windows of the step, divided over the workers, and one message that sums."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.dataset import Windows
from pipeline.mesh import Member, share_of
from pipeline.model import Forecaster
from pipeline.through_time import Run, squares, squares_across
from pipeline.training.settings import TrainSettings


class Objective:
    """What training makes small.

    Args:
        model: Whose weights get the gradient.
        windows: What it is shown.
        frame: Numbers of a frame, without masks.
        member: This worker.
    """

    def __init__(self, settings: TrainSettings, model: Forecaster, windows: Windows, frame: int, member: Member):
        self.settings, self.model, self.windows, self.member = settings, model, windows, member
        self.device = next(model.parameters()).device
        self.scored = (settings.window - 1 - settings.burn_in) * frame * settings.batch

    def loss(self, firsts: list[tuple[str, int]]) -> float:
        """The loss of some windows, given by their series and first frames, in units of the normalised data squared:
        the mean over all voxels that have a value. Its gradient is added to the weights'; both are of all workers.
        """
        settings, member = self.settings, self.member
        loss, valued = 0.0, 0
        for number in share_of(settings.batch, member.data_rank, member.data_size):
            found, own = self._squares(firsts[number])
            share = found / self.scored
            share.backward()
            loss, valued = loss + share.item(), valued + own
        return self._summed(loss, valued)

    def _squares(self, window: tuple[str, int]) -> tuple[Float[Tensor, ""], int]:
        """This worker's part of the squared errors of a window, given by its series and first frame, and how many they
        are."""
        settings, member = self.settings, self.member
        if member.time_size == 1 and settings.recompute is None:
            frames = self.windows.read(window, 0, settings.window).to(self.device)
            forecasts, _ = self.model(frames)
            scored = frames[settings.burn_in + 1 :]
            return self.model.errors(forecasts[settings.burn_in : -1], scored).square().sum(), self.model.valued(scored)
        own = share_of(settings.window - 1, member.time_rank, member.time_size)
        frames = self.windows.read(window, max(own.start - 1, 0), own.stop + 1).to(self.device)
        run = Run.of_window(frames, self.model, first=own.start, burn_in=settings.burn_in)
        if member.time_size > 1:
            return squares_across(self.model, run, member.exchange, recompute=settings.recompute), run.valued()
        return squares(self.model, run, recompute=settings.recompute, truncate=settings.truncate), run.valued()

    def _summed(self, loss: float, valued: int) -> float:
        """The loss of all workers; their gradients are summed in place. One message for all.

        Where values are missing, how many there are is known at the end alone: loss and gradients, which were divided
        by the number of all voxels, are then divided by the share that has a value.
        """
        gradients = [parameter.grad for parameter in self.model.parameters()]
        numbers = [loss, valued / self.scored] if self.model.masks else [loss]
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
