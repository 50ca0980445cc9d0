"""Scores of an ensemble of forecasts: CRPS, plain and fair, spread against skill."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Real

from pipeline.scores.ratios import Ratios, weighted_means


def crps_of_voxels(
    members: Real[np.ndarray, "member channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    fair: bool,
) -> Float[np.ndarray, "channel depth height width"]:
    """Continuous ranked probability score of each voxel, in the data's units, float64; smaller is better.

    CRPS = mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 m^2) for m members (Gneiting and Raftery, Journal of the American
    Statistical Association 102, 2007, equation 21, with the sign turned), the score of the members' own distribution.
    The fair one divides by 2 m (m - 1): its expectation does not depend on m, and so it is that of the distribution
    from which the members were drawn (Ferro, Quarterly Journal of the Royal Meteorological Society 140, 2014). With the
    members in rising order the double sum is 2 sum_i (2 i - m - 1) x_(i), i from 1: O(m log m). With one member the
    plain one is the absolute error.

    Args:
        members, truth: Of any real type. NaN in the truth or in any member gives NaN.
        fair: Whether to take the fair one.

    Raises:
        ValueError: A fair one of fewer than two members, or a plain one of none.
    """
    count = len(members)
    _refuse_few(count, 2 if fair else 1)
    errors = members.astype(np.float64) - truth.astype(np.float64)
    errors.sort(axis=0)  # NaN goes last and stays in every sum
    differences = np.zeros(truth.shape)  # half the double sum
    for rank, ordered in enumerate(errors, start=1):
        differences += (2.0 * rank - count - 1) * ordered
    return np.abs(errors).mean(axis=0) - differences / (count * (count - 1 if fair else count))


def ensemble_scores(
    members: Real[np.ndarray, "member channel depth height width"],
    truth: Real[np.ndarray, "channel depth height width"],
    weights: Float[np.ndarray, "height 1"] | None = None,
) -> Ratios:
    """The scores of one frame of an ensemble of two or more members, to be added to those of others.

    `crps` and `crps_fair` (see `crps_of_voxels`), `variance` (of the members, divided by m - 1) and
    `ensemble_mean_mse` (the squared error of the members' mean): means over the voxels.

    Args:
        members, truth: Of any real type. A voxel whose truth is NaN does not count; NaN in any member where the truth
            has a value gives NaN.
        weights: Those of `pipeline.scores.latitude_weights`; by default every voxel weighs 1.

    Raises:
        ValueError: Fewer than two members.
    """
    _refuse_few(len(members), 2)
    members, truth = members.astype(np.float64), truth.astype(np.float64)
    error = members.mean(axis=0) - truth
    fields = {
        "crps": crps_of_voxels(members, truth, fair=False),
        "crps_fair": crps_of_voxels(members, truth, fair=True),
        "variance": members.var(axis=0, ddof=1),
        "ensemble_mean_mse": error * error,
    }
    return weighted_means(fields, ~np.isnan(truth), weights)


def spread_and_skill(
    variance: Float[np.ndarray, "channel"], ensemble_mean_mse: Float[np.ndarray, "channel"], members: int
) -> dict[str, Float[np.ndarray, "channel"]]:
    """`spread` = sqrt(variance), `skill` = sqrt(MSE of the ensemble's mean), both in the data's units, and their ratio.

    `spread_skill_ratio` = sqrt((m + 1) / m) spread / skill for m members, 1 for an ensemble that truth is exchangeable
    with: Fortin et al., Journal of Hydrometeorology 15, 2014. Below 1 the ensemble is too sure of itself.

    Args:
        variance, ensemble_mean_mse: Those of `ensemble_scores`, over all frames and voxels: roots are taken last.
        members: m.

    Returns:
        The three; the ratio is NaN where skill is 0 or missing.
    """
    _refuse_few(members, 2)
    spread, skill = np.sqrt(variance), np.sqrt(ensemble_mean_mse)
    ratio = np.divide(spread, skill, out=np.full_like(skill, np.nan), where=skill > 0)
    return {"spread": spread, "skill": skill, "spread_skill_ratio": np.sqrt((members + 1) / members) * ratio}


def _refuse_few(count: int, least: int) -> None:
    if count < least:
        raise ValueError(f"an ensemble of {count} members has no such score; give {least} or more")
