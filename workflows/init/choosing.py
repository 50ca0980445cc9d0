"""From what was seen to a recipe: each choice with its reason. Nothing is read here."""

from __future__ import annotations

from pipeline.volume import CHUNK_BYTES, InputError
from workflows.init.draft import Draft, Setting, Stage, one_or_more
from workflows.init.facts import Facts, Kind
from workflows.init.judging import further, rollout, scores, warnings
from workflows.init.learning import learning_of, model, window_for
from workflows.init.preparing import phases, prepared, raw
from workflows.init.sizing import Fit, Means, fit
from workflows.init.splitting import split
from workflows.init.telling import some, unit_of_time

FEW = 12
"""Frames of a recording from which no forecast is learned: noise is taken away instead."""

SERIES: dict[Kind, str] = {"climate": "field", "medical": "scan", "video": "video"}
"""What the recipe calls a series that has no name of its own."""


def choose(facts: Facts, kind: Kind, name: str, means: Means) -> Draft:
    """A recipe for what was seen.

    Args:
        facts: What was seen; its sources are as the recipe names them.
        kind: climate, medical or video.
        name: Of the run.
        means: What it may count on.

    Raises:
        InputError: There are too few frames, or no values.
    """
    if facts.sample.missing == 1:
        raise InputError(f"{facts.first.sources[0]} has no values in {facts.sample.frames} frames; name other files")
    if kind == "medical" and max(facts.first.runs) < FEW and sum(facts.first.runs) < 2 * FEW:
        from workflows.init.denoising import denoised

        return denoised(facts, name, means)
    return forecast(facts, kind, name, means)


def forecast(facts: Facts, kind: Kind, name: str, means: Means) -> Draft:
    """A recipe that forecasts one step ahead."""
    series = SERIES[kind]
    periods = split(facts, series)
    seasons = phases(facts, periods)
    learning = learning_of(facts, kind, seasons)
    room = fit(
        facts.grid, len(facts.channels), learning.size, wish=window_for(learning.window, facts, periods),
        memory=means.memory, closes=facts.closes,
    )  # fmt: skip
    unit = unit_of_time(facts)
    stages = [
        *raw(facts, series),
        prepared(facts, series, periods, seasons, room),
        model(learning, room, means, unit),
        Stage(
            "forecast", "infer",
            {
                "series": Setting(one_or_more(periods.tested)),
                "chunk": Setting(chunk(facts, room), "frames; the answer does not depend on it"),
            },
            {"prepared": "prepared", "model": "model"},
            f"The next {unit} is forecast from all before it, over "
            f"{'the whole series' if len(periods.tested) == 1 else 'all of these series'}; shards of time go to the "
            "workers.",
        ),
        scores(facts, kind, means),
    ]  # fmt: skip
    inputs = {"scores": "scores", "prediction": "forecast", "prepared": "prepared", "model": "model"}
    ahead = rollout(facts, kind, periods, unit)
    if ahead is not None:
        stages.append(ahead)
        inputs["rollout"] = "ahead"
    title = Setting(f"{some(facts.channels)}, one {unit} ahead")
    stages.append(
        Stage("report", "report", {"title": title}, inputs, "Scores, curves and pictures for the run's report.html.")
    )
    return Draft(
        name,
        (
            f"Forecasts of {some(facts.channels)}, one {unit} ahead. Written by `chronovox init {kind}`; every line "
            "may be changed, and what is said behind # does nothing.",
            "Run it with `chronovox run`; what is finished is skipped, and what you change gets a new folder. Choose "
            "settings by the validation scores that `scores` prints; look at the test scores at the end, once.",
        ),
        tuple(stages),
        further(facts, kind, periods, seasons, room),
        warnings(facts, periods),
    )


def chunk(facts: Facts, room: Fit) -> int:
    """Frames that are forecast together: some megabytes, 64 at most, and of a short series not all at once."""
    together = max(1, int(4 * CHUNK_BYTES / (4 * room.voxels * len(facts.channels))))
    return min(together, 64, max(facts.first.runs) if len(facts.first.runs) > 1 else max(4, facts.first.frames // 8))
