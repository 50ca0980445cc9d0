"""The pictures of a report: training, a forecast beside the truth, errors over time, spectra."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from pipeline.dataset import Truth
from pipeline.main_score import SQUARED_ERROR, MainScore, bracketed
from pipeline.storage import store
from pipeline.times import in_words

COLOURS = {
    "model": "#b3242b",
    "persistence": "#7a7a7a",
    "exponential_average": "#2b6cb0",
    "climatology": "#2f855a",
    "input": "#7a7a7a",
    "gaussian": "#2b6cb0",
    "training_mode": "#2f855a",
    "commonest": "#7a7a7a",
}

RIVALS = ("persistence", "input", "training_mean", "training_mode")
"""Against the first of them that there is, skill is told."""

CHANNELS = 3
"""Of how many channels spectra are drawn at most."""

NYQUIST = 0.5
"""Cycles per voxel; waves that are shorter exist along diagonals alone."""


Panel = tuple[str, Float[np.ndarray, "height width"], dict[str, object]]


def training_curve(history: list[dict], truth: Truth, main: MainScore) -> Figure:
    """Loss of every step and validation error: both in the data's units squared, or of labels the cross-entropy."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots()
    squared = main == SQUARED_ERROR
    scale = float(np.mean(truth.normalisation.scale**2)) if squared else 1.0
    losses = [(record["step"], record["loss"] * scale) for record in history if "loss" in record]
    checks = [(record["step"], record["validation_mse"]) for record in history if "validation_mse" in record]
    axes.plot(*zip(*losses, strict=True), color="#b8b8b8", linewidth=1, label="training loss, one window a step")
    axes.plot(*zip(*checks, strict=True), color=COLOURS["model"], marker=".", label="validation")
    best = min(checks, key=lambda check: check[1])
    axes.plot(*best, marker="o", markersize=9, fillstyle="none", color=COLOURS["model"], linestyle="", label="chosen")
    words = f"{main.words}{bracketed(truth.units, main.power)}" if squared else "mean cross-entropy"
    axes.set(xlabel="training step", ylabel=words)
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="center right")
    return figure


def maps(prediction: Path, truth: Truth, number: int, lead: int) -> Figure:
    """What was made, truth and error of one frame, channel 0, middle slice; of forecasts, `lead` is 1."""
    middle, name = truth.volume.sizes["depth"] // 2, "forecast" if lead else "model"
    made = store.read_frames(prediction, None, number - lead, number - lead + 1)[0, 0, middle]
    real = truth.frames(number, number + 1)[0, 0, middle]

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    both = np.stack([real, made])
    low, high = np.nanmin(both), np.nanmax(both)
    reach = np.nanmax(np.abs(made - real))
    panels = (
        (name, made, {"cmap": "inferno", "vmin": low, "vmax": high}),
        ("truth", real, {"cmap": "inferno", "vmin": low, "vmax": high}),
        (f"error: {name} - truth", made - real, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}),
    )
    for axes, mesh in drawn(figure, panels, truth, number):
        figure.colorbar(mesh, ax=axes, label=truth.units)
    return figure


def drawn(figure: Figure, panels: Sequence[Panel], truth: Truth, number: int) -> Iterator[tuple[Axes, QuadMesh]]:
    """Draws panels of one frame of a series side by side: each a name, a field (height, width), and how it is coloured;
    on a map where there are latitudes and longitudes."""
    coordinates = truth.volume.coords
    mapped = "latitude" in coordinates and "longitude" in coordinates
    for axes, (name, field, colours) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        if mapped:
            mesh = axes.pcolormesh(coordinates["longitude"], coordinates["latitude"], field, **colours)
            axes.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
        else:
            mesh = axes.pcolormesh(field, **colours)
        axes.set_title(f"{name}, {in_words(truth.volume['time'].values[number])}", fontsize=10)
        yield axes, mesh


def skill_curves(
    by_time: pd.DataFrame, units: str, times: list[str], labels: dict[str, str], main: MainScore
) -> Figure:
    """The main score of every test frame, and its running mean over ten frames."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    errors, skill = figure.subplots(2, 1, sharex=True)
    frames = np.arange(len(by_time))
    for name, colour in COLOURS.items():
        if name not in labels:
            continue
        values = by_time[f"{name}.{main.key}"]
        errors.plot(frames, values, color=colour, alpha=0.25, linewidth=1)
        errors.plot(frames, values.rolling(10, center=True, min_periods=5).mean(), color=colour, label=labels[name])
    errors.set(
        ylabel=f"{main.words}{bracketed(units, main.power)}", title="thin: each frame; thick: running mean over ten"
    )
    errors.legend(frameon=False, ncols=3)
    rival = next(name for name in RIVALS if f"{name}.{main.key}" in by_time)
    theirs = by_time[f"{rival}.{main.key}"]
    gain = 1 - by_time[f"model.{main.key}"] / theirs.where(theirs > 0)
    short = rival.replace("_", " ")
    skill.bar(frames, gain, color=np.where(gain > 0, COLOURS["model"], COLOURS["input"]), width=0.8)
    skill.axhline(0, color="black", linewidth=0.8)
    ticks = frames[:: -(-len(frames) // 10)]
    days, years = [time.partition("T")[0] for time in times], {time[:4] for time in times}
    yearly = len(years) == len(times) and all(time[4:5] == "-" for time in times)
    skill.set_xticks(ticks, [days[tick][:4] if yearly else days[tick] for tick in ticks])
    skill.set(ylabel=f"skill against {short}", xlabel="time of the frame")
    return figure


def spectrum_curves(spectra: pd.DataFrame, units: str) -> Figure:
    """Mean power of truth, model and another by wavenumber, and its ratio to the truth's, of the first channels."""
    fields = [name for name in spectra.columns if name not in ("channel", "frames", "wavenumber", "truth")]
    channels = list(dict.fromkeys(spectra["channel"]))[:CHANNELS]
    figure = Figure(figsize=(12, 3.4 * len(channels)), layout="constrained")
    for channel, (power, ratio) in zip(channels, figure.subplots(len(channels), 2, squeeze=False), strict=True):
        own = spectra[(spectra["channel"] == channel) & spectra["wavenumber"].between(0, NYQUIST, inclusive="right")]
        power.plot(own["wavenumber"], own["truth"], color="black", label="truth")
        for name in fields:
            drawn = {"color": COLOURS.get(name, "#7a7a7a"), "label": name.replace("_", " ")}
            power.plot(own["wavenumber"], own[name], **drawn)
            ratio.plot(own["wavenumber"], own[name] / own["truth"], **drawn)
        power.set(yscale="log", title=f"{channel}: mean power{bracketed(units, 2)}")
        ratio.axhline(1, color="black", linewidth=0.8)
        ratio.set(title=f"{channel}: power / power of the truth")
        power.legend(frameon=False)
    for axes in (power, ratio):
        axes.set(xlabel="wavenumber (cycles per voxel)")
    return figure


def picture(figure: Figure) -> str:
    """The figure as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
