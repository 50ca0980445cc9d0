"""A drawing as SVG: a card with its own colours for light and dark, so that it is legible on any page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 860

STYLE = """
  svg { --paper: #ffffff; --edge: #d1d9e0; --ink: #1f2328; --soft: #59636e; --grey: #eff2f5; --dim: #8c959f;
    --blue: #0969da; --blue-fill: #ddf0ff; --orange: #bc4c00; --orange-fill: #ffebd9; --green: #1a7f37;
    --green-fill: #d8f7df; --purple: #8250df; --purple-fill: #f1e7ff }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #151b23; --edge: #3d444d; --ink: #f0f6fc; --soft: #a9b1bb; --grey: #262c36; --dim: #6e7681;
      --blue: #58a6ff; --blue-fill: #16304f; --orange: #f0883e; --orange-fill: #432a14; --green: #3fb950;
      --green-fill: #143a1f; --purple: #ab7df8; --purple-fill: #32255a } }
  text { font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", Arial, sans-serif; fill: var(--ink) }
  text.title { font-size: 16px; font-weight: 600 } text.small { font-size: 12.5px } text.tiny { font-size: 11.5px } text.soft { fill: var(--soft) }
  text { stroke: none !important } text.bold { font-weight: 600 } text.blue { fill: var(--blue) } text.orange { fill: var(--orange) }
  text.green { fill: var(--green) } text.purple { fill: var(--purple) }
  .paper { fill: var(--paper); stroke: var(--edge) } .grey { fill: var(--grey); stroke: var(--dim) }
  .blue { fill: var(--blue-fill); stroke: var(--blue) } .orange { fill: var(--orange-fill); stroke: var(--orange) }
  .green { fill: var(--green-fill); stroke: var(--green) } .purple { fill: var(--purple-fill); stroke: var(--purple) }
  .purple-fill { fill: var(--purple-fill); stroke: none } .empty { fill: none; stroke: var(--dim); stroke-dasharray: 4 3 }
  .line { fill: none; stroke: var(--ink); stroke-width: 1.5 } .thin { fill: none; stroke: var(--dim) }
  .dashed { stroke-dasharray: 5 4 } .thick { stroke-width: 2.5 } polyline { fill: none !important }
  polygon { stroke: none } polygon.solid-orange { fill: var(--orange) }
  polygon.solid-ink { fill: var(--ink) } polygon.solid-blue { fill: var(--blue) } polygon.solid-purple { fill: var(--purple) }
"""  # noqa: E501


class Canvas:
    """A drawing in the making; places are in pixels from the upper left corner, the width is `WIDTH`.

    Args:
        height: Of the drawing.
        told: What it shows, in words, for who cannot see it.
    """

    def __init__(self, height: int, told: str):
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img"><title>{escape(told)}</title>',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        ]

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Words whose line stands at `y`, which begin (or have their `middle` or `end`) at `x`."""
        self._add(f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 3) -> None:
        """A rectangle."""
        size = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"'
        self._add(f'<rect class="{kind}" {size}/>')

    def line(self, points: Iterable[tuple[float, float]], kind: str = "line") -> None:
        """Straight from point to point."""
        self._add(f'<polyline class="{kind}" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """What points enclose, filled."""
        self._add(f'<polygon class="{kind}" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}"/>')

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], colour: str = "ink", *, fine: bool = False
    ) -> None:
        """From one place to another, straight."""
        (a, b), (c, d) = start, end
        length = ((c - a) ** 2 + (d - b) ** 2) ** 0.5
        u, v = (c - a) / length, (d - b) / length
        foot = c - 8 * u, d - 8 * v
        self.line([start, foot], "line" if colour == "ink" else colour if fine else f"{colour} thick")
        self.area(
            [end, (foot[0] - 4.5 * v, foot[1] + 4.5 * u), (foot[0] + 4.5 * v, foot[1] - 4.5 * u)], f"solid-{colour}"
        )

    def svg(self) -> str:
        """The file."""
        return "\n".join([*self._parts, "</svg>\n"])

    def _add(self, part: str) -> None:
        self._parts.append(part)


def _n(value: float) -> str:
    """A number of pixels, to a tenth."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
