"""The affine map `state -> transition * state + offset`: what a run of time does to the state that enters it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Affine:
    """The map x -> transition * x + offset.

    The summary of a chunk or shard of time is such a map: `transition` is a^length, `offset` the final state of the
    scan from zero. Composition is associative and not commutative; that is all that a parallel scan needs.
    `transition` and `offset` may be anything with `*` and `+`: spectra (elementwise), scalars, matrices.
    """

    transition: Any
    offset: Any

    def __call__(self, carry: Any) -> Any:
        """The state after this run of time, from the state before it (`None`: nothing came before, state zero)."""
        return self.offset if carry is None else self.transition * carry + self.offset

    def then(self, later: Affine) -> Affine:
        """The map of this run of time followed by `later`."""
        return Affine(later.transition * self.transition, later.transition * self.offset + later.offset)
