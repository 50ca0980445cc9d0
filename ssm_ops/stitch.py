"""One shard's scan in two halves, with the carry arriving between them: local, exchange, finish.

With H the states of the shard scanned from zero and c the carry that enters it, the states are

    h_t = H_t + a^(t+1) c,        carry out = a^length c + H_last

in frequency space (linearity; `Affine`). `keep` does the forward transforms and the recurrence from zero and keeps the
spectra; `finish` adds what the carry becomes and transforms back. Where the carry is already there, `through` does both
in one pass and spares the room. It gives the same bits: that a carry came early or late, from this machine or another,
is not to be seen in the answer.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Inexact, Shaped
from torch import Tensor

from ssm_ops import spectral, streaming
from ssm_ops.affine import Affine
from ssm_ops.memory import Rooms
from ssm_ops.scan import Call
from ssm_ops.transition import Number, Transition


class Stitch:
    """The scan of one shard. Not differentiable; `time_parallel` is for training.

    Args:
        x: The inputs, (time, channel, *grid) or (batch, time, channel, *grid).
        rooms: Where the kept spectra lie, to be used again by the next shard; by default of their own.

    The other arguments are those of `scan`, and the errors too.
    """

    def __init__(
        self,
        x: Inexact[Tensor, "*frames"],
        transition: Transition,
        *,
        boundary: tuple[str, ...],
        dt: Number | Float[Tensor, "*steps"] | None = None,
        mask: Bool[Tensor, "*mask"] | None = None,
        rooms: Rooms | None = None,
    ):
        self._call = Call.of(x, transition, boundary, None, dt, mask)
        self._rooms = Rooms() if rooms is None else rooms
        self._kept = None
        self._like = self._call.x.new_empty(()).expand(self._call.x.shape)

    def keep(self) -> Shaped[Tensor, "*spectrum"]:
        """The first half: the final state of the scan from zero. The inputs are not needed after it."""
        call = self._call
        _, left, self._kept = spectral.walk(
            call.x, call.transition, call.grid, dt=call.dt, with_states=False, rooms=self._rooms
        )
        return self._whole(left)

    def finish(self, carry: Shaped[Tensor, "*spectrum"] | None) -> Inexact[Tensor, "*frames"]:
        """The second half: the states, with the carry that enters the shard (`None`: zero)."""
        call, kept = self._call, self._kept
        states = spectral.finish(self._like, call.transition, call.grid, kept, dt=call.dt, apart=self._entering(carry))
        self._kept = None
        if isinstance(kept, streaming.Kept):
            self._rooms.give(kept.room)
        return self._whole(states)

    def through(
        self, carry: Shaped[Tensor, "*spectrum"] | None
    ) -> tuple[Inexact[Tensor, "*frames"], Shaped[Tensor, "*spectrum"]]:
        """Both halves in one pass: the states, and the final state of the scan from zero."""
        call = self._call
        states, left, _ = spectral.walk(call.x, call.transition, call.grid, dt=call.dt, apart=self._entering(carry))
        return self._whole(states), self._whole(left)

    def summary(self, final: Shaped[Tensor, "*spectrum"]) -> Affine:
        """What the shard does to a carry, given its `final` state from zero."""
        call = self._call
        if call.dt is None:
            span = self._like.shape[1]
        else:
            span = call.dt.sum(1) if call.dt.shape[1] > 1 else call.dt[:, 0] * self._like.shape[1]
        power = call.transition.power(call.grid, span)
        if power.ndim > final.ndim:
            power = power.squeeze(0)
        return Affine(power.to(final.dtype), final)

    def _entering(self, carry: Tensor | None) -> Tensor | None:
        return carry if carry is None or self._call.batched else carry.unsqueeze(0)

    def _whole(self, result: Tensor) -> Tensor:
        return result if self._call.batched else result.squeeze(0)
