"""What a recipe reads and prepares: the stages `ingest` and `preprocess`, with the reasons."""

from __future__ import annotations

import math
from typing import Any

from pipeline.volume import CHUNK_BYTES
from workflows.init.draft import Setting, Stage, one_or_more
from workflows.init.facts import Facts
from workflows.init.sizing import Fit
from workflows.init.splitting import Split
from workflows.init.telling import DAY, median_step, megabytes, plural, some


def raw(facts: Facts, name: str) -> list[Stage]:
    """One `ingest` stage for each series."""
    stages = []
    for series in facts.series:
        settings = {"source": Setting(one_or_more(series.sources))}
        if facts.ask.variables:
            why = (
                "one channel" if len(facts.ask.variables) == 1 else f"{len(facts.ask.variables)} channels, on one grid"
            )
            if facts.others:
                why += f"; there are {some(facts.others)} as well"
            settings["variable"] = Setting(one_or_more(facts.ask.variables), why)
        if facts.ask.channels:
            settings["channels"] = Setting(facts.ask.channels, CHANNELS.get(facts.ask.channels, ""))
        if facts.ask.time:
            settings["time"] = Setting(facts.ask.time)
        if facts.ask.select:
            settings["select"] = Setting(dict(facts.ask.select))
        frames = CHUNK_BYTES // facts.frame_bytes
        if frames > 1:
            stored = min(frames, max(series.runs))
            settings["chunk"] = Setting(
                stored, f"frames that are stored together: {megabytes(stored * facts.frame_bytes)} as float32"
            )
        stages.append(Stage(raw_name(series.name or name), "ingest", settings))
    larger = "" if facts.frame_bytes <= CHUNK_BYTES else (
        f"A frame has {megabytes(facts.frame_bytes)}: each is a chunk of its own, and one beyond 16 MB is cut in space."
    )  # fmt: skip
    stages[0] = Stage(stages[0].name, "ingest", stages[0].settings, why=larger)
    return stages


CHANNELS = {
    "files": "each file is a channel: echoes of the same recording, by their names",
    "grey": "brightness alone; leave this out for red, green and blue, three times the numbers",
}


def raw_name(series: str) -> str:
    return f"raw_{series}"


def phases(facts: Facts, periods: Split) -> str:
    """Of what part of the year a climatology is subtracted; `none` where frames are years, or years are too few."""
    if facts.clock != "dates" or periods.years < 4 or median_step(facts, facts.first) > 32 * DAY:
        return "none"
    return "day" if median_step(facts, facts.first) < 20 * DAY and periods.years >= 10 else "month"


def prepared(facts: Facts, name: str, periods: Split, seasons: str, room: Fit) -> Stage:
    """The `preprocess` stage."""
    settings: dict[str, Setting] = {}
    reshape: dict[str, Any] = {}
    why = []
    if room.coarsen != (1, 1, 1):
        factors = dict(zip(("depth", "height", "width"), room.coarsen, strict=True))
        reshape["coarsen"] = {axis: own for axis, own in factors.items() if own > 1}
        if any(size % own for size, own in zip(facts.grid, room.coarsen, strict=True)):
            reshape["coarsen"]["trim"] = True
        why.append(
            f"Frames of {times(facts.grid)} voxels are made coarser, {plural(room.voxels, 'voxel')} each, so that a "
            "step of training takes seconds and fits the memory; take it out for all of them."
        )
    if periods.joined:
        reshape["runs"] = "joined"
        why.append("The runs stay one series; states begin anew with each run, and no window crosses a border.")
    if reshape:
        settings["reshape"] = Setting(reshape, " ".join(why))
    settings["splits"] = Setting(periods.as_setting(), why_splits(facts, periods))
    if seasons == "none":
        settings["normalise"] = Setting(
            {"mean": "voxel", "scale": "channel"},
            "each voxel less its mean over the training frames, over one scale for the channel",
        )
    else:
        settings["anomalies"] = Setting(seasons, why_seasons(facts, periods, seasons))
        settings["normalise"] = Setting({"mean": "none", "scale": "channel"}, "anomalies have the mean zero already")
    settings |= missing(facts)
    inputs = {one.name or name: raw_name(one.name or name) for one in facts.series}
    return Stage("prepared", "preprocess", settings, inputs, "Statistics are those of the training frames alone.")


def times(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes if size > 1) or "1"


def why_splits(facts: Facts, periods: Split) -> str:
    """The reason for the periods, with their frames."""
    train, chosen, tested = periods.frames
    counts = f"{train} frames to learn from, {chosen} to choose by, {tested} to be tested on"
    sample, series = facts.sample, facts.first
    if len(series.runs) > 1:
        left = "At the borders states begin anew." if periods.joined else "Nothing is carried across a border of runs."
        out = (
            "the end of the first run chooses, the second is left out"
            if len(series.runs) == 2
            else "whole runs are left out"
        )
        return f"{counts}: {out}, so that the test is on a recording that was not learned from. {left}"
    how = "whole years, " if periods.years else ""
    text = f"{counts}, {how}in the order of time: what is forecast comes after what was learned."
    if len(facts.series) > 1:
        text += " The same times of all series are in the same part: members may share a past, frame by frame."
    if periods.margin:
        text += (
            f" {plural(periods.margin, 'frame')} at each border {'is' if periods.margin == 1 else 'are'} left out: "
            f"departures from the mean last {sample.memory:.2g} frames or so, and what is just behind a border is "
            "nearly what is just before it."
        )
    elif sample.memory and sample.memory < 2:
        text += f" No margin is needed: departures from the mean last {sample.memory:.2g} frames or so."
    return text


def why_seasons(facts: Facts, periods: Split, seasons: str) -> str:
    """The reason for anomalies, with the share that the months explain."""
    text = f"each {seasons}'s mean of the {periods.years} training years is taken out"
    if not math.isnan(facts.sample.seasonal):
        text += f": months explain {facts.sample.seasonal:.0%} of what voxels vary by in time"
    return text + ", which no model should be praised for."


def missing(facts: Facts) -> dict[str, Setting]:
    """What becomes of missing values."""
    sample = facts.sample
    if sample.missing:
        where = "other places in other frames" if sample.moves else "the same places in all frames"
        why = f"{sample.missing:.1%} of the values looked at are missing, {where}: zeros, with a channel that tells so"
        return {"missing": Setting("mask", why)}
    if sample.whole:
        return {}
    return {
        "missing": Setting(
            "mask", f"none was missing in {sample.frames} frames looked at; if this stage says others", off=True
        )
    }
