"""Stage `gather`: the scores of several models of a kind, folds or seeds, side by side, and how sure their mean is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.mean_errors import MODEL, VALIDATION, errors_of
from pipeline.progress import Progress, Steps
from pipeline.scores import student_interval
from pipeline.scoring import WHOLE
from pipeline.section import write_section
from pipeline.volume import InputError, Settings

VERSION = 2

Errors = dict[str, dict[str, list[float]]]
"""Mean squared errors by part and forecast, one of each input."""


@dataclass(frozen=True)
class GatherSettings(Settings):
    """Settings of a `gather` stage: the scores of folds or seeds side by side, as `summary.json` and `report.html`. An
    input that a matrix repeats is all its repetitions.

    Attributes:
        confidence: Of the intervals.
        title: The page's title.
    """

    confidence: float = 0.95
    title: str = "Folds and seeds"

    def __post_init__(self):
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; give a number between 0 and 1")


def gather(settings: GatherSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `summary.json`, `summary.csv` and `section.html` into `output`.

    Of each part of the frames (`all` is the whole; channels, levels and regions as `evaluate` was told; those that all
    inputs have) and of each forecast there is the mean squared error of each input, their mean, and the mean of the
    model's less it, input by input: what makes a fold hard for both does not count. The part `validation` has the
    errors of whole frames on the validation frames. Every input counts alike.

    Intervals are Student's (`student_interval`), over the inputs. Of folds they take these for independent, though
    their models share training frames: no estimate from folds alone does without that (Bengio and Grandvalet, Journal
    of Machine Learning Research 5, 2004). Of seeds they tell what chance in training does, and nothing of the frames,
    which are the same. A single input has no interval.

    Raises:
        InputError: The inputs' units differ, or no part and forecast is in all of them.
    """
    yield Progress(0, 1, "reading scores")
    found = {name: json.loads((folder / "scores.json").read_text()) for name, folder in inputs.items()}
    units = {name: scores["units"] for name, scores in found.items()}
    if len(set(units.values())) > 1:
        raise InputError(
            f"the inputs have different units: {', '.join(f'{name} {unit!r}' for name, unit in units.items())}; gather "
            "scores of the same data"
        )
    errors = common({name: errors_of(scores) for name, scores in found.items()})
    parts = {part: compared(own, settings.confidence) for part, own in errors.items()}
    summary = {"inputs": list(found), "units": next(iter(units.values())), "confidence": settings.confidence}
    (output / "summary.json").write_text(json.dumps(summary | {"parts": parts}, indent=2) + "\n")
    table(parts, list(found)).to_csv(output / "summary.csv", index=False)
    page = summary | {"title": settings.title, "parts": parts, "whole": WHOLE, "validation": VALIDATION}
    write_section(output, "gathered.html.j2", page)
    yield Progress(1, 1, f"{len(found)} inputs, model {np.mean(errors[WHOLE][MODEL]):.4f}")


def common(errors: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Errors:
    """Of the parts and forecasts that all inputs have the error of each, the model among them.

    Raises:
        InputError: There is no such part.
    """
    first, *others = errors.values()
    found: Errors = {}
    for part, forecasts in first.items():
        shared = [name for name in forecasts if all(name in other.get(part, ()) for other in others)]
        shared.sort(key=lambda name: name != MODEL)
        if MODEL in shared:
            found[part] = {name: [own[part][name] for own in errors.values()] for name in shared}
    if WHOLE not in found:
        raise InputError(f"of {', '.join(errors)} some have no mean squared error of the model; gather those that do")
    return found


def compared(errors: Mapping[str, list[float]], confidence: float) -> dict[str, dict]:
    """Of each forecast its errors, their mean, and that of the model's less it, with intervals."""
    found = {}
    for name, own in errors.items():
        found[name] = {"mse": own, "mean": asdict(student_interval(np.array(own), confidence=confidence))}
        if name != MODEL:
            differences = np.array(errors[MODEL]) - np.array(own)
            found[name]["difference"] = asdict(student_interval(differences, confidence=confidence))
    return found


def table(parts: Mapping[str, Mapping[str, dict]], inputs: list[str]) -> pd.DataFrame:
    """A row a part and forecast: the mean, the model's less it, both with the ends of their intervals, and the error of
    each input."""
    rows = []
    for part, forecasts in parts.items():
        for name, own in forecasts.items():
            row = {"part": part, "forecast": name}
            for kind in ("mean", "difference"):
                interval = own.get(kind, {})
                row |= {kind: interval.get("mean")} | {f"{kind}_{end}": interval.get(end) for end in ("low", "high")}
            rows.append(row | dict(zip(inputs, own["mse"], strict=True)))
    return pd.DataFrame(rows)
