"""The loss of a step and its gradient: the windows of the step, divided over the workers, and one message that sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.dataset import Sample
from pipeline.mesh import Member, share_of
from pipeline.model import Behind, Forecaster
from pipeline.roles import Roles
from pipeline.rolling import Standing, read_next, roll, with_gaps
from pipeline.through_time import Run, loss, loss_across
from pipeline.together import Together
from pipeline.training.curriculum import Cut
from pipeline.training.settings import TrainSettings

Window = tuple[str, int]
"""A window by its series and first frame."""


class Objective:
    """What training makes small.

    Args:
        model: Whose weights get the gradient.
        roles: Which channels it reads and makes.
        frame: Numbers of a frame that are made, without masks.
        member: This worker.
    """

    def __init__(self, settings: TrainSettings, model: Forecaster, roles: Roles, frame: int, member: Member):
        self.settings, self.model, self.roles, self.frame, self.member = settings, model, roles, frame, member
        self.lead, self.device = model.settings.lead, next(model.parameters()).device

    def parts(self, firsts: list[Window], cut: Cut) -> list[tuple[Window, int, int]]:
        """What this worker reads of a step's windows, in the order in which it does: of each some frames
        [start, stop)."""
        settings, member = self.settings, self.member
        own = self._own(cut)
        rows = share_of(settings.batch, member.data_rank, member.data_size)
        return [(firsts[number], max(own.start - 1, 0), own.stop + self.lead) for number in rows]

    def loss(self, parts: Iterable[Sample], cut: Cut) -> float:
        """The loss of a step, given the frames of its `parts`: the mean over all voxels that are scored and have a
        value, of squares in units of the normalised data squared. Its gradient is added to the weights'; both are of
        all workers.

        One part after another goes forward and backward, or `together` of them, so no more is held at a time.
        """
        loss, valued, scored = 0.0, 0, (cut.window - self.lead - cut.burn_in) * self.frame * self.settings.batch
        for samples in _by(self.settings.together, parts):
            with self._precision():
                found, own = self._losses([sample.to(self.device) for sample in samples], cut)
            share = found / scored
            share.backward()
            loss, valued = loss + share.item(), valued + own
        return self._summed(loss, valued, scored)

    def _own(self, cut: Cut) -> range:
        """The frames of a window that this worker forecasts from, or rolls out."""
        return share_of(cut.window - self.lead, self.member.time_rank, self.member.time_size)

    def _losses(self, samples: list[Sample], cut: Cut) -> tuple[Float[Tensor, ""], int]:
        """The losses of this worker's part of one window, or of whole windows, and of how many voxels they are."""
        settings, member, model = self.settings, self.member, self.model
        if settings.together > 1:
            frames = torch.stack([sample.frames for sample in samples])
            made = Together(model, tuple(frames.shape[-3:])).forecasts(frames, cut.horizon)[:, cut.burn_in :]
            scored = frames[:, cut.burn_in + self.lead :].flatten(0, 1)
            return model.losses(made.flatten(0, 1), scored).sum(), model.valued(scored)
        (sample,) = samples
        reads, targets = self.roles.inputs(sample.frames), self.roles.targets(sample.frames)
        if member.time_size == 1 and settings.recompute is None:
            made = made_of(model, reads, sample.steps, cut.horizon)[cut.burn_in :]
            scored = targets[cut.burn_in + self.lead :]
            return model.losses(made, scored).sum(), model.valued(scored)
        first = self._own(cut).start
        run = Run.of_window(reads, targets, model, first=first, burn_in=cut.burn_in, steps=sample.steps)
        if member.time_size > 1:
            return loss_across(model, run, member.exchange, recompute=settings.recompute), run.valued()
        return loss(model, run, recompute=settings.recompute, truncate=settings.truncate), run.valued()

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


def _by(size: int, parts: Iterable[Sample]) -> Iterator[list[Sample]]:
    """The parts in groups of a size; the last may be smaller."""
    left = iter(parts)
    while group := list(itertools.islice(left, size)):
        yield group


def made_of(
    model: Forecaster,
    frames: Float[Tensor, "time read depth height width"],
    steps: Float[Tensor, "time"] | None,
    horizon: int,
) -> Float[Tensor, "made channel depth height width"]:
    """What a model makes of the frames of a window, which it reads: forecasts of all but the first, one step ahead, and
    of the last `horizon` by rolling out, or where these are gaps all in one go; of another task something of each.
    Differentiable through all of it."""
    if model.settings.gaps:
        frames, horizon = with_gaps(frames, horizon), 1
    if horizon == 1:  # of forecasts the last frame goes along: a shorter run of time may round otherwise
        behind = Behind(steps=None if steps is None else [torch.cat([steps[1:], steps.new_ones(1)])])
        made = model(frames, steps=steps, behind=behind)[0]
        return made[: len(made) - model.settings.lead]
    read = frames[:-horizon]
    forecasts, carries = model(read, steps=None if steps is None else steps[:-horizon])
    further = [None] * horizon if steps is None else steps[-horizon:].split(1)
    rolled = roll(model, Standing(read_next(model, forecasts[-1], read[-1]), carries, further[0]), further[1:])
    return torch.cat([forecasts, *(forecast[None] for forecast, _ in rolled)])
