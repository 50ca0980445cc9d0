"""Overlap of two label images: Dice, label by label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Real

from pipeline.scores.ratios import Ratios


def dice(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    labels: Sequence[int],
) -> Ratios:
    """Dice coefficients of one frame, to be added to those of others: `dice_1` for label 1 and so on, from 0 to 1.

    Dice = 2 |A and B| / (|A| + |B|), A and B the voxels that bear the label in either (Dice, Ecology 26, 1945). Sums
    over frames hold voxels, so what comes out is the Dice of all frames together; for the mean over frames give
    `per_channel()` of each to `Ratios.of_scores`.

    Args:
        forecast, truth: Of any real type, with whole numbers. A voxel whose truth is NaN does not count. A forecast
            that is NaN bears no label: where the truth bears one, it is a miss.
        labels: Which to look for. One that is in neither has Dice NaN.
    """
    known = ~np.isnan(truth)
    shared, sizes = {}, {}
    for label in labels:
        one, two = (forecast == label) & known, truth == label
        shared[f"dice_{label}"] = 2.0 * np.count_nonzero(one & two, axis=(1, 2, 3))
        sizes[f"dice_{label}"] = 1.0 * (np.count_nonzero(one, axis=(1, 2, 3)) + np.count_nonzero(two, axis=(1, 2, 3)))
    return Ratios.of_numbers(shared, sizes)
