"""Scores that are quotients of sums, gathered frame by frame: the bits do not depend on how the frames were grouped.

Every part of an archive gives the sums of its own frames, parts are added in any order, and the quotient is taken last.
Exact under merging, to the bit: all that is a sum of numbers of single frames over another such sum (MSE, MAE, bias,
those weighted by latitude, CRPS, variance of an ensemble, Dice, the mean over frames of any score) and what is
computed from these afterwards (RMSE, spread, spread-skill ratio). Not mergeable is the mean of what was itself
averaged over several frames: the mean of two parts' RMSE is not the RMSE of both. A frame is summed as a whole; cut in
space, its sums are those of the whole to round-off and no closer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Bool, Float, Shaped

from pipeline.scores.exact import ExactSum, exact

Sums = tuple[ExactSum, ...]
"""One of each channel."""


@dataclass(frozen=True)
class Ratios:
    """Named quotients of sums, of each channel one; `a + b` holds the frames of both.

    Attributes:
        parts: Of each name the numerator and the denominator.
    """

    parts: Mapping[str, tuple[Sums, Sums]]

    @staticmethod
    def of_numbers(
        numerators: Mapping[str, Float[np.ndarray, "channel"]], denominators: Mapping[str, Float[np.ndarray, "channel"]]
    ) -> Ratios:
        """Those of one frame, from its own sums."""
        return Ratios({name: (exact(numerators[name]), exact(denominators[name])) for name in numerators})

    @staticmethod
    def of_scores(scores: Mapping[str, Float[np.ndarray, "channel"]]) -> Ratios:
        """The mean over frames of scores, from those of one frame; NaN (a frame without any value) is left out.

        A frame counts as one, however many values it has. Give it scores whose NaN has this one meaning: that of a
        forecast which is NaN itself would be left out as well.
        """
        missing = {name: np.isnan(values) for name, values in scores.items()}
        return Ratios.of_numbers(
            {name: np.where(missing[name], 0.0, values) for name, values in scores.items()},
            {name: (~missing[name]).astype(np.float64) for name in scores},
        )

    def __add__(self, other: Ratios) -> Ratios:
        if self.parts.keys() != other.parts.keys():
            raise ValueError(f"scores {sorted(self.parts)} and {sorted(other.parts)} do not add up: give the same ones")
        return Ratios(
            {
                name: tuple(_added(one, two) for one, two in zip(own, other.parts[name], strict=True))
                for name, own in self.parts.items()
            }
        )

    def as_json(self) -> dict[str, list[list[str]]]:
        """The sums by name as JSON can hold them, to the bit (see `ExactSum.as_text`): numerators, denominators."""
        return {name: [[one.as_text() for one in sums] for sums in both] for name, both in self.parts.items()}

    @staticmethod
    def of_json(parts: Mapping[str, Sequence[Sequence[str]]]) -> Ratios:
        """What `as_json` gave."""
        return Ratios(
            {name: tuple(tuple(map(ExactSum.of_text, sums)) for sums in both) for name, both in parts.items()}
        )

    def per_channel(self) -> dict[str, Float[np.ndarray, "channel"]]:
        """Of each name the quotient of each channel, float64; NaN where nothing was counted."""
        return {
            name: np.array([total.over(count) for total, count in zip(totals, counts, strict=True)])
            for name, (totals, counts) in self.parts.items()
        }

    def pooled(self) -> dict[str, float]:
        """Of each name the quotient of the sums over all channels, which should share their units."""
        return {name: reduce(add, totals).over(reduce(add, counts)) for name, (totals, counts) in self.parts.items()}


def _added(one: Sums, two: Sums) -> Sums:
    if len(one) != len(two):
        raise ValueError(f"scores of {len(one)} and of {len(two)} channels do not add up: give frames of the same ones")
    return tuple(a + b for a, b in zip(one, two, strict=True))


def weighted_means(
    fields: Mapping[str, Float[np.ndarray, "channel depth height width"]],
    counted: Bool[np.ndarray, "channel depth height width"],
    weights: Shaped[np.ndarray, "..."] | None = None,
) -> Ratios:
    """Means of fields of one frame, sum(w x) / sum(w) over the voxels that are counted.

    Args:
        fields: Of each name a value of each voxel, float64.
        counted: Which voxels count. What the others hold, NaN included, does not matter.
        weights: Of a shape that broadcasts to the frame's, float64, of any scale; by default every voxel weighs 1.
    """
    shares = counted.astype(np.float64) if weights is None else np.where(counted, weights, 0.0)
    total, every = _sums(shares), bool(counted.all())
    numerators = {}
    for name, field in fields.items():
        values = field if every else np.where(counted, field, 0.0)
        numerators[name] = _sums(values if weights is None else values * shares)
    return Ratios.of_numbers(numerators, dict.fromkeys(fields, total))


def _sums(field: Float[np.ndarray, "channel depth height width"]) -> Float[np.ndarray, "channel"]:
    """Over all voxels of each channel, in the order in which they lie in C order, whatever the array's own."""
    return np.ascontiguousarray(field).reshape(len(field), -1).sum(axis=1)
