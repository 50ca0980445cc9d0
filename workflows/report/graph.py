"""A workflow drawn: stages as boxes from left to right, each behind all of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from workflows.workflow import in_order

HEIGHT, ROW, GAP, EDGE = 44, 58, 46, 2
"""Pixels: of a box, from box to box beneath, between columns, around all."""

LETTER, LEAST = 7.4, 96
"""Pixels: of a letter, of a box at least."""


@dataclass(frozen=True)
class Box:
    """A stage's place, in pixels.

    Attributes:
        name: Of the stage.
        left, top, width: Of the box.
    """

    name: str
    left: float
    top: float
    width: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def middle(self) -> float:
        return self.top + HEIGHT / 2


@dataclass(frozen=True)
class Graph:
    """A drawing.

    Attributes:
        boxes: Of the stages.
        lines: From input to stage: paths as SVG has them.
        width, height: Of all, in pixels.
    """

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    width: float
    height: float


def drawn(words: Mapping[str, Sequence[str]], inputs: Mapping[str, Sequence[str]]) -> Graph:
    """Lays a workflow out: a column is one further right than the last of the inputs' columns; within a column stages
    are as high as the middle of their inputs.

    Args:
        words: What each box says, by the names of stages.
        inputs: Of each stage the names of those that it reads.
    """
    columns: list[list[str]] = []
    column: dict[str, int] = {}
    for name in in_order(inputs):
        column[name] = 1 + max((column[one] for one in inputs[name]), default=-1)
        if column[name] == len(columns):
            columns.append([])
        columns[column[name]].append(name)
    tallest, boxes, left = max(map(len, columns)), {}, float(EDGE)
    for names in columns:
        if names is not columns[0]:
            names.sort(key=lambda name: fmean(boxes[one].middle for one in inputs[name]))
        width = max(LEAST, LETTER * max(len(text) for name in names for text in (name, *words[name])) + 16)
        top = EDGE + (tallest - len(names)) * ROW / 2
        boxes |= {name: Box(name, left, top + place * ROW, width) for place, name in enumerate(names)}
        left += width + GAP
    lines = [_line(boxes[one], boxes[name]) for name in boxes for one in inputs[name]]
    return Graph(tuple(boxes.values()), tuple(lines), left - GAP + EDGE, (tallest - 1) * ROW + HEIGHT + 2 * EDGE)


def _line(source: Box, stage: Box) -> str:
    """From the right of a box to the left of another."""
    x0, y0, x1, y1 = source.right, source.middle, stage.left, stage.middle
    bend = GAP / 2
    return f"M{x0:.0f} {y0:.0f} H{x1 - GAP:.0f} C{x1 - bend:.0f} {y0:.0f} {x1 - bend:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
