"""The base of mixers whose states are a scan of `ssm_ops`: what enters a state, the transition, what is read of it."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor, nn

from ssm_ops.carry import ASK, LATER, Program
from ssm_ops.classes import Classes
from ssm_ops.learned import SelectiveSteps
from ssm_ops.memory import Rooms
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.scanning import final_carry, scan
from ssm_ops.stitch import Stitch, Stitching
from ssm_ops.transition import Kernel, Transition


class Scanned(Mixer):
    """h_t = A^dt_t * h_{t-1} + u_t, with offsets u_t made of x_t and outputs y_t made of h_t and x_t, frame by frame.

    What a run of time does to its carry is an affine map that needs no carry to be known, so shards run side by side.
    The carry is the spectrum (state, *spectrum) of the state, in the precision of the weights.

    A member has `enters` and `leaves`.

    Args:
        states: State channels.
        family: A module that returns the transition of `states` channels, see `learned.py`.
        steps: Makes the mixer selective: dt_t is `steps(x_t)`, one a state. Without it dt_t is 1.

    Raises:
        ValueError: Steps are given with a family of kernels.
    """

    side_by_side: ClassVar[bool] = True
    uneven: ClassVar[bool] = True

    def __init__(self, states: int, family: nn.Module, steps: SelectiveSteps | None = None):
        super().__init__()
        self.states, self.family, self.steps = states, family, steps
        if steps is not None and isinstance(family(), Kernel):
            raise ValueError("selective steps with a kernel, which is one whole step of time; use another family")
        self._rooms = Rooms()

    @abstractmethod
    def enters(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        transition: Transition,
        dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None,
    ) -> Inexact[Tensor, "time state *grid"]:
        """The offsets of the states, where a step of time is `dt`, finite; `None` is 1."""

    @abstractmethod
    def leaves(self, states: Inexact[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...]) -> Frames:
        """The outputs of frames, of their states and what came in."""

    def forward(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        carry: Shaped[Tensor, "..."] | None = None,
        dt: Float[Tensor, "time"] | None = None,
    ) -> tuple[Frames, Shaped[Tensor, "..."]]:
        """As `Mixer.forward`; steps may have any length, unless the transition is a kernel."""
        transition, (offsets,), (steps,) = self.meets([x], boundary, None if dt is None else [dt])
        states, left = scan(offsets, transition, boundary=boundary, carry=carry, dt=steps, backend="spectral")
        return self.leaves(states, x, boundary), left

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Shaped[Tensor, "..."]
    ) -> tuple[Frames, Shaped[Tensor, "..."]]:
        return self(x, boundary, carry)

    def program(
        self,
        chunks: list[Float[Tensor, "_ channel *grid"]],
        boundary: tuple[str, ...],
        dt: list[Float[Tensor, "_"]] | None = None,
    ) -> Program[list[Float[Tensor, "_ channel *grid"]]]:
        """The outputs of consecutive chunks of one shard. Yields the shard's summary once, is sent its carry; without
        gradients it asks first whether the carry is there, see `carry.py`.

        The carry is the spectrum (state, *spectrum) of the state before the first frame, in the input's precision. The
        summary's transition is a to the power of the time that the shard spans, which in a selective layer is a sum
        over its own inputs, one a state.

        Args:
            chunks: The frames.
            boundary: The boundary of each axis.
            dt: The time from the frame before to each frame, one tensor a chunk; `None` is 1, `inf` forgets what was
                before (see `scan`): the outputs from there on are those of frames that begin there, with a step of 1.
                A selective layer multiplies its steps by it.
        """
        transition, offsets, steps = self.meets(chunks, boundary, dt)
        stitching = Stitching(transition, boundary, rooms=self._rooms)
        pieces = [stitching.shard(u, dt=own) for u, own in zip(offsets, steps, strict=True)]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*offsets, *self.parameters())):
            final, outputs = None, []
            for u, own in zip(offsets, steps, strict=True):
                final = final_carry(u, transition, boundary=boundary, carry=final, dt=own)
            carry = yield stitching.summary(pieces, final)
            for u, own, x in zip(offsets, steps, chunks, strict=True):
                states, carry = scan(u, transition, boundary=boundary, carry=carry, dt=own, backend="spectral")
                outputs.append(self.leaves(states, x, boundary))
            return outputs
        del offsets  # a piece that has kept its spectra needs its own no more
        return (yield from self._stitched(stitching, pieces, chunks))

    def _stitched(self, stitching: Stitching, pieces: list[Stitch], chunks: list[Tensor]) -> Program[list[Tensor]]:
        """The outputs, in one pass where the carry is here already, in two where it is not; the bits are the same."""
        outputs, finals = [], []
        carry = yield ASK
        known = carry is not LATER
        for piece, x in zip(pieces, chunks, strict=True):
            if known:
                states, final = piece.through(carry)
                outputs.append(self.leaves(states, x, stitching.boundary))
                carry = stitching.summary([piece], final)(carry)
            else:
                final = piece.keep()
            finals.append(final)
        whole = None
        for piece, final in zip(pieces, finals, strict=True):
            whole = stitching.summary([piece], final)(whole)
        carry = yield stitching.summary(pieces, whole)
        if not known:
            for piece, final, x in zip(pieces, finals, chunks, strict=True):
                outputs.append(self.leaves(piece.finish(carry), x, stitching.boundary))
                carry = stitching.summary([piece], final)(carry)
        return outputs

    def power(
        self, shape: tuple[int, ...], boundary: tuple[str, ...], span: int | float
    ) -> Shaped[Tensor, "state *spectrum"]:
        """What a run of time of `span` leaves of a carry; of a layer whose input chooses no steps."""
        transition = self.family()
        grid = transition.basis(shape, tuple(boundary), self.states)
        return transition.power(grid, span).to(grid.spectrum_dtype(self.kind))

    def classes(self, shape: tuple[int, ...], boundary: tuple[str, ...], tolerance: float) -> Classes:
        """Which frequencies of a carry must travel, on such a grid; of a layer whose input chooses no steps."""
        transition = self.family()
        return Classes(transition, transition.basis(shape, tuple(boundary), self.states), self.states, tolerance)

    def sent_bytes(self, shape: tuple[int, ...], boundary: tuple[str, ...], tolerance: float) -> int:
        """Bytes of what is sent of a carry on a grid of that shape; arguments and errors as of `classes`."""
        classes = self.classes(shape, boundary, tolerance)
        return classes.sent * classes.grid.spectrum_dtype(self.kind).itemsize

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        grid = self.family().basis(shape, tuple(boundary), self.states)
        return (self.states, *grid.spectrum_shape), grid.spectrum_dtype(self.kind)

    def meets(
        self,
        chunks: list[Float[Tensor, "_ channel *grid"]],
        boundary: tuple[str, ...],
        dt: list[Float[Tensor, "_"]] | None = None,
    ) -> tuple[Transition, list[Inexact[Tensor, "_ state *grid"]], list[Tensor | None]]:
        """What is scanned: the transition, and the offsets and the steps of each chunk.

        Steps are (time,) or (time, state), `None` where all are 1; offsets are those of a step of 1 where it is
        infinite. Arguments as for `program`.
        """
        transition = self.family()
        steps = [None] * len(chunks) if dt is None else dt
        known = [None if time is None else torch.where(torch.isinf(time), 1, time) for time in steps]
        if self.steps is not None:
            chosen = [self.steps(x) for x in chunks]
            known = [own if time is None else own * time[:, None] for own, time in zip(chosen, known, strict=True)]
            steps = known if dt is None else [_endless(own, time) for own, time in zip(known, dt, strict=True)]
        offsets = [self.enters(x, boundary, transition, own) for x, own in zip(chunks, known, strict=True)]
        return transition, [u if u.is_complex() else u.to(self.kind) for u in offsets], steps


def _endless(steps: Float[Tensor, "time state"], dt: Float[Tensor, "time"]) -> Float[Tensor, "time state"]:
    """Steps, infinite where `dt` is; of what is infinite no gradient passes."""
    return torch.where(torch.isinf(dt)[:, None], math.inf, steps)
