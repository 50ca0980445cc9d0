"""How a recipe judges: the stages `evaluate` and `rollout`; what is said at its end, and beforehand."""

from __future__ import annotations

from typing import Any

from workflows.init.draft import Setting, Stage, one_or_more
from workflows.init.facts import Facts, Kind
from workflows.init.sizing import Fit, Means
from workflows.init.splitting import APART, Split
from workflows.init.telling import DAY, median_step, plural

TELLING = 12
"""Frames; scores of fewer say little."""

IMAGES = "pip install 'chronovox[images]'"


def scores(facts: Facts, kind: Kind, means: Means) -> Stage:
    """The `evaluate` stage."""
    settings: dict[str, Setting] = {}
    score: dict[str, Any] = {}
    why = (
        "Scored on the test frames, in the data's units, beside persistence, the training mean and exponential averages"
    )
    why += ", with 95 % intervals."
    if kind == "climate":
        why += " Errors weighted by latitude are there too." if facts.latitudes else ""
        if facts.levels and 1 < facts.grid[0] <= 40:
            score["levels"] = True
        if facts.latitudes and facts.latitudes[0] < -45 and facts.latitudes[1] > 45:
            score["regions"] = {
                "north": {"latitude": [20, 90]},
                "tropics": {"latitude": [-20, 20]},
                "south": {"latitude": [-90, -20]},
            }
        if score:
            settings["score"] = Setting(score)
    elif facts.dtype == "uint8":
        score = {"peak": 255.0}
        why += " With `peak`, the range of 8 bits, PSNR and SSIM are computed."
        lacking = "" if means.images else f"SSIM wants scikit-image, which is not installed: {IMAGES}"
        settings["score"] = Setting(score, lacking, off=not means.images)
    elif kind == "medical" and facts.grid[0] > 1 and facts.sample.still > 0.05:
        why += (
            f" {facts.sample.still:.0%} of the voxels never change where it was looked at: background, which makes "
            "errors of whole frames look small. Give a mask (see the end)."
        )
    inputs = {"prediction": "forecast", "prepared": "prepared", "model": "model"}
    return Stage("scores", "evaluate", settings, inputs, why)


def rollout(facts: Facts, kind: Kind, periods: Split, unit: str) -> Stage | None:
    """Forecasts several frames ahead from the test frames; none of scans, nor of few test frames or where what is
    missing moves."""
    tested = periods.frames[2] // len(periods.tested)
    if kind == "medical" or tested < 8 or facts.sample.moves or periods.joined:
        return None
    horizon = min(6, tested // 3)
    every = max(1, tested // 50)
    settings = {
        "series": Setting(one_or_more(periods.tested)),
        "horizon": Setting(horizon, f"{unit}s"),
        "every": Setting(every, "a start at every frame of the test" if every == 1 else "frames from start to start"),
        "split": Setting("test"),
    }
    return Stage(
        "ahead", "rollout", settings, {"prepared": "prepared", "model": "model"},
        f"One to {horizon} {unit}s ahead: forecasts are fed back.",
    )  # fmt: skip


def further(facts: Facts, kind: Kind, periods: Split, seasons: str, room: Fit) -> tuple[str, ...]:
    """What to try next."""
    found = [
        "More of a model: under `model:` channels: 8, states: 16, layers: 2, and `steps: 300`; by the validation "
        "score. Seeds: `matrix: {seed: [0, 1, 2]}` and a `gather` stage (docs/learning.md)."
    ]
    if kind == "climate":
        if seasons == "none" and facts.clock == "dates" and median_step(facts, facts.first) < 32 * DAY:
            found.append(
                f"Anomalies: there are {plural(periods.years, 'whole year')} to learn from, too few for means of "
                "months that say something; with four or more set `anomalies: month`."
            )
        if seasons != "none":
            found.append(
                "The numbers of `start` by the validation score: `level` (0 is a climate that stays), `ridge`, longer "
                "`memories`; `diffusivities: [0, 3]` reads the surroundings as well."
            )
        found.append("Other scores: `score: {regions: {mine: {latitude: [30, 60], longitude: [-10, 40]}}}`.")
    if kind == "medical":
        found.append(
            "A mask of the organ: a further stage `brain: {stage: ingest, source: mask.nii.gz}`, and `brain: brain` "
            "among the inputs of `scores`; it is then scored by itself."
        )
        if 2 < len(facts.first.runs) <= APART:
            found.append(
                "Every run left out once, with a `matrix` and a `gather` stage: "
                "workflows/recipes/fmri_leave_one_run_out.yaml is written so."
            )
        found.append(
            "Noise taken away instead of forecasts: `task: denoise`, as in workflows/recipes/denoise_fmri.yaml."
        )
    if kind == "video":
        found.append(
            "Several frames ahead learned as such: `horizon: 4` in the stage `model` (without `recompute`); many short "
            "clips: `ahead: gaps`, as in workflows/recipes/moving_digits.yaml."
        )
        found.append(
            "Scene cuts: nothing is known of them; ingest the scenes as files of their own, and states begin anew with "
            "each."
        )
    if room.recompute is not None:
        found.append("With more memory, or GPUs that have it: write this recipe again with --memory 40GB.")
    if room.coarsen != (1, 1, 1):
        found.append(
            "Frames as they are: take `coarsen` out; a step then takes longer by as much as there are more voxels."
        )
    found.append("On a cluster: `chronovox run --address HOST:6379`; the answer is the same.")
    return tuple(found)


def warnings(facts: Facts, periods: Split) -> tuple[str, ...]:
    """What somebody should know beforehand."""
    found = []
    if facts.sample.infinite:
        found.append(
            f"{plural(facts.sample.infinite, 'value')} of those looked at are infinite, which `prepared` refuses: mend "
            "the archive, or mark them as missing"
        )
    if periods.repeated:
        found.append(
            f"{plural(periods.repeated, 'frame')} of validation or test {'is' if periods.repeated == 1 else 'are'} the "
            "same, bit for bit, as one that is learned from or chosen by, and `prepared` refuses that: change the "
            "periods under `splits`, or cut the still part off with `select`"
        )
    _, chosen, tested = periods.frames
    if min(chosen, tested) < TELLING:
        found.append(
            f"{plural(chosen, 'frame')} to choose by and {tested} to be tested on show that it runs, and say little "
            "about which model is better"
        )
    return tuple(found)
