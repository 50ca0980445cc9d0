"""Frames in chunks in shards: `pipeline.volume.cut` of a series."""

from __future__ import annotations

from pipeline.volume import cut
from tests.docs.drawings.canvas import Canvas

FRAMES, CHUNK, CHUNKS_PER_SHARD = 40, 4, 3

LEFT, STEP = 118, 17.5


def draw() -> str:
    """The drawing."""
    shards = cut(FRAMES, CHUNK, CHUNKS_PER_SHARD)
    canvas = Canvas(
        312,
        f"{FRAMES} frames in chunks of {CHUNK}, and these in shards of {CHUNKS_PER_SHARD} chunks; the last shard is "
        "shorter",
    )
    canvas.text(28, 34, "A volume is cut along time: frames in chunks in shards", "title")
    canvas.text(28, 56, "each frame holds all channels, depth, height and width of one time", "small soft")

    _row(canvas, 92, "frames", f"{FRAMES}")
    for t in range(FRAMES):
        _frame(canvas, LEFT + t * STEP, 76)
    _row(canvas, 146, "chunks", f"of {CHUNK} frames")
    for shard in shards:
        for start, stop in shard.chunks():
            _span(canvas, start, stop, 126, 34, "blue", f"{start}-{stop - 1}")
    _row(canvas, 206, "shards", f"of {CHUNKS_PER_SHARD} chunks")
    for shard in shards:
        _span(canvas, shard.start, shard.stop, 184, 40, "orange", f"shard {shard.index}")
        for border in (shard.start, shard.stop):
            canvas.line([(LEFT + border * STEP, 70), (LEFT + border * STEP, 234)], "thin dashed")

    canvas.arrow((LEFT, 250), (LEFT + FRAMES * STEP, 250))
    canvas.text(LEFT + FRAMES * STEP, 268, "time", "small soft", "end")
    canvas.text(LEFT, 278, "a chunk", "bold blue small")
    canvas.text(LEFT + 64, 278, "is read, scanned and stored together", "small soft")
    canvas.text(LEFT, 296, "a shard", "bold orange small")
    canvas.text(LEFT + 64, 296, "is whole chunks in a row; one worker owns it and alone writes it", "small soft")
    return canvas.svg()


def _row(canvas: Canvas, y: float, name: str, told: str) -> None:
    canvas.text(28, y, name, "bold")
    canvas.text(28, y + 17, told, "small soft")


def _frame(canvas: Canvas, x: float, y: float) -> None:
    """A little grid of voxels."""
    width, height = STEP - 4, 26
    canvas.box(x + 2, y, width, height, "grey", 1)
    for part in (1, 2):
        canvas.line([(x + 2 + part * width / 3, y), (x + 2 + part * width / 3, y + height)], "thin")
        canvas.line([(x + 2, y + part * height / 3), (x + 2 + width, y + part * height / 3)], "thin")


def _span(canvas: Canvas, start: int, stop: int, y: float, height: float, kind: str, words: str) -> None:
    x, width = LEFT + start * STEP + 2, (stop - start) * STEP - 4
    canvas.box(x, y, width, height, kind)
    canvas.text(x + width / 2, y + height / 2 + 5, words, f"small {kind}", "middle")
