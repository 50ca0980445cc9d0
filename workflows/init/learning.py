"""How a recipe learns: the stage `train`, after what was measured for the recipes that come with Chronovox."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflows.init.draft import Setting, Stage
from workflows.init.facts import Facts, Kind
from workflows.init.sizing import Fit, Means, Size
from workflows.init.splitting import Split
from workflows.init.telling import DAY, median_step, megabytes, steps_of, unit_of_time

UNEVEN = 1.2
"""Steps of time that differ by this factor are not even; those of months do by 31 / 28."""


@dataclass(frozen=True)
class Learning:
    """How a model learns to forecast.

    Attributes:
        size: Of the model.
        model: Further settings of it.
        start: Of the fit in closed form; empty where there is none.
        steps, rate: Of gradient descent.
        window: Frames that are wished for.
        why: Of the model.
    """

    size: Size
    model: Mapping[str, Any]
    start: Mapping[str, Any]
    steps: int
    rate: float
    window: int
    why: str


def window_for(wish: int, facts: Facts, periods: Split) -> int:
    """Frames of a window: what is wished for; at most half of what is learned from, or a whole run of several."""
    several = len(facts.first.runs) > 2
    return max(3, min(wish, periods.longest if several else max(4, periods.longest // 2)))


def learning_of(facts: Facts, kind: Kind, seasons: str) -> Learning:
    """How forecasts of a kind are learned."""
    count, unit = len(facts.channels), unit_of_time(facts)
    if is_uneven(facts):
        steps = sorted(steps_of(facts, facts.first))
        scale = DAY if facts.clock == "dates" else 1.0
        name = {"dates": "days", "seconds": "s", "numbers": "frames"}[facts.clock]
        return Learning(
            Size(max(8, count), max(16, 2 * count), 2), {"uneven": True}, {}, 150, 3e-4, 48,
            f"Steps of time are uneven, {steps[0] / scale:.3g} to {steps[-1] / scale:.3g} {name}: each step is as long "
            "as the times say. It starts as an exponential average of the past and learns from there.",
        )  # fmt: skip
    if kind == "climate" and seasons != "none":
        memories = [1, 4, 16] if unit == "month" else [1, 5, 30]
        return Learning(
            Size(count, 3 * count, 1), {"reads": "levels"},
            {"memories": memories, "diffusivities": [0], "ridge": 0.1, "level": 0.5},
            30, 1e-4, 48 if unit == "month" else 90,
            "Forecasts are made of the anomalies themselves (levels) and fade to zero, the "
            f"climatology{restless(facts)}. `start` fits, in closed form, how averages over the last {memories[0]}, "
            f"{memories[1]} and {memories[2]} frames are read. Anomalies from the training frames' own means have no "
            "level that lasts, those of later years may: `level` tells the fit so, in normalised units.",
        )  # fmt: skip
    if kind == "climate":
        wide = min(n for n in facts.grid if n > 1) >= 16
        spread = [0, 3, 100] if wide else [0, 3]
        start: dict[str, Any] = {"memories": [1, 4, 16], "diffusivities": spread, "ridge": 0.01}
        drift = ""
        if unit == "year":
            start["trend"] = 0.04
            drift = (
                " `trend` tells the fit that fields may drift as a whole, by 0.04 normalised units a year, though the "
                "training years are steady: without it the fit prefers slow averages, which lag. Set it to 0 where "
                "later years are like earlier ones."
            )
        return Learning(
            Size(count, 3 * len(spread) * count, 1), {}, start, 50, 1e-4, 100 if unit == "year" else 60,
            "The model reads differences between frames: a constant added to all of them is added to the forecast, so "
            "a climate warmer than any learned from is no new territory. `start` fits, in closed form, how averages of "
            f"the past over 1, 4 and 16 frames, {len(spread)} widths each, are read.{drift}",
        )  # fmt: skip
    if kind == "medical" and len(facts.first.runs) == 1 and facts.sample.restless > 1:
        return Learning(
            Size(max(4, count), max(8, 2 * count), 1), {"reads": "levels"},
            {"memories": [1, 8], "diffusivities": [0], "ridge": 0.01},
            60, 0.005, 128,
            "The model reads levels, so its forecasts fade to each voxel's mean: where it was looked at, the frame "
            f"before as a forecast has {facts.sample.restless:.2f} times the error of that mean. `start` fits, in "
            f"closed form, how two averages of a voxel's past are read, over 1 and 8 frames{in_seconds(facts)}; "
            "gradient descent adds the gates. If the baseline drifts, leave `reads` out: the model then reads "
            "differences.",
        )  # fmt: skip
    if kind == "medical":
        return Learning(
            Size(max(4, count), max(8, 2 * count), 1), {}, {"memories": [1, 8], "diffusivities": [0], "ridge": 0.01},
            60, 0.005, 128,
            "The model reads differences between frames, so a baseline that drifts, or differs from run to run, is no "
            "new territory. `start` fits, in closed form, how two averages of a voxel's past are read, over 1 and 8 "
            f"frames{in_seconds(facts)}; gradient descent adds the gates{persistence(facts)}.",
        )  # fmt: skip
    return Learning(
        Size(max(8, count), max(8, 4 * count), 1, neighbours=True), {"gate_taps": 3},
        {"memories": [1, 4], "diffusivities": [0, 1], "ridge": 0.01}, 100, 0.002, 24,
        "The model reads differences between frames: what stands still is forecast as it is. `start` fits, in closed "
        "form, how averages of a pixel's past and surroundings are read; gradient descent then learns gates that see a "
        f"pixel's neighbours, for what moves{persistence(facts)}.",
    )  # fmt: skip


def restless(facts: Facts) -> str:
    """How much anomalies change from step to step; empty where it is not known."""
    ratio = facts.sample.step_of_anomalies
    if math.isnan(ratio):
        return ""
    worse = "worse" if ratio > 1 else "better"
    return f" (the month before as a forecast would be {worse} than that: {ratio:.2f} times its mean squared error)"


def persistence(facts: Facts) -> str:
    """Against which simple forecast a model has to show itself; empty where it is not known."""
    ratio = facts.sample.restless
    if math.isnan(ratio):
        return ""
    other = "the frame before is the forecast to beat" if ratio < 1 else "the mean over time is the forecast to beat"
    return (
        f". Where it was looked at, {other}: as a forecast the frame before has {ratio:.2f} times the error of the mean"
    )


def in_seconds(facts: Facts) -> str:
    """Eight frames in seconds; empty where no times are known."""
    return f" (8 frames are {8 * median_step(facts, facts.first):.3g} s)" if facts.clock == "seconds" else ""


def is_uneven(facts: Facts) -> bool:
    """Whether frames are not evenly spaced; a video's are shown by a clock of its own, which rounds."""
    steps = [step for series in facts.series for step in steps_of(facts, series)]
    return facts.format != "video" and max(steps) > UNEVEN * min(steps)


