"""One shard's scan in two halves, with the carry arriving between them: local, exchange, finish.

With H the states of the shard scanned from zero and c the carry that enters it, the states are

    h_t = H_t + a^(t+1) c,        carry out = a^length c + H_last

in frequency space (linearity; `Affine`). `keep` does the forward transforms and the recurrence from zero and keeps the
spectra; `finish` adds what the carry becomes and transforms back. Where the carry is already there, `through` does both
in one pass and spares the room. It gives the same bits: that a carry came early or late, from this machine or another,
is not to be seen in the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxtyping import Bool, Float, Inexact, Shaped
from torch import Tensor

from ssm_ops import jobs, spectral
from ssm_ops.affine import Affine
from ssm_ops.memory import Rooms
from ssm_ops.scanning import Call
from ssm_ops.transition import Number, Transition


class Stitching:
    """What the shards of a sequence share: the transition, its powers, and the room for spectra.

    Args:
        transition, boundary: As for `scan`.
        rooms: Where kept spectra lie, to be used again by the next shard; by default of its own.
    """

    def __init__(self, transition: Transition, boundary: tuple[str, ...], *, rooms: Rooms | None = None):
        self.transition, self.boundary = transition, tuple(boundary)
        self.rooms = Rooms() if rooms is None else rooms
        self._powers: dict[object, Tensor] = {}
        self._calls: jobs.Calls = {}

    def shard(
        self,
        x: Inexact[Tensor, "*frames"],
        *,
        dt: Number | Float[Tensor, "*steps"] | None = None,
        mask: Bool[Tensor, "*mask"] | None = None,
    ) -> Stitch:
        """One shard of the sequence; arguments and errors are those of `scan`."""
        return Stitch(Call.of(x, self.transition, self.boundary, None, dt, mask), self.rooms, self._calls)

    def summary(self, shards: Sequence[Stitch], final: Shaped[Tensor, "*spectrum"]) -> Affine:
        """What consecutive shards do to a carry, given their `final` state from zero."""
        span = shards[0].span
        for shard in shards[1:]:
            span = span + shard.span
        plain = not isinstance(span, Tensor)
        power = self._powers.get(span) if plain else None
        if power is None:
            power = self.transition.power(shards[0].grid, span).to(final.dtype)
            if plain:
                self._powers[span] = power
        return Affine(power, final, span if plain else None)


class Stitch:
    """The scan of one shard. Not differentiable."""

    def __init__(self, call: Call, rooms: Rooms, calls: jobs.Calls):
        self._call, self._rooms, self._calls, self._kept = call, rooms, calls, None
        self._like = call.x.new_empty(()).expand(call.x.shape)
        self.grid = call.grid

    @property
    def span(self) -> int | Float[Tensor, "*batch channel"]:
        """The time from the state that enters to the last one."""
        dt, frames = self._call.dt, self._like.shape[1]
        if dt is None:
            return frames
        span = dt.double().sum(1) if dt.shape[1] > 1 else dt[:, 0].double() * frames
        return span if self._call.batched else span.squeeze(0)

    def keep(self) -> Shaped[Tensor, "*spectrum"]:
        """The first half: the final state of the scan from zero. The inputs are not needed after it."""
        call = self._call
        ways = {"with_states": False, "rooms": self._rooms, "calls": self._calls}
        _, left, self._kept = spectral.walk(call.x, call.transition, call.grid, dt=call.dt, **ways)
        self._call = dataclasses.replace(call, x=self._like)
        return self._whole(left)

    def finish(self, carry: Shaped[Tensor, "*spectrum"] | None) -> Inexact[Tensor, "*frames"]:
        """The second half: the states, with the carry that enters the shard (`None`: zero)."""
        call, kept, self._kept = self._call, self._kept, None
        apart = self._entering(carry)
        ways = {"apart": apart, "calls": self._calls}
        states = spectral.finish(self._like, call.transition, call.grid, kept, dt=call.dt, **ways)
        if isinstance(kept, jobs.Kept):
            self._rooms.give(kept.room)
        return self._whole(states)

    def through(
        self, carry: Shaped[Tensor, "*spectrum"] | None
    ) -> tuple[Inexact[Tensor, "*frames"], Shaped[Tensor, "*spectrum"]]:
        """Both halves in one pass: the states, and the final state of the scan from zero."""
        call, apart = self._call, self._entering(carry)
        ways = {"apart": apart, "calls": self._calls}
        states, left, _ = spectral.walk(call.x, call.transition, call.grid, dt=call.dt, **ways)
        return self._whole(states), self._whole(left)

    def _entering(self, carry: Tensor | None) -> Tensor | None:
        return carry if carry is None or self._call.batched else carry.unsqueeze(0)

    def _whole(self, result: Tensor) -> Tensor:
        return result if self._call.batched else result.squeeze(0)
