"""Sums without rounding: the same bits in whatever order, and in whatever groups, the terms came.

Every finite float64 is a whole number of 2^-1074, so a sum of them is one too. Python's integers hold it whole, and
divide one by the other with a single rounding at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

UNIT = 2**1074
"""How many of the smallest float64 make 1."""


@dataclass(frozen=True)
class ExactSum:
    """A sum of float64 numbers.

    Attributes:
        units: The finite ones, in units of 2^-1074.
        beyond: The others added up: 0, an infinity, or NaN (also of infinities of both signs).
    """

    units: int = 0
    beyond: float = 0.0

    @staticmethod
    def of(value: float) -> ExactSum:
        """One number."""
        if not math.isfinite(value):
            return ExactSum(0, value)
        numerator, denominator = value.as_integer_ratio()
        return ExactSum(numerator * (UNIT // denominator))

    def __add__(self, other: ExactSum) -> ExactSum:
        return ExactSum(self.units + other.units, self.beyond + other.beyond)

    def over(self, divisor: ExactSum) -> float:
        """The quotient of two sums, rounded once; NaN where the divisor is 0."""
        if self.beyond or divisor.beyond:
            return self._rounded() / divisor._rounded() if divisor._rounded() else math.nan
        return self.units / divisor.units if divisor.units else math.nan

    def as_text(self) -> str:
        """All of it, to the bit: `MpE` is M times 2^E; `MpE inf` has something infinite added, or `nan`."""
        zeros = max((self.units & -self.units).bit_length() - 1, 0)
        finite = f"{self.units >> zeros}p{zeros - 1074 if self.units else 0}"
        return f"{finite} {self.beyond}" if self.beyond else finite

    @staticmethod
    def of_text(text: str) -> ExactSum:
        """What `as_text` gave."""
        finite, _, beyond = text.partition(" ")
        number, _, power = finite.partition("p")
        return ExactSum(int(number) << (int(power) + 1074), float(beyond or 0))

    def _rounded(self) -> float:
        return self.beyond or self.units / UNIT


def exact(values: Float[np.ndarray, "n"]) -> tuple[ExactSum, ...]:
    """Of each number a sum that holds it alone."""
    return tuple(ExactSum.of(float(value)) for value in values)
