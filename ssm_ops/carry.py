"""The seam between the mathematics and the machines: a program yields its summary and is sent the carry that enters it.

A *program* is a generator. Each `yield` hands over the summary of the shard it works on (an `Affine` map) and receives
the carry entering that shard; everything else stays local:

    spectra, summary = local scan from zero      # local
    carry = yield summary                        # the only line that talks to other workers
    outputs = correct(spectra, carry)            # local

Who answers is not the program's business: `LocalExchange` answers from the previous shard of the same process, the
package `cluster` answers from the worker that owns the previous shard.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeVar, runtime_checkable

from ssm_ops.affine import Affine

Carry = Any
"""A state crossing a border of time: an array, or `None` where nothing came before (state zero)."""

Result = TypeVar("Result")
Program = Generator[Affine, Carry, Result]


@runtime_checkable
class CarryExchange(Protocol):
    """Given my shard's summary, the carry that enters it."""

    def __call__(self, summary: Affine) -> Carry: ...


class LocalExchange:
    """Consecutive shards in one process: each exchange point keeps the carry that left the previous shard.

    Args:
        carries: The carries entering the first shard, one for each exchange point in the order of the program's
            yields; `None` starts from zero.
    """

    def __init__(self, carries: list[Carry] | None = None):
        self._entering = list(carries or [])
        self._leaving: list[Carry] = []

    def __call__(self, summary: Affine) -> Carry:
        point = len(self._leaving)
        carry = self._entering[point] if point < len(self._entering) else None
        self._leaving.append(summary(carry))
        return carry

    def next_shard(self) -> list[Carry]:
        """Ends a shard: what left it enters the next one. Returns those carries, one for each exchange point."""
        self._entering, self._leaving = self._leaving, []
        return self._entering


def drive(program: Program[Result], exchange: CarryExchange) -> Result:
    """Runs a program to its end, answering each of its summaries by `exchange`."""
    try:
        summary = next(program)
        while True:
            summary = program.send(exchange(summary))
    except StopIteration as stop:
        return stop.value
