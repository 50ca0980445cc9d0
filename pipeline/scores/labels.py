"""Overlap of two label images: Dice and recall, label by label; and which label was taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, Real

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


def recall(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    labels: Sequence[int],
) -> Ratios:
    """Of the voxels whose truth bears a label, the share that bears it in the forecast too: `recall_1` for label 1 and
    so on, from 0 to 1, to be added to those of other frames. The arguments are those of `dice`; a label that the truth
    does not bear has recall NaN."""
    found, wanted = {}, {}
    for label in labels:
        own = truth == label
        found[f"recall_{label}"] = 1.0 * np.count_nonzero(own & (forecast == label), axis=(1, 2, 3))
        wanted[f"recall_{label}"] = 1.0 * np.count_nonzero(own, axis=(1, 2, 3))
    return Ratios.of_numbers(found, wanted)


def with_mean_dice(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores and `mean_dice`, the mean of the Dice coefficients of the labels that the truth bears: those with a
    recall. They are the same labels for all forecasts of the same frames. NaN where there is none.

    Take it of sums over all frames, for the mean over labels of what is told of each label.
    """
    borne = [name.removeprefix("recall_") for name, value in scores.items() if name.startswith("recall_")]
    borne = [label for label in borne if not np.isnan(scores[f"recall_{label}"])]
    mean = sum(scores[f"dice_{label}"] for label in borne) / len(borne) if borne else float("nan")
    return {**scores, "mean_dice": mean}


def confusion(
    forecast: Real[np.ndarray, "channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    classes: int,
) -> Int[np.ndarray, "{classes} {classes}"]:
    """How many voxels whose truth bears the label of the row bear that of the column in the forecast; int64.

    Args:
        forecast, truth: Labels, whole numbers from 0 to below `classes`, of any real type. A voxel whose truth is NaN
            does not count.
        classes: How many labels there are.
    """
    known = ~np.isnan(truth)
    pairs = truth[known].astype(np.int64) * classes + forecast[known].astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
