"""Scores of forecasts. Every function takes one frame (channel, depth, height, width) and scores each channel.

One rule for missing values: a voxel without truth (NaN) does not count, a forecast that is NaN where there is truth
makes the score NaN, and a score of nothing is NaN. (Labels and spectra have rules of their own.) `ratios.py` gathers
frames, `bootstrap.py` says how sure a mean over frames is, `student.py` one over folds or seeds. Which of them a frame
is given, and for which parts of it, is in `pipeline/scoring.py`.
"""

from pipeline.scores.bootstrap import Interval, default_block, difference_interval, mean_interval
from pipeline.scores.ensemble import crps_of_voxels, ensemble_scores, spread_and_skill
from pipeline.scores.errors import errors, latitude_weights, with_roots
from pipeline.scores.image import psnr, ssim
from pipeline.scores.labels import confusion, dice, recall, with_mean_dice
from pipeline.scores.ratios import Ratios, weighted_means
from pipeline.scores.relative import anomaly_correlation, vrmse
from pipeline.scores.spectrum import radial_spectrum
from pipeline.scores.student import MeanInterval, student_interval

__all__ = [
    "Interval",
    "MeanInterval",
    "Ratios",
    "anomaly_correlation",
    "confusion",
    "crps_of_voxels",
    "default_block",
    "dice",
    "difference_interval",
    "ensemble_scores",
    "errors",
    "latitude_weights",
    "mean_interval",
    "psnr",
    "radial_spectrum",
    "recall",
    "spread_and_skill",
    "ssim",
    "student_interval",
    "vrmse",
    "weighted_means",
    "with_mean_dice",
    "with_roots",
]
