"""Stage `compare`: several models on the same data, each trained from several seeds: scores, costs, curves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.figures import picture
from pipeline.mean_errors import MODEL, VALIDATION, errors_of
from pipeline.progress import Progress, Steps
from pipeline.scores import student_interval
from pipeline.scoring import WHOLE
from pipeline.section import write_section
from pipeline.volume import InputError, Settings

VERSION = 1

COLOURS = ("#b3242b", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#0f9aa8", "#1a202c", "#d946ef", "#94a3b8", "#84cc16")


@dataclass(frozen=True)
class CompareSettings(Settings):
    """Settings of a `compare` stage: trainings of several models from several seeds side by side, as `compared.json`,
    `compared.csv` and `report.html`. Inputs are `model-NAME-SEED`, a training, and `scores-NAME-SEED`, an evaluation of
    it; `pace` has the trainings as NAME. `chronovox compare` writes such a stage.

    Attributes:
        confidence: Of the intervals.
        title: The page's title.
        notes: What is told of a model beneath its name.
    """

    confidence: float = 0.95
    title: str = "Models side by side"
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; give a number between 0 and 1")


@dataclass(frozen=True)
class Curve:
    """The validation errors of a training while it went on.

    Attributes:
        steps: After which it was looked at.
        seconds: What its steps had taken by then, in all.
        errors: What was found.
    """

    steps: list[int]
    seconds: list[float]
    errors: list[float]

    @staticmethod
    def of(folder: Path) -> Curve:
        """Of the folder of a `train` stage."""
        history, timing = (_lines(folder / name) for name in ("history.jsonl", "timing.jsonl"))
        taken = dict(zip((t["step"] for t in timing), itertools.accumulate(t["seconds"] for t in timing), strict=True))
        checks = [record for record in history if "validation_mse" in record]
        steps = [record["step"] for record in checks]
        return Curve(steps, [taken.get(step, 0.0) for step in steps], [record["validation_mse"] for record in checks])


def compare(settings: CompareSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `compared.json`, `compared.csv` and `section.html` into `output`.

    Of each model there are the mean squared errors of whole frames, on the validation and on the test frames, their
    means over the seeds, and the mean of its error less the first model's, seed by seed. Intervals are Student's over
    the seeds: they tell what chance in training does, and nothing of the frames, which are the same. Times are those
    that training took where it ran.

    Raises:
        InputError: An input has another name, one of a pair is missing, models have different seeds, or an evaluation
            has no mean squared errors.
    """
    yield Progress(0, 1, "reading scores")
    found = paired(inputs)
    paces = json.loads((inputs["pace"] / "pace.json").read_text())
    told = {name: json.loads((folders["scores"] / "scores.json").read_text()) for name, folders in found.items()}
    units = {scores["units"] for scores in told.values()}
    if len(units) > 1:
        raise InputError(f"the evaluations have different units, {', '.join(sorted(units))}; compare on the same data")
    errors = {key: errors_of(scores) for key, scores in told.items()}
    curves = {key: Curve.of(folders["model"]) for key, folders in found.items()}
    names, seeds = (list(dict.fromkeys(part)) for part in zip(*found, strict=True))
    models = {}
    for name in names:
        own = models[name] = {"note": settings.notes.get(name, "")} | paces[name]
        own["steps"] = max(curves[name, seed].steps[-1] for seed in seeds)
        own["seconds"] = [curves[name, seed].seconds[-1] for seed in seeds]
        own["curves"] = {seed: asdict(curves[name, seed]) for seed in seeds}
        for part, key in ((VALIDATION, "validation"), (WHOLE, "test")):
            values = [_error(errors[name, seed], part, (name, seed)) for seed in seeds]
            first = [errors[names[0], seed][part][MODEL] for seed in seeds]
            differences = np.array(values) - np.array(first)
            own[key] = {
                "mse": values,
                "mean": asdict(student_interval(np.array(values), confidence=settings.confidence)),
                "less_first": asdict(student_interval(differences, confidence=settings.confidence)),
            }
    baselines = {
        name: value
        for name, value in errors[names[0], seeds[0]][WHOLE].items()
        if name != MODEL and not name.startswith("best_")
    }
    summary = {
        "models": models,
        "seeds": seeds,
        "units": next(iter(units)),
        "confidence": settings.confidence,
        "baselines": baselines,
    }
    (output / "compared.json").write_text(json.dumps(summary, indent=2) + "\n")
    table(summary).to_csv(output / "compared.csv", index=False)
    page = summary | {"title": settings.title, "curves": picture(drawn(summary))}
    write_section(output, "compared.html.j2", page)
    best = min(models, key=lambda name: models[name]["test"]["mean"]["mean"])
    yield Progress(1, 1, f"{len(models)} models, {best} has the smallest test error")