def model(learning: Learning, room: Fit, means: Means, unit: str) -> Stage:
    """The `train` stage."""
    size = learning.size
    settings = {
        "model": Setting({"channels": size.channels, "states": size.states, "layers": size.layers, **learning.model})
    }
    if learning.start:
        settings["start"] = Setting(dict(learning.start), "memories in frames, diffusivities in voxels^2 a frame")
    settings["steps"] = Setting(
        learning.steps, "of gradient descent from there" if learning.start else "of gradient descent"
    )
    held = "" if room.recompute is None else ", recomputed in chunks"
    settings["window"] = Setting(
        room.window,
        f"{unit}s; a step takes about {megabytes(room.bytes)} of the {megabytes(means.memory)} stated{held}",
    )
    settings["burn_in"] = Setting(burn_in(room.window), "of these fill the state and are not scored")
    if room.recompute is not None:
        settings["recompute"] = Setting(room.recompute, "frames that the backward pass computes again, to hold less")
    settings["learning_rate"] = Setting(learning.rate)
    settings["validate_every"] = Setting(
        max(1, learning.steps // 4),
        "the step with the least validation error is kept" + ("; the fit is step 0" if learning.start else ""),
    )
    settings["seed"] = Setting(0)
    return Stage("model", "train", settings, {"prepared": "prepared"}, learning.why)


def burn_in(window: int) -> int:
    return max(0, min(window // 4, window - 3))
