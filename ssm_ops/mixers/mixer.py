"""The interface of all sequence models: a run of frames and the carry that enters it, to outputs and the carry that
leaves."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ssm_ops.carry import Carry, Program

Frames = Float[Tensor, "time channel *grid"]


class Mixer(nn.Module, ABC):
    """A sequence model: y_t is made of x_t and the frames before it.

    What the frames before leave is the *carry*, one tensor of a fixed shape, `None` where there are none. Outputs and
    carries are the same however time is cut into runs, to round-off; so are gradients.

    A member has `through`, a run of frames, and where one frame can be had for less, `one`. Both get a carry, zeros
    where nothing came before: a member lays its carry out so that zeros mean that.

    Attributes:
        parallel: Whether a run is computed without a loop over its frames.
        side_by_side: Whether the shards of a series run side by side, see `scanned.Scanned`; else each waits for the
            carry of the one before it.
        uneven: Whether steps of time may have any length.
    """

    parallel: ClassVar[bool] = True
    side_by_side: ClassVar[bool] = False
    uneven: ClassVar[bool] = False

    @abstractmethod
    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Shaped[Tensor, "..."]
    ) -> tuple[Frames, Shaped[Tensor, "..."]]:
        """The outputs of a run of frames, and the carry that leaves it."""

    def one(
        self, x: Float[Tensor, "channel *grid"], boundary: tuple[str, ...], carry: Shaped[Tensor, "..."]
    ) -> tuple[Float[Tensor, "channel *grid"], Shaped[Tensor, "..."]]:
        """The output of one frame, and the carry that leaves it."""
        (y,), carry = self.through(x[None], boundary, carry)
        return y, carry

    @abstractmethod
    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        """The shape and the dtype of the carry on a grid of that shape."""

    @property
    def kind(self) -> torch.dtype:
        """The dtype of the weights; of complex ones that of their parts."""
        return next(self.parameters()).dtype.to_real()

    def forward(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        carry: Shaped[Tensor, "..."] | None = None,
        dt: Float[Tensor, "time"] | None = None,
    ) -> tuple[Frames, Shaped[Tensor, "..."]]:
        """The outputs of a run of frames, and the carry that leaves it.

        Args:
            x: The frames.
            boundary: Of each axis of the grid, see `spectrum.BOUNDARIES`.
            carry: What the frames before left.
            dt: The time from the frame before to each frame; `None` is 1, `inf` forgets what was before.

        Raises:
            ValueError: A step is neither 1 nor infinite, and the mixer is not `uneven`.
        """
        outputs = []
        for span, anew in _runs(len(x), dt, type(self).__name__):
            if carry is None or anew:
                carry = self.start(x, boundary)
            kind = carry.dtype  # under autocast products may come in another
            if span.stop - span.start == 1:
                y, carry = self.one(x[span.start], boundary, carry)
                outputs.append(y[None])
            else:
                y, carry = self.through(x[span], boundary, carry)
                outputs.append(y)
            carry = carry.to(kind)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)), carry

    def step(
        self, x: Float[Tensor, "channel *grid"], boundary: tuple[str, ...], carry: Shaped[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "channel *grid"], Shaped[Tensor, "..."]]:
        """The output of one frame, and the carry that leaves it."""
        (y,), carry = self(x[None], boundary, carry)
        return y, carry

    def program(
        self,
        chunks: list[Float[Tensor, "_ channel *grid"]],
        boundary: tuple[str, ...],
        dt: list[Float[Tensor, "_"]] | None = None,
    ) -> Program[list[Float[Tensor, "_ channel *grid"]]]:
        """The outputs of consecutive chunks of one shard. Yields the shard's summary once, is sent its carry; see
        `ssm_ops.carry`. Arguments and errors as of `forward`."""

        def run(carry: Carry) -> tuple[list[Float[Tensor, "_ channel *grid"]], Carry]:
            outputs = []
            for x, steps in zip(chunks, dt or [None] * len(chunks), strict=True):
                y, carry = self(x, boundary, carry, steps)
                outputs.append(y)
            return outputs, carry

        sequel = Sequel(run)
        carry = yield sequel
        sequel(carry)
        return sequel.outputs

    def start(self, x: Float[Tensor, "time channel *grid"], boundary: tuple[str, ...]) -> Shaped[Tensor, "..."]:
        """The carry where nothing came before."""
        shape, kind = self.carry_form(tuple(x.shape[2:]), boundary)
        return x.new_zeros(shape, dtype=kind)

    def carry_bytes(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> int:
        """Bytes of the carry on a grid of that shape."""
        shape, kind = self.carry_form(shape, boundary)
        return math.prod(shape) * kind.itemsize


class Sequel:
    """What a shard does to a carry where only a run of it tells: the run itself, once.

    Args:
        run: From the carry that enters to outputs and the carry that leaves.

    Attributes:
        outputs: Those of the run, once it was called.
    """

    def __init__(self, run: Callable[[Carry], tuple[Any, Carry]]):
        self._run = run
        self._leaving: Carry = None
        self.outputs: Any = None

    def __call__(self, carry: Carry) -> Carry:
        """The carry that leaves. The carry that enters is the same in every call."""
        if self._run is not None:
            (self.outputs, self._leaving), self._run = self._run(carry), None
        return self._leaving


def _runs(frames: int, dt: Float[Tensor, "time"] | None, name: str) -> Iterator[tuple[slice, bool]]:
    """The frames between those that forget what was before; and whether each run begins with one that does."""
    forgets = torch.zeros(frames, dtype=torch.bool) if dt is None else torch.isinf(dt).cpu()
    if dt is not None and bool(((dt != 1).cpu() & ~forgets).any()):
        other = dt[dt != 1][0].item()
        raise ValueError(f"a step of {other:g} for {name}, which knows only steps of 1 and a beginning (inf)")
    borders = [0, *(n for n in range(1, frames) if forgets[n]), frames]
    for first, stop in itertools.pairwise(borders):
        yield slice(first, stop), bool(forgets[first])
