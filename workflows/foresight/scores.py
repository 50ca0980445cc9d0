"""What stages take that score and draw."""

from __future__ import annotations

from pathlib import Path

from workflows.foresight.cost import Cost
from workflows.foresight.looking import SCORED, Known, Looking
from workflows.foresight.made import frame_bytes
from workflows.stage import Stage

DRAWN = 2e6
"""Bytes of frames a second that are drawn: an order of magnitude, of one core."""


def evaluate(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    prepared = looking.known[stage.inputs["prepared"]]
    known = Known(prepared.volumes, prepared.spans, stage.settings)
    if finished:
        return known, None
    frame = frame_bytes(next(iter(prepared.volumes.values())))
    frames = {split: sum(len(span.frames) for span in prepared.spans[split]) for split in ("validation", "test")}
    read = frame * (frames["validation"] + 3 * frames["test"])
    cost = Cost(
        shape=f"{frames['test']} test frames",
        read=read,
        host=looking.host("evaluate", 80e6 + 200.0 * frame),
        seconds=1.0 + read / SCORED,
    )
    return known, cost


def report(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    if finished:
        return Known(settings=stage.settings), None
    frame = frame_bytes(next(iter(looking.known[stage.inputs["prepared"]].volumes.values())))
    cost = Cost(host=looking.host("report", 35e6 + 60.0 * frame), seconds=3.0 + 16 * frame / DRAWN, disk=5_000_000)
    return Known(settings=stage.settings), cost


def gather(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    cost = Cost(host=looking.host("gather", 20e6), seconds=2.0, disk=1_000_000)
    return Known(settings=stage.settings), None if finished else cost
