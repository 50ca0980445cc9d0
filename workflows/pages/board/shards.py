"""The grid of shards as a figure: time along x, workers from above, coloured by what is done with each shard."""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from workflows.pages.board.grid import Grid
from workflows.pages.board.picture import Picture, fronts, picture, states
from workflows.pages.board.states import COLOURS
from workflows.pages.view.look import INK, plain, words

TALLEST, LOWEST, ROOM = 26, 8, 520
"""Pixels of a row at most and at least, and of all rows about."""


class Shards:
    """The figure, and what is in it.

    Args:
        width: In pixels.

    Attributes:
        figure: Hidden where a stage has no shards.
    """

    def __init__(self, width: int):
        self.cells = ColumnDataSource(
            {name: [] for name in ("left", "right", "top", "bottom", "state", "colour", "extent", "told")},
            name="cells",
        )
        self.front = ColumnDataSource({"x": [], "y0": [], "y1": []}, name="front")
        self.figure: figure = plain(
            width=width, height=120, name="grid", visible=False, title="", x_range=Range1d(0, 1), y_range=Range1d(1, 0),
            tools="", toolbar_location=None,
        )  # fmt: skip
        self._drawn = self.figure.quad(
            "left", "right", "top", "bottom", source=self.cells, fill_color="colour", line_color="#ffffff", line_width=1
        )
        self.figure.segment("x", "y0", "x", "y1", source=self.front, line_color=INK, line_width=3)
        self._tip = self.figure.scatter("x", "y0", source=self.front, marker="inverted_triangle", color=INK)
        self.figure.add_tools(HoverTool(renderers=[self._drawn], tooltips=[("", "@extent"), ("", "@told")]))
        self.figure.outline_line_color = None
        self.figure.xaxis.formatter = NumeralTickFormatter(format="0,0")
        self.figure.yaxis.axis_line_color = self.figure.yaxis.major_tick_line_color = None
        self._shown: Picture | None = None
        self._of: tuple | None = None
        self._counts = np.zeros((0, 0))

    @property
    def binned(self) -> bool:
        """Whether several shards share a cell or a row."""
        return self._shown is not None and bool(self._shown.binned)

    def show(self, name: str, grid: Grid | None) -> None:
        """Shows the shards of a stage, or hides the figure where it has none. Of what is shown already only the cells
        that changed are sent."""
        self.figure.visible = grid is not None
        if grid is None:
            return
        of = (name, tuple(grid.lengths), grid.owner.tobytes())
        if of != self._of:
            self._of = of
            self._lay_out(name, grid)
        else:
            self._change(grid)
        found = fronts(self._shown, grid)
        self.front.data = {
            "x": [x * (grid.unit or 1) for x, _, _ in found],
            "y0": [y for _, y, _ in found],
            "y1": [y for _, _, y in found],
        }

    def _lay_out(self, name: str, grid: Grid) -> None:
        made = self._shown = picture(grid)
        self._counts = made.counts(grid)
        found, ys = states(self._counts), np.array([row.y for row in made.rows])
        unit, left = grid.unit or 1, made.column * made.step
        self.cells.data = {
            "left": left * unit,
            "right": np.minimum((left + made.step) * unit, self._ends(grid)[made.row]),
            "top": ys[made.row] - 0.44,
            "bottom": ys[made.row] + 0.44,
            "state": found,
            "colour": [COLOURS[state] for state in found],
            "extent": [words(extent) for extent in made.extents],
            "told": made.told(grid, self._counts, np.arange(len(found))),
        }
        self._frame(name, grid, ys)

    def _ends(self, grid: Grid) -> np.ndarray:
        """Where each row ends along x."""
        ends = [frames for frames, _ in grid.frames] if grid.unit else grid.lengths
        return np.array([max(ends[slice(*row.strands)]) for row in self._shown.rows])

    def _frame(self, name: str, grid: Grid, ys: np.ndarray) -> None:
        """The axes: what the rows are, and which frames the shards."""
        made, shown = self._shown, self.figure
        height = float(np.clip(ROOM / (ys[-1] + 1), LOWEST, TALLEST))
        shown.x_range.update(start=0, end=int(self._ends(grid).max()))
        shown.y_range.update(start=float(ys[-1]) + 0.6, end=-0.9)
        shown.height = int((ys[-1] + 1.5) * height) + 74
        every = math.ceil(13 / height)
        shown.yaxis.ticker = FixedTicker(ticks=[row.y for row in made.rows[::every]])
        shown.yaxis.major_label_overrides = {row.y: words(row.label) for row in made.rows}
        shown.xaxis.axis_label = f"time: frames, {grid.unit} a shard" if grid.unit else "time: shards"
        shown.title.text = words(f"Shards of {name}" + (f": {made.binned}" if made.binned else ""))
        self._tip.glyph.size = min(9.0, 0.5 * height)
        crowded = height < 12 or made.column.max(initial=0) > 120
        self._drawn.glyph.line_color = None if crowded else "#ffffff"  # between cells, where there is room for it

    def _change(self, grid: Grid) -> None:
        counts = self._shown.counts(grid)
        cells = np.flatnonzero((counts != self._counts).any(axis=1))
        if not cells.size:
            return
        self._counts = counts
        found, told = states(counts[cells]), self._shown.told(grid, counts, cells)
        places = [int(cell) for cell in cells]
        self.cells.patch(
            {
                "state": [(place, int(state)) for place, state in zip(places, found, strict=True)],
                "colour": [(place, COLOURS[int(state)]) for place, state in zip(places, found, strict=True)],
                "told": list(zip(places, told, strict=True)),
            }
        )
