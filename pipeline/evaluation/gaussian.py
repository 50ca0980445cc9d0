"""The Gaussian filter in space and time: what takes noise away without learning."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.dataset import Truth
from pipeline.splits import Span
from pipeline.volume import InputError, Settings

REACH = 4.0
"""Standard deviations after which the filter is cut off."""
BLOCK = 16
"""Frames filtered at a time, beside those within the filter's reach."""

Width = tuple[float, float]
"""Standard deviations in space (voxels) and in time (frames); 0 is none."""


@dataclass(frozen=True)
class GaussianWidths(Settings):
    """The widths that are tried, each in space with each in time.

    Attributes:
        space: Standard deviations along depth, height and width, in voxels.
        time: Standard deviations along time, in frames.
    """

    space: tuple[float, ...] = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)
    time: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)

    def __post_init__(self):
        for name in ("space", "time"):
            if not getattr(self, name) or not all(0 <= one < math.inf for one in getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; give widths from 0 on")

    @property
    def widths(self) -> list[Width]:
        return list(itertools.product(self.space, self.time))


def filtered(
    truth: Truth, span: Span, run: Span, width: Width
) -> Iterator[Float[np.ndarray, "channel depth height width"]]:
    """The frames of a span, filtered; in order.

    The border is mirrored (half-sample even extension). What is missing (NaN) has no weight, and a voxel without any
    value within reach stays missing. Where there is no width in time no other frame counts.

    Args:
        truth: The frames.
        span: Which of them.
        run: The frames that may count, those of the span among them.
        width: Of the filter.

    Raises:
        InputError: The extra `images`, which brings scipy, is not installed.
    """
    smooth = gaussian_filter()
    space, time = width
    reach = math.ceil(REACH * time)
    for first in range(span.start, span.stop, BLOCK):
        stop = min(first + BLOCK, span.stop)
        low, high = max(run.start, first - reach), min(run.stop, stop + reach)
        frames = truth.frames(low, high)
        known = ~np.isnan(frames)
        sigma = (time, 0.0, space, space, space)
        found = smooth(np.where(known, frames, 0.0), sigma, truncate=REACH)
        if not known.all():
            weight = smooth(known.astype(np.float64), sigma, truncate=REACH)
            found = np.divide(found, weight, out=np.full_like(found, np.nan), where=weight > 1e-6)
        yield from found[first - low : stop - low]


def gaussian_filter():
    """scipy's.

    Raises:
        InputError: It is not installed.
    """
    try:
        from scipy.ndimage import gaussian_filter as found
    except ImportError as error:
        raise InputError(
            "the Gaussian filter wants scipy, which is not installed; install chronovox[images], or leave gaussian out"
        ) from error
    return found
