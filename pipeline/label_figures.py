"""What a report tells of labels: a picture of them, and tables label by label."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure

from pipeline.dataset import Truth
from pipeline.figures import drawn
from pipeline.storage import store

TICKS = 12
"""Labels that are named beside a picture at most."""

GREY_OF_TEN = 7
"""Which of matplotlib's ten colours is a grey."""

MISSING, RIGHT, WRONG = "#ffffff", "#e4e4e4", "#b3242b"


def colours_of(classes: int) -> Colormap:
    """A colour for each label, no two alike: the first is grey, as a background; of up to ten they are easily told
    apart, of more they go around the colour wheel. What is missing is white."""
    named = [colour for number, colour in enumerate(matplotlib.colormaps["tab10"].colors) if number != GREY_OF_TEN]
    wheel = [tuple(colour) for colour in matplotlib.colormaps["turbo"](np.linspace(0, 1, max(classes - 1, 1)))]
    chosen = named if classes <= len(named) + 1 else wheel
    return ListedColormap(["#c8c8c8", *chosen[: classes - 1]]).with_extremes(bad=MISSING)


def label_colours(classes: int) -> tuple[dict, dict]:
    """How labels are drawn, and how 0 (right) and 1 (wrong)."""
    labels = {"cmap": colours_of(classes), "norm": BoundaryNorm(np.arange(classes + 1) - 0.5, classes)}
    two = {"cmap": ListedColormap([RIGHT, WRONG]).with_extremes(bad=MISSING), "norm": BoundaryNorm([-0.5, 0.5, 1.5], 2)}
    return labels, two


def label_maps(prediction: Path, truth: Truth, number: int, classes: int) -> Figure:
    """The labels of one frame as they were made, as they are, and where the two differ; the middle slice. Voxels
    without a label in truth are white in the latter two."""
    middle = truth.volume.sizes["depth"] // 2
    made = store.read_frames(prediction, None, number, number + 1)[0, 0, middle]
    real = np.round(truth.frames(number, number + 1)[0, 0, middle])
    differs = np.where(np.isnan(real), np.nan, made != real)

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    colours, two = label_colours(classes)
    panels = (("model", made, colours), ("truth", real, colours), ("where they differ", differs, two))
    *both, (axes, mesh) = drawn(figure, panels, truth, number)
    bars = [figure.colorbar(mesh, ax=axes, label="label") for axes, mesh in both]
    for bar in bars:
        bar.set_ticks(np.arange(0, classes, -(-classes // TICKS)))
    bars.append(figure.colorbar(mesh, ax=axes))
    bars[-1].set_ticks([0, 1], labels=["same", "other"])
    for bar in bars:
        bar.minorticks_off()
    return figure


def label_rows(scores: dict, forecasts: Iterable[str]) -> list[dict]:
    """A row a label that the truth or the model bears: its number, the voxels that bear it in the truth, the model's
    recall, and Dice of each forecast; none where there is none."""
    counts, rows = np.array(scores["confusion"]["model"]), []
    for label, voxels in enumerate(counts.sum(axis=1).tolist()):
        if voxels or counts[:, label].any():
            found = {name: scores.get(f"{name}.dice_{label}") for name in forecasts}
            row = {"label": label, "voxels": voxels, "recall": scores.get(f"model.recall_{label}")}
            rows.append(row | {"dice": found})
    return rows


def confusion_rows(scores: dict) -> list[dict]:
    """Of each label that the truth bears which share of its voxels the model gave each label, those from 0 on."""
    counts = np.array(scores["confusion"]["model"])
    return [{"label": label, "shares": (own / own.sum()).tolist()} for label, own in enumerate(counts) if own.any()]
