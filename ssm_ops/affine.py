"""The affine map `state -> transition * state + offset`: what a run of time does to the state that enters it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Affine:
    """The map x -> transition * x + offset.

    The summary of a chunk or shard of time is such a map: `transition` is a^length, `offset` the final state of the
    scan from zero. Composition is associative and not commutative; that is all that a parallel scan needs.
    `transition` and `offset` may be anything with `*` and `+`: spectra (elementwise), scalars, matrices. `span` is the
    time between the two states where the transition depends on nothing else, so that whoever knows the transition of
    one step need not be sent that of many.
    """

    transition: Any
    offset: Any
    span: Any = None

    def __call__(self, carry: Any) -> Any:
        """The state after this run of time, from the state before it (`None`: nothing came before, state zero)."""
        if self is IDENTITY:
            return carry
        return self.offset if carry is None else self.transition * carry + self.offset

    def then(self, later: Affine) -> Affine:
        """The map of this run of time followed by `later`."""
        if self is IDENTITY or later is IDENTITY:
            return later if self is IDENTITY else self
        span = None if self.span is None or later.span is None else self.span + later.span
        return Affine(later.transition * self.transition, later.transition * self.offset + later.offset, span)

    def power(self, times: int) -> Affine:
        """This map `times` times in a row, by repeated squaring; the identity for 0.

        Raises:
            ValueError: `times` is negative.
        """
        if times < 0:
            raise ValueError(f"power {times} of an affine map, which need not have an inverse; give 0 or more")
        result, square = IDENTITY, self
        while times:
            if times % 2:
                result = result.then(square)
            square, times = square.then(square), times // 2
        return result


IDENTITY = Affine(1, 0)
"""What no time at all does to a state."""


def chain_prefix(maps: Sequence[Affine]) -> list[Affine]:
    """For each map, all those before it composed to one, in the order of time: `IDENTITY` for the first. As many
    compositions, one after the other, as maps."""
    result, before = [], IDENTITY
    for one in maps:
        result.append(before)
        before = before.then(one)
    return result


def tree_prefix(maps: Sequence[Affine]) -> list[Affine]:
    """As `chain_prefix`, in about 2 log2(maps) rounds of compositions that could run side by side.

    Blelloch, "Prefix Sums and Their Applications" (1990), section 1.3: pairs are composed upwards, and what came before
    is handed downwards. The order of composition is that of time; nothing commutes.
    """
    if len(maps) <= 1:
        return [IDENTITY] * len(maps)
    pairs = [first.then(second) for first, second in zip(maps[::2], maps[1::2], strict=False)]
    before = tree_prefix([*pairs, *maps[2 * len(pairs) :]])
    result = []
    for n in range(len(maps)):
        result.append(before[n // 2] if n % 2 == 0 else before[n // 2].then(maps[n - 1]))
    return result
