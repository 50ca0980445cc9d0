"""The loss of a window through time: whole, chunk after chunk, or on one worker among others. Gradients are exact.

From the frames up to t something is made: the forecast of frame t + 1, or what frame t should be. The losses of a
run of time are those of what is made from its frames; the window's are the sum over its runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.model import Forecaster
from pipeline.network.block import Block
from ssm_ops import TimeExchange
from ssm_ops.carry import Carry
from ssm_ops.chunks import Step, in_chunks
from ssm_ops.through_time import across_ranks, entering_carry

Frames = Float[Tensor, "time channel *grid"]


@dataclass(frozen=True)
class Run:
    """A run of a window's time: what is read, and what it is compared with.

    Attributes:
        model: Whose losses.
        frames: The frames that are read, without an axis of depth where there is only one.
        before: The frame before the first; at the start of a window the first itself.
        targets: What is to be made from each.
        scored: Which of these count.
        steps: The time from the frame before to each frame; `None` is 1.
    """

    model: Forecaster
    frames: Frames
    before: Float[Tensor, "channel *grid"]
    targets: Float[Tensor, "time target *grid"]
    scored: Bool[Tensor, "time"]
    steps: Float[Tensor, "time"] | None = None

    @staticmethod
    def of_window(
        reads: Float[Tensor, "time read depth height width"],
        targets: Float[Tensor, "time target depth height width"],
        model: Forecaster,
        *,
        first: int,
        burn_in: int,
        steps: Float[Tensor, "time"] | None = None,
    ) -> Run:
        """The run that begins at frame `first` of its window.

        Args:
            reads: Its frames as the model reads them, the one before it (unless it is the window's first) and, for
                forecasts, the one after it.
            targets: The same frames as they are to be made.
            model: Whose losses.
            first: See above.
            burn_in: First frames of the window that are not scored.
            steps: The time from the frame before to each frame; `None` is 1.
        """
        if model.depth == 1:
            reads, targets = reads.squeeze(2), targets.squeeze(2)
        lead = model.settings.lead
        own = slice(0 if first == 0 else 1, len(reads) - lead)
        targets = targets[own.start + lead :]
        scored = torch.arange(first, first + len(targets), device=reads.device) >= burn_in
        return Run(model, reads[own], reads[0], targets, scored, None if steps is None else steps[own])

    def read(self) -> Float[Tensor, "time input *grid"]:
        """What the encoder reads."""
        return self.model.read(self.frames, self.before, self.steps)

    def steps_of(self, span: slice) -> Float[Tensor, "_"] | None:
        return None if self.steps is None else self.steps[span]

    def valued(self) -> int:
        """How many voxels are scored."""
        return self.model.valued(self.targets[self.scored])

    def losses(self, span: slice, stream: Frames) -> Float[Tensor, "time"]:
        """The losses of what is made from some of the frames, summed over each; 0 where not scored."""
        made = self.model.frames_of(self.frames[span], stream)
        sums = self.model.losses(made, self.targets[span]).flatten(1).sum(1)
        return torch.where(self.scored[span], sums, 0)


def loss(model: Forecaster, run: Run, *, recompute: int, truncate: int | None) -> Float[Tensor, ""]:
    """The sum of the losses of a whole window, in one worker.

    Chunk after chunk goes through all layers, and of each only its frames and the carries that enter it are held until
    the backward pass, which computes the rest again.

    Args:
        recompute: Frames of a chunk.
        truncate: Chunks after which the gradient is cut: carries go on, what made them is no longer asked.
    """

    def step(span: slice, read: Frames, carries: list[Carry]) -> tuple[Tensor, list[Carry]]:
        stream, leaving = model.encoder(read), []
        for block, carry in zip(model.blocks, carries, strict=True):
            stream, left = _through(block, stream, model.boundary, carry, run.steps_of(span))
            leaving.append(left)
        return run.losses(span, stream), leaving

    nothing, parameters = [None] * len(model.blocks), list(model.parameters())
    losses, _ = in_chunks(step, run.read(), nothing, length=recompute, parameters=parameters, cut=truncate)
    return losses.sum()


def loss_across(model: Forecaster, run: Run, exchange: TimeExchange, *, recompute: int | None) -> Float[Tensor, ""]:
    """The sum of the losses of this worker's run of a window that several share; they call it together.

    Layer after layer, for each layer's carries are exchanged. With `recompute` the backward pass computes each layer's
    chunks of so many frames again; what is held is each layer's input, and the carries that enter its chunks.
    """
    if recompute is None:
        stream = model.encoder(run.read())
        for block in model.blocks:
            stream = block.add(stream, across_ranks(block.mixer, stream, model.boundary, exchange, run.steps))
        return run.losses(slice(None), stream).sum()

    def chunked(module: nn.Module, step: Step, x: Frames, *carries: Carry) -> Tensor:
        return in_chunks(step, x, carries, length=recompute, parameters=module.parameters())[0]

    def through(block: Block) -> Step:
        def step(span: slice, x: Frames, carries: list[Carry]) -> tuple[Tensor, list[Carry]]:
            stream, left = _through(block, x, model.boundary, carries[0], run.steps_of(span))
            return stream, [left]

        return step

    stream = chunked(model.encoder, lambda _, x, none: (model.encoder(x), none), run.read())
    for block in model.blocks:
        carry = entering_carry(block.mixer, stream, model.boundary, exchange, run.steps, length=recompute)
        stream = chunked(block, through(block), stream, carry)
    return chunked(model.decoder, lambda span, x, none: (run.losses(span, x), none), stream).sum()


def _through(
    block: Block, stream: Frames, boundary: tuple[str, ...], carry: Carry, dt: Float[Tensor, "_"] | None
) -> tuple[Frames, Carry]:
    """A chunk through one layer."""
    output, left = block.mixer(stream, boundary, carry, dt)
    return block.add(stream, output), left
