"""The seam between the mathematics and the machines: a program yields its summary and is sent the carry that enters it.

A *program* is a generator. Each `yield` hands over the summary of the shard it works on, which makes of the carry that
enters the one that leaves (an `Affine` map, where that is known without the carry), and receives the carry entering
that shard; everything else stays local:

    spectra, summary = local scan from zero      # local
    carry = yield summary                        # the only line that talks to other workers
    outputs = correct(spectra, carry)            # local

Who answers is not the program's business: `LocalExchange` answers from the previous shard of the same process, the
package `cluster` answers from the worker that owns the previous shard.

A program that could do better with the carry at hand may `yield ASK` first. It is sent the carry if that is here, else
`LATER`. Then it yields its summary as ever; the answer is the carry, the same one if it knew it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

Carry = Any
"""A state crossing a border of time: an array, or `None` where nothing came before (state zero)."""

ASK = object()
"""Yielded before a summary: is the carry here?"""

LATER = object()
"""The answer that it is not."""

Summary = Callable[[Carry], Carry]
"""What a shard does to the carry that enters it: an `Affine` map, or where only a run of the shard tells, the run."""

Result = TypeVar("Result")
Program = Generator[Any, Carry, Result]


@dataclass(frozen=True, order=True)
class Place:
    """One shard of one strand, a sequence that depends on no other."""

    strand: int
    index: int


@runtime_checkable
class CarryExchange(Protocol):
    """Given my shard's summary, the carry that enters it."""

    def __call__(self, summary: Summary) -> Carry:
        """The carry; `None` where nothing came before."""
        ...


class LocalExchange:
    """Consecutive shards in one process: each exchange point keeps the carry that left the previous shard.

    Args:
        carries: The carries entering the first shard, one for each exchange point in the order of the program's
            yields; `None` starts from zero.
    """

    def __init__(self, carries: list[Carry] | None = None):
        self._entering = list(carries or [])
        self._leaving: list[Carry] = []

    def __call__(self, summary: Summary) -> Carry:
        carry = self.known()
        self._leaving.append(summary(carry))
        return carry

    def known(self) -> Carry:
        """The carry that enters at the next exchange point: here it always is."""
        point = len(self._leaving)
        return self._entering[point] if point < len(self._entering) else None

    def next_shard(self) -> list[Carry]:
        """Ends a shard: what left it enters the next one. Returns those carries, one for each exchange point."""
        self._entering, self._leaving = self._leaving, []
        return self._entering


def drive(program: Program[Result], exchange: CarryExchange) -> Result:
    """Runs a program to its end, answering each summary that it yields by `exchange`; and its questions whether a carry
    is there, where that can. Returns what the program returns, as `ConvSSM.program` the outputs of its chunks."""
    known = getattr(exchange, "known", lambda: LATER)
    try:
        said = next(program)
        while True:
            said = program.send(known() if said is ASK else exchange(said))
    except StopIteration as stop:
        return stop.value
