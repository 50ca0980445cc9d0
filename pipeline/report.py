"""Stage `report`: a forecast in the report of a run: scores and how sure they are, parts, skill, spectra, maps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.dataset import Truth, forecast_of, splits_of, tested_frames, within_runs
from pipeline.figures import maps, picture, skill_curves, spectrum_curves, training_curve
from pipeline.label_figures import confusion_rows, label_maps, label_rows
from pipeline.main_score import MainScore, bracketed, main_score
from pipeline.moving import in_a_row, moving_maps
from pipeline.progress import Progress, Steps
from pipeline.rollouts.curves import lead_section
from pipeline.score_table import LABELS, SHORT, headings, score_rows
from pipeline.section import write_section
from pipeline.splits import Span
from pipeline.storage import arrays
from pipeline.times import in_words
from pipeline.volume import Settings

VERSION = 5

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
    """Writes `section.html` into `output`; it needs no network and nothing beside it."""
    yield Progress(0, 2, "drawing")
    scores = json.loads((inputs["scores"] / "scores.json").read_text())
    by_time = pd.read_csv(inputs["scores"] / "scores_by_time.csv", index_col="time")
    history = [json.loads(line) for line in (inputs["model"] / "history.jsonl").read_text().splitlines()]
    splits = splits_of(inputs["prepared"])
    model = arrays.read_attributes(inputs["model"] / "checkpoint.zarr")
    lead = 1 if model["description"]["model"]["task"] == "forecast" else 0
    main, classes = main_score(model["description"]), model["description"]["model"]["classes"]
    tested = tested_frames(within_runs(inputs["prepared"], splits), lead)
    makes = model["channels"].get("makes")
    truths = {series: Truth(inputs["prepared"], series, makes) for series in dict.fromkeys(name for name, _ in tested)}
    units = truths[tested[0][0]].units
    order = np.argsort(by_time[f"model.{main.key}"].values, kind="stable")[: by_time[f"model.{main.key}"].count()]
    times = [in_words(truths[one].volume["time"].values[frame]) for one, frame in tested]
    series, middle = tested[order[len(order) // 2]]
    anomalies = arrays.read_attributes(inputs["prepared"] / "statistics.zarr").get("anomalies")
    phase = anomalies or "month"
    labels = {name: label.format(phase=phase) for name, label in LABELS.items() if f"{name}.{main.key}" in scores}
    short = {name: SHORT[name] for name in labels if name in SHORT}
    made, truth = forecast_of(inputs["prediction"], series), truths[series]
    page = {
        "title": settings.title,
        "made": "forecast" if lead else "frame that was made",
        "scores": score_rows(scores, labels),
        "main": main,
        "validation": validation_rows(scores, labels, main),
        "cross_entropy": scores.get("validation.model.cross_entropy"),
        "metrics": headings(scores),
        "main_units": bracketed(units, main.power),
        "confidence": f"{scores['confidence']:.0%}",
        "parts": part_tables(scores, main),
        "labels": label_rows(scores, short) if classes else [],
        "confusion": confusion_rows(scores) if classes else [],
        "short": short,
        "shown": SHOWN,
        "of_phase": f" of the same {anomalies}" if anomalies else "",
        "periods": {split: period_words(inputs["prepared"], spans) for split, spans in splits.items()},
        "training": picture(training_curve(history, truth, main)),
        "maps": picture(label_maps(made, truth, middle, classes) if classes else maps(made, truth, middle, lead)),
        "moving": moving_maps(made, truth, in_a_row(tested, series, middle), lead, classes),
        "skill": picture(skill_curves(by_time, units, times, labels, main)),
        "leads": lead_section(inputs.get("rollout"), SHORT),
        "spectra": None if classes else spectrum_section(inputs["scores"], units),
    }
    yield Progress(1, 2, "writing")
    write_section(output, "forecast.html.j2", page)
    yield Progress(2, 2)


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
