"""How large pictures are on the page: one scale for all that have the same unit along both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workflows.pages.view.together import Plane, Together

WIDTH, HEIGHT = 1270, 560
"""Pixels for all pictures; where several planes lie one under another they may take more."""
MARGIN = (76, 62)
"""Of a picture, for its axes and title."""
LEAST = (150, 70)
FREE_HEIGHT = 170
"""Of a picture whose axes have different units."""


@dataclass(frozen=True)
class Frame:
    """A picture on the page.

    Attributes:
        width, height: Of it, in pixels.
        x, y: What of the axes it shows at first: from, to; the latter is right, or up.
    """

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]


def frames(together: Together, items: int) -> tuple[int, dict[Plane, Frame]]:
    """How many pictures stand beside each other, and how large those of each plane are.

    Images wrap into as many columns as make them largest. Of several volumes each has a column, with its planes one
    under another; the planes of one alone stand beside each other.
    """
    planes = together.planes
    extents = {plane: _extent(together, plane) for plane in planes}
    square = [extents[plane] for plane in planes if _square(together, plane)]
    if len(planes) == 1:
        columns = max(range(1, items + 1), key=lambda n: (_scale(square or [(3, 2)], n, -(-items // n)), n))
        scale = _scale(square, columns, -(-items // columns)) if square else 0.0
    else:
        columns = items if items > 1 else len(planes)
        scale = _beside(square) if items == 1 else _under(square, items)
    room = WIDTH // columns - MARGIN[0]
    return columns, {
        plane: _frame(together, plane, scale, extents[plane], room if len(planes) > 1 else WIDTH // columns - MARGIN[0])
        for plane in planes
    }


def _scale(square: Sequence[tuple[float, float]], columns: int, rows: int) -> float:
    """Pixels a unit, of images in a grid."""
    width, height = square[0]
    return min((WIDTH / columns - MARGIN[0]) / width, (HEIGHT / rows - MARGIN[1]) / height)


def _beside(square: Sequence[tuple[float, float]]) -> float:
    """Pixels a unit, of planes beside each other."""
    if not square:
        return 0.0
    wide = (WIDTH - 3 * MARGIN[0]) / sum(width for width, _ in square) * len(square) / 3
    return min(wide, (HEIGHT - MARGIN[1]) / max(height for _, height in square))


def _under(square: Sequence[tuple[float, float]], items: int) -> float:
    """Pixels a unit, of planes under each other."""
    if not square:
        return 0.0
    wide = (WIDTH / items - MARGIN[0]) / max(width for width, _ in square)
    return min(wide, 1.5 * HEIGHT / sum(height for _, height in square))


def _square(together: Together, plane: Plane) -> bool:
    x, y = together.places[plane.x], together.places[plane.y]
    return x.metric == y.metric and (x.even == y.even)


def _extent(together: Together, plane: Plane) -> tuple[float, float]:
    sides = (together.places[axis] for axis in (plane.x, plane.y))
    return tuple(high - low for low, high in (side.edges(0, side.size - 1) for side in sides))


def _frame(together: Together, plane: Plane, scale: float, extent: tuple[float, float], room: int) -> Frame:
    whole = [together.places[axis].edges(0, together.places[axis].size - 1) for axis in (plane.x, plane.y)]
    if _square(together, plane):
        pixels = [max(least, round(scale * size)) for least, size in zip(LEAST, extent, strict=True)]
        seen = [
            ((low + high) / 2 - p / scale / 2, (low + high) / 2 + p / scale / 2)
            for (low, high), p in zip(whole, pixels, strict=True)
        ]
    else:
        pixels, seen = [max(LEAST[0], room), FREE_HEIGHT], whole
    if not together.places[plane.y].upward:
        seen[1] = seen[1][::-1]
    return Frame(pixels[0], pixels[1], seen[0], seen[1])
