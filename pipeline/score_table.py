"""Scores as a table of a report: a row a forecast, whole frames."""

from __future__ import annotations

from pipeline.main_score import bracketed
from pipeline.scoring import WHOLE

LABELS = {
    "model": "model",
    "persistence": "persistence",
    "training_mean": "mean of the training frames",
    "climatology": "mean of the training frames of the same {phase}",
    "exponential_average": "exponential average, rate chosen on validation",
    "best_exponential_average": "exponential average, best in hindsight",
    "input": "what was read, with its noise",
    "gaussian": "Gaussian filter of it, widths chosen on validation",
    "best_gaussian": "Gaussian filter of it, widths best in hindsight",
    "training_mode": "most frequent label of the voxel in training",
    "commonest": "most frequent label of all in training",
}
METRICS = {
    "mse": ("MSE", 2),
    "rmse": ("RMSE", 1),
    "mae": ("MAE", 1),
    "bias": ("bias", 1),
    "mse_latitude_weighted": ("MSE by latitude", 2),
    "vrmse": ("VRMSE", 0),
    "acc": ("ACC", 0),
    "psnr": ("PSNR (dB)", 0),
    "ssim": ("SSIM", 0),
    "error_rate": ("error rate", 0),
    "accuracy": ("accuracy", 0),
    "mean_dice": ("mean Dice", 0),
}
"""Of the scores that are shown the heading, and the power of the data's units."""

SHORT = {
    "model": "model",
    "persistence": "persistence",
    "training_mean": "mean of all",
    "climatology": "climatology",
    "exponential_average": "exponential average",
    "input": "input",
    "gaussian": "Gaussian filter",
    "training_mode": "most frequent here",
    "commonest": "most frequent of all",
}
"""The forecasts whose errors are shown of parts, with short names."""


def headings(scores: dict) -> dict[str, str]:
    """The columns: of each score that the model has its heading, with its units."""
    units = scores["units"]
    return {key: name + bracketed(units, power) for key, (name, power) in METRICS.items() if f"model.{key}" in scores}


def score_rows(scores: dict, labels: dict[str, str]) -> list[dict]:
    """A row a forecast: its label, its scores (none where it has none), the interval of its main score, and that of the
    model's less it."""
    whole = {kind: scores[kind].get(WHOLE, {}) for kind in ("intervals", "differences")}
    return [
        {"label": label, "model": name == "model", "chosen": chosen_words(scores, name)}
        | {"interval": whole["intervals"].get(name), "difference": whole["differences"].get(name)}
        | {"scores": {metric: scores.get(f"{name}.{metric}") for metric in METRICS if f"model.{metric}" in scores}}
        for name, label in labels.items()
    ]


def chosen_words(scores: dict, name: str) -> str:
    """What a baseline was given, in words; empty where nothing was."""
    if f"{name}.widths" in scores:
        widths = {tuple(own) for own in scores[f"{name}.widths"].values()}
        return "; ".join(f"{space:g} voxels, {time:g} frames" for space, time in sorted(widths))
    return str(scores.get(f"{name}.rate", ""))
