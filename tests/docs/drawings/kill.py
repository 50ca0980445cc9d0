"""What a kill costs: what the ledger and the checkpoints hold is kept, the rest is done again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.ledger import Ledger
from pipeline.training.settings import TrainSettings
from tests.docs.drawings.canvas import Canvas

SHARDS = 9
WRITTEN, BEGUN = (0, 1, 2, 4), (3, 5)
"""Shards whose chunks and carries are written when the kill comes, and those that workers are at."""

KILLED = 57
"""The step of training that the kill comes after."""

LEFT, RIGHT = 150, 836


def committed() -> int:
    """Leading shards that count as done, of those that are written."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "committed.json", ["series"])
        for shard in WRITTEN:
            ledger.commit(0, shard)
        return ledger.done()[0]


def draw() -> str:
    """The drawing."""
    kept, every = committed(), TrainSettings().checkpoint_every
    last = KILLED // every * every
    canvas = Canvas(
        416,
        f"After a kill a forecast goes on from the carry that enters shard {kept}, a training from its step {last}",
    )
    canvas.text(28, 34, "What a kill costs: only what was not committed", "title")

    canvas.text(28, 70, "infer, scan", "bold")
    width = (RIGHT - LEFT) / SHARDS
    canvas.text(28, 108, "at the kill", "small soft")
    for shard in range(SHARDS):
        kind = "green" if shard < kept else "orange" if shard in (*WRITTEN, *BEGUN) else "empty"
        _shard(canvas, shard, 86, kind, "written" if shard in WRITTEN else "begun" if shard in BEGUN else "")
    border = LEFT + kept * width
    canvas.text(border - 6, 148, f"committed.json: {kept} shards, and the carry", "small bold green", "end")
    canvas.text(28, 186, "the same", "small soft")
    canvas.text(28, 202, "command again", "small soft")
    for shard in range(SHARDS):
        _shard(canvas, shard, 170, "green" if shard < kept else "blue", "kept" if shard < kept else "computed")
    canvas.line([(border, 76), (border, 232)], "thin dashed")
    canvas.arrow((border - 40, 226), (border + 4, 206), "purple")
    canvas.text(border - 46, 232, f"the stored carry enters shard {kept}", "small bold purple", "end")
    again = next(shard for shard in WRITTEN if shard >= kept)
    canvas.text(border + 8, 148, f"{again} is written, but one before it is not: again, to the same bits", "small soft")

    canvas.text(28, 276, "train", "bold")
    canvas.text(28, 306, "at the kill", "small soft")
    scale = (RIGHT - LEFT) / 80
    canvas.box(LEFT, 290, last * scale, 26, "green")
    canvas.box(LEFT + last * scale, 290, (KILLED - last) * scale, 26, "orange")
    canvas.box(LEFT + KILLED * scale, 290, RIGHT - LEFT - KILLED * scale, 26, "empty")
    for step in range(0, 81, every):
        x = LEFT + step * scale
        canvas.line([(x, 284), (x, 322)], "thin")
        canvas.text(
            x, 338, f"step {step}", "small soft", "middle" if 0 < step < 80 else "start" if step == 0 else "end"
        )
    canvas.text(LEFT + last * scale / 2, 308, f"checkpoints every {every} steps", "small bold green", "middle")
    canvas.text(LEFT + (last + KILLED) / 2 * scale, 308, f"{KILLED - last} steps again", "small bold orange", "middle")
    canvas.text(
        28,
        372,
        "ingest and preprocess go on from the last whole file, rollout from where its members stood; evaluate, report",
        "small soft",
    )
    canvas.text(
        28,
        390,
        "and gather are made anew. What is written appears whole, so no half of a chunk is ever read.",
        "small soft",
    )
    return canvas.svg()


def _shard(canvas: Canvas, shard: int, y: float, kind: str, told: str) -> None:
    width = (RIGHT - LEFT) / SHARDS
    x = LEFT + shard * width
    canvas.box(x + 2, y, width - 4, 42, kind)
    canvas.text(x + width / 2, y + 19, str(shard), f"small bold {'' if kind == 'empty' else kind}", "middle")
    canvas.text(x + width / 2, y + 35, told, "tiny soft", "middle")
