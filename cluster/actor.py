"""A worker: owns one object and runs its programs, pausing each where it needs a carry from another worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssm_ops.carry import Carry, Program

MISSING = object()
"""Stands where a carry has not arrived."""


class Worker:
    """Runs one program at a time.

    Args:
        make: Builds the object whose `program(shard)` generators this worker runs, here, on its own device.
    """

    def __init__(self, make: Callable[[], Any]):
        self._owner = make()
        self._program: Program | None = None
        self._summary = None
        self._carry: Any = MISSING

    def begin(self, shard: Any) -> None:
        """Starts the program of a shard and runs it up to its first exchange."""
        self._carry = MISSING
        self._program = self._owner.program(shard)
        self._summary = next(self._program)

    def pass_on(self, carry: Carry) -> Carry:
        """Takes the carry that enters this worker's shard; returns the one that leaves it."""
        self._carry = carry
        return self._summary(carry)

    def arrived(self, carry: Carry) -> None:
        """Takes a carry and keeps nothing; the call fails if what should have brought the carry failed."""
        del carry

    def resume(self) -> Any:
        """Runs the program with its carry up to the next exchange (`None`) or to its end (its result).

        Raises:
            RuntimeError: No carry came: what should have brought it failed. `None` would be a carry, state zero.
        """
        carry, self._carry = self._carry, MISSING
        if carry is MISSING:
            raise RuntimeError("no carry arrived at this exchange")
        try:
            self._summary = self._program.send(carry)
        except StopIteration as stop:
            self._program = self._summary = None
            return stop.value
        return None

    def ask(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the worker's object."""
        return getattr(self._owner, method)(*arguments)