def paired(inputs: Mapping[str, Path]) -> dict[tuple[str, str], dict[str, Path]]:
    """The folders by model and seed: `model` and `scores` of each.

    Raises:
        InputError: See `compare`.
    """
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for role, folder in inputs.items():
        if role == "pace":
            continue
        kind, _, rest = role.partition("-")
        name, _, seed = rest.rpartition("-")
        if kind not in ("model", "scores") or not name:
            raise InputError(f"the input {role!r} has another name than model-NAME-SEED or scores-NAME-SEED; rename it")
        found.setdefault((name, seed), {})[kind] = folder
    for (name, seed), folders in found.items():
        for kind in ("model", "scores"):
            if kind not in folders:
                raise InputError(f"there is no input {kind}-{name}-{seed} beside the other of its pair; add it")
    names, seeds = ({key[part] for key in found} for part in (0, 1))
    for pair in itertools.product(sorted(names), sorted(seeds)):
        if pair not in found:
            raise InputError(f"{pair[0]} has no seed {pair[1]}, which others have; compare the same seeds of all")
    return found


def table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """A row a model."""
    rows = []
    for name, own in summary["models"].items():
        row: dict[str, Any] = {"model": name}
        row |= {key: own[key] for key in ("parameters", "steps", "seconds_a_step", "seconds_a_frame", "carry_bytes")}
        for part in ("validation", "test"):
            for kind, interval in (("", own[part]["mean"]), ("_less_first", own[part]["less_first"])):
                row |= {f"{part}{kind}": interval["mean"]} | {f"{part}{kind}_{e}": interval[e] for e in ("low", "high")}
            row |= {f"{part}_{seed}": value for seed, value in zip(summary["seeds"], own[part]["mse"], strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def drawn(summary: Mapping[str, Any]) -> Figure:
    """Validation errors over steps and over seconds of training: a colour a model, a line a seed."""
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for (name, own), colour in zip(summary["models"].items(), itertools.cycle(COLOURS), strict=False):
        for number, curve in enumerate(own["curves"].values()):
            style = {"color": colour, "linewidth": 1.2, "marker": ".", "markersize": 4}
            for axes, across in zip(panels, ("steps", "seconds"), strict=True):
                axes.plot(curve[across], curve["errors"], label=name if number == 0 else None, **style)
    square = f" ({summary['units']}$^2$)" if summary["units"] else ""
    errors = [error for own in summary["models"].values() for c in own["curves"].values() for error in c["errors"]]
    wide = min(errors) > 0 and max(errors) > 10 * min(errors)
    scale = "log" if wide else "linear"
    panels[0].set(xlabel="training step", ylabel=f"validation mean squared error{square}", yscale=scale)
    panels[1].set(xlabel="seconds of training")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def _error(errors: Mapping[str, Mapping[str, float]], part: str, key: tuple[str, str]) -> float:
    if MODEL not in errors.get(part, {}):
        raise InputError(
            f"scores-{key[0]}-{key[1]} has no mean squared error on {part} frames; compare models of numbers"
        )
    return errors[part][MODEL]


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
