"""Stage `report`: one self-contained HTML page: scores and how sure they are, parts, skill, spectra, what ran."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader

from pipeline.dataset import Truth, forecast_of, splits_of, tested_frames, within_runs
from pipeline.figures import bracketed, maps, picture, skill_curves, spectrum_curves, training_curve
from pipeline.label_figures import confusion_rows, label_maps, label_rows
from pipeline.main_score import MainScore, main_score
from pipeline.progress import Progress, Steps
from pipeline.rollouts.curves import lead_section
from pipeline.scoring import WHOLE
from pipeline.splits import Span
from pipeline.storage import arrays
from pipeline.times import in_words
from pipeline.volume import Settings

VERSION = 4

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

RIVALS = ("persistence", "climatology", "exponential_average", "input", "gaussian", "training_mode")
"""Whose difference from the model is shown of parts."""

PARTS = {"channel": "Channels", "level": "Levels", "region": "Regions"}
SHOWN = 12
"""Rows of a table that are shown without being asked for."""


@dataclass(frozen=True)
class ReportSettings(Settings):
    """Settings of a `report` stage: one page, `report.html`, that needs no network.

    Attributes:
        title: The page's title.
    """

    title: str = "Forecast"


def report(settings: ReportSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `report.html` into `output`; it needs no network and nothing beside it."""
    yield Progress(0, 2, "drawing")
    scores = json.loads((inputs["scores"] / "scores.json").read_text())
    by_time = pd.read_csv(inputs["scores"] / "scores_by_time.csv", index_col="time")
    history = [json.loads(line) for line in (inputs["model"] / "history.jsonl").read_text().splitlines()]
    splits = splits_of(inputs["prepared"])
    model = arrays.read_attributes(inputs["model"] / "checkpoint.zarr")
    lead = 1 if model["description"]["model"]["task"] == "forecast" else 0
    main, classes = main_score(model["description"]), model["description"]["model"]["classes"]
    tested = tested_frames(within_runs(inputs["prepared"], splits), lead)
    truths = {series: Truth(inputs["prepared"], series, model["channels"].get("makes")) for series, _ in tested}
    units = truths[tested[0][0]].units
    order = np.argsort(by_time[f"model.{main.key}"].values, kind="stable")[: by_time[f"model.{main.key}"].count()]
    times = [in_words(truths[one].volume["time"].values[frame]) for one, frame in tested]
    series, middle = tested[order[len(order) // 2]]
    anomalies = arrays.read_attributes(inputs["prepared"] / "statistics.zarr").get("anomalies")
    phase = anomalies or "month"
    labels = {name: label.format(phase=phase) for name, label in LABELS.items() if f"{name}.{main.key}" in scores}
    short = {name: SHORT[name] for name in labels if name in SHORT}
    shown = forecast_of(inputs["prediction"], series), truths[series], middle
    page = {
        "title": settings.title,
        "made": "forecast" if lead else "frame that was made",
        "scores": score_rows(scores, labels),
        "main": main,
        "validation": validation_rows(scores, labels, main),
        "cross_entropy": scores.get("validation.model.cross_entropy"),
        "metrics": {
            key: METRICS[key][0] + bracketed(units, METRICS[key][1]) for key in METRICS if f"model.{key}" in scores
        },
        "main_units": bracketed(units, main.power),
        "confidence": f"{scores['confidence']:.0%}",
        "parts": part_tables(scores, main),
        "labels": label_rows(scores, short) if classes else [],
        "confusion": confusion_rows(scores) if classes else [],
        "short": short,
        "shown": SHOWN,
        "of_phase": f" of the same {anomalies}" if anomalies else "",
        "periods": {split: period_words(inputs["prepared"], spans) for split, spans in splits.items()},
        "stages": stage_rows(inputs["scores"].parent, inputs),
        "training": picture(training_curve(history, truths[series], main)),
        "maps": picture(label_maps(*shown, classes) if classes else maps(*shown, lead)),
        "skill": picture(skill_curves(by_time, units, times, labels, main)),
        "leads": lead_section(inputs.get("rollout"), SHORT),
        "spectra": None if classes else spectrum_section(inputs["scores"], units),
    }
    yield Progress(1, 2, "writing")
    template = Environment(loader=PackageLoader("pipeline", "templates"), autoescape=True).get_template(
        "report.html.j2"
    )
    (output / "report.html").write_text(template.render(page))
    yield Progress(2, 2, "report.html")


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


def part_tables(scores: dict, main: MainScore) -> list[dict]:
    """A table of each kind of parts: the main score of each forecast, and differences from the rivals."""
    labels = {name: label for name, label in SHORT.items() if f"{name}.{main.key}" in scores}
    rivals = [name for name in RIVALS if name in labels]
    tables = {kind: {"title": title, "labels": labels, "rows": []} for kind, title in PARTS.items()}
    for part, own in scores["parts"].items():
        kind, _, name = part.partition(" ")
        errors = {forecast: own[forecast][main.key] for forecast in labels}
        differences = scores["differences"].get(part, {})
        row = {"name": name, "errors": errors, "differences": [differences.get(rival) for rival in rivals]}
        tables[kind]["rows"].append(row)
    return [table | {"rivals": [labels[name] for name in rivals]} for table in tables.values() if table["rows"]]


def validation_rows(scores: dict, labels: dict[str, str], main: MainScore) -> list[tuple[str, float]]:
    keys = {label: f"validation.{name}.{main.key}" for name, label in labels.items()}
    return [(label, scores[key]) for label, key in keys.items() if key in scores]


def spectrum_section(folder: Path, units: str) -> str | None:
    """The picture of the spectra of an `evaluate` stage; none where no frame has any."""
    spectra = pd.read_csv(folder / "spectra.csv")
    return picture(spectrum_curves(spectra, units)) if len(spectra) else None


def period_words(prepared: Path, spans: list[Span]) -> str:
    """`a1b, 1860-06-01 to 1979-06-01, 120 frames`; several with semicolons."""
    found = []
    for span in spans:
        times = Truth(prepared, span.series).volume["time"].values
        first, last = (in_words(times[frame]) for frame in (span.start, span.stop - 1))
        found.append(f"{span.series}, {first} to {last}, {span.stop - span.start} frames")
    return "; ".join(found)


def stage_rows(run: Path, inputs: dict[str, Path]) -> list[dict]:
    """The manifests of all stages that led to `inputs`, upstream first."""
    rows: dict[str, dict] = {}

    def visit(folder: Path) -> None:
        if folder.name in rows or not (folder / "manifest.json").exists():
            return
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in manifest["inputs"].values():
            visit(run / name)
        settings = json.dumps(manifest["settings"], indent=2)
        rows[folder.name] = manifest | {"settings": settings}

    for folder in inputs.values():
        visit(folder)
    return list(rows.values())
