"""Stage `report`: one self-contained HTML page: what ran, scores, the training curve, a forecast, skill over time."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from pipeline.dataset import Truth, forecast_of, scored_frames, splits_of
from pipeline.progress import Progress, Steps
from pipeline.splits import Span
from pipeline.storage import arrays, store
from pipeline.times import in_words
from pipeline.volume import Settings

VERSION = 1

LABELS = {
    "model": "model",
    "persistence": "persistence",
    "training_mean": "mean of the training frames",
    "exponential_average": "exponential average, rate chosen on validation",
    "best_exponential_average": "exponential average, best in hindsight",
}
COLOURS = {"model": "#b3242b", "persistence": "#7a7a7a", "exponential_average": "#2b6cb0"}
METRICS = ("mse", "rmse", "mae", "mse_latitude_weighted", "rmse_latitude_weighted", "mae_latitude_weighted")


@dataclass(frozen=True)
class ReportSettings(Settings):
    """Settings of a `report` stage. Its inputs are `scores`, `prediction`, `prepared` and `model`.

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
    tested = scored_frames(splits, "test")
    truths = {series: Truth(inputs["prepared"], series) for series, _ in tested}
    units = truths[tested[0][0]].units
    order = np.argsort(by_time["model.mse"].values, kind="stable")[: by_time["model.mse"].count()]
    times = [in_words(truths[one].volume["time"].values[frame]) for one, frame in tested]
    series, middle = tested[order[len(order) // 2]]
    anomalies = arrays.read_attributes(inputs["prepared"] / "statistics.zarr").get("anomalies")
    of_phase = {"training_mean": f"mean of the training frames of the same {anomalies}"} if anomalies else {}
    labels = LABELS | of_phase
    page = {
        "title": settings.title,
        "scores": score_rows(scores, labels),
        "validation": validation_rows(scores, labels),
        "metrics": [metric for metric in METRICS if f"model.{metric}" in scores],
        "units": units,
        "periods": {split: period_words(inputs["prepared"], spans) for split, spans in splits.items()},
        "stages": stage_rows(inputs["scores"].parent, inputs),
        "training": picture(training_curve(history, truths[series])),
        "maps": picture(forecast_maps(forecast_of(inputs["prediction"], series), truths[series], middle)),
        "skill": picture(skill_curves(by_time, units, times)),
    }
    yield Progress(1, 2, "writing")
    template = Environment(loader=PackageLoader("pipeline", "templates"), autoescape=True).get_template(
        "report.html.j2"
    )
    (output / "report.html").write_text(template.render(page))
    yield Progress(2, 2, "report.html")


def score_rows(scores: dict, labels: dict[str, str]) -> list[dict]:
    """A row a forecast: its label, its scores, and its mean squared error over that of persistence."""
    rows = []
    for name, label in labels.items():
        values = {metric: scores[f"{name}.{metric}"] for metric in METRICS if f"{name}.{metric}" in scores}
        rows.append({"label": label, "model": name == "model", "rate": scores.get(f"{name}.rate"), **values})
        rows[-1]["against_persistence"] = scores[f"{name}.mse"] / scores["persistence.mse"]
    return rows


def validation_rows(scores: dict, labels: dict[str, str]) -> list[tuple[str, float]]:
    return [(label, scores[f"validation.{n}.mse"]) for n, label in labels.items() if f"validation.{n}.mse" in scores]


def period_words(prepared: Path, spans: list[Span]) -> str:
    """`a1b, 1860-06-01 to 1979-06-01, 120 frames`; several with semicolons."""
    found = []
    for span in spans:
        times = Truth(prepared, span.series).volume["time"].values
        first, last = (in_words(times[frame]) for frame in (span.start, span.stop - 1))
        found.append(f"{span.series}, {first} to {last}, {span.stop - span.start} frames")
    return "; ".join(found)


def squared(units: str) -> str:
    """The unit of a squared error, in brackets; nothing for numbers without a unit."""
    return f" ({units}²)" if units else ""


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


def training_curve(history: list[dict], truth: Truth) -> Figure:
    """Loss of every step and validation error, both in the data's units squared."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots()
    scale = float(np.mean(truth.normalisation.scale**2))
    losses = [(record["step"], record["loss"] * scale) for record in history if "loss" in record]
    checks = [(record["step"], record["validation_mse"]) for record in history if "validation_mse" in record]
    axes.plot(*zip(*losses, strict=True), color="#b8b8b8", linewidth=1, label="training loss, one window a step")
    axes.plot(*zip(*checks, strict=True), color=COLOURS["model"], marker=".", label="validation")
    best = min(checks, key=lambda check: check[1])
    axes.plot(*best, marker="o", markersize=9, fillstyle="none", color=COLOURS["model"], linestyle="", label="chosen")
    axes.set(xlabel="training step", ylabel=f"mean squared error{squared(truth.units)}")
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="center right")
    return figure


def forecast_maps(prediction: Path, truth: Truth, number: int) -> Figure:
    """Forecast, truth and error of one frame, channel 0, middle slice."""
    middle = truth.volume.sizes["depth"] // 2
    forecast = store.read_frames(prediction, None, number - 1, number)[0, 0, middle]
    real = truth.frames(number, number + 1)[0, 0, middle]

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    both = np.stack([real, forecast])
    low, high = np.nanmin(both), np.nanmax(both)
    reach = np.nanmax(np.abs(forecast - real))
    panels = (
        ("forecast", forecast, {"cmap": "inferno", "vmin": low, "vmax": high}),
        ("truth", real, {"cmap": "inferno", "vmin": low, "vmax": high}),
        ("error: forecast - truth", forecast - real, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}),
    )
    coordinates = truth.volume.coords
    mapped = "latitude" in coordinates and "longitude" in coordinates
    for axes, (name, field, colours) in zip(figure.subplots(1, 3), panels, strict=True):
        if mapped:
            mesh = axes.pcolormesh(coordinates["longitude"], coordinates["latitude"], field, **colours)
            axes.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
        else:
            mesh = axes.pcolormesh(field, **colours)
        axes.set_title(f"{name}, {in_words(truth.volume['time'].values[number])}", fontsize=10)
        figure.colorbar(mesh, ax=axes, label=truth.units)
    return figure


def skill_curves(by_time: pd.DataFrame, units: str, times: list[str]) -> Figure:
    """Mean squared error of every test frame, and its running mean over ten frames."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    errors, skill = figure.subplots(2, 1, sharex=True)
    frames = np.arange(len(by_time))
    for name, colour in COLOURS.items():
        values = by_time[f"{name}.mse"]
        errors.plot(frames, values, color=colour, alpha=0.25, linewidth=1)
        errors.plot(frames, values.rolling(10, center=True, min_periods=5).mean(), color=colour, label=LABELS[name])
    errors.set(ylabel=f"mean squared error{squared(units)}", title="thin: each frame; thick: running mean over ten")
    errors.legend(frameon=False, ncols=3)
    gain = 1 - by_time["model.mse"] / by_time["persistence.mse"]
    skill.bar(frames, gain, color=np.where(gain > 0, COLOURS["model"], COLOURS["persistence"]), width=0.8)
    skill.axhline(0, color="black", linewidth=0.8)
    ticks = frames[:: max(1, len(frames) // 10)]
    labels, years = [times[tick] for tick in ticks], {time[:4] for time in times}
    if len(years) == len(times):  # a frame a year
        labels = [label[:4] for label in labels]
    skill.set_xticks(ticks, labels)
    skill.set(ylabel="skill against persistence", xlabel="time that the forecast is for")
    return figure


def picture(figure: Figure) -> str:
    """The figure as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
