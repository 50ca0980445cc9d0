"""Throughput and memory of a stage through time, as figures."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d
from bokeh.palettes import interp_palette

from workflows.pages.board.history import History
from workflows.pages.board.standing import Stage
from workflows.pages.board.states import RED
from workflows.pages.view.look import INK, plain, words

BINS = 150
"""Spans of time that rates are means of, at most; none is shorter than a second."""

LINES = 9
"""Processes whose memory is drawn each; of more workers the largest and the median."""

POINTS = 400
"""Points of a line, at most."""


BARE = {"tools": "", "toolbar_location": None}
"""A figure that is only looked at."""


class Curves:
    """The two figures.

    Args:
        width: Of each, in pixels.
    """

    def __init__(self, width: int):
        self._time = Range1d(0, 1)
        self.rate, self.memory = (
            plain(width=width, height=200, name=name, x_range=self._time, y_range=Range1d(0, 1), title="", **BARE)
            for name in ("throughput", "memory")
        )
        self.rates = ColumnDataSource({"left": [], "right": [], "rate": []}, name="rates")
        self.lines = ColumnDataSource({"xs": [], "ys": [], "name": [], "colour": [], "width": []}, name="lines")
        self.losses = ColumnDataSource({"x": [], "why": []}, name="losses")
        self.rate.quad("left", "right", "rate", 0, source=self.rates, color="#5a9fc9")
        self.memory.multi_line(
            "xs", "ys", source=self.lines, line_color="colour", line_width="width", legend_field="name"
        )
        self.ends = ColumnDataSource({"x": [], "y": [], "colour": []}, name="ends")
        self.memory.scatter("x", "y", source=self.ends, size=5, color="colour")
        for shown in (self.rate, self.memory):
            lost = shown.vspan("x", source=self.losses, line_color=RED, line_width=2, line_dash="dashed")
            shown.add_tools(HoverTool(renderers=[lost], tooltips=[("lost", "@why")]))
            shown.xaxis.formatter = NumeralTickFormatter(format="00:00:00")
            shown.ygrid.visible, shown.ygrid.grid_line_color = True, "#eceef0"
            shown.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
        self.memory.yaxis.axis_label = "GB"
        legend = self.memory.legend[0]
        legend.label_text_font_size, legend.label_text_color, legend.border_line_color = "11px", INK, None
        legend.padding, legend.spacing, legend.margin, legend.glyph_width = 0, 0, 4, 14
        self.memory.add_layout(legend, "right")

    def show(self, stage: Stage | None, history: History, time: float, end: float) -> None:
        """Shows a stage up to a time.

        Args:
            stage: As it stands then; `None` clears the figures.
            history: Of the execution.
            time: Seconds since 1970.
            end: When the stage ended, or how far its log goes: the figures reach there.
        """
        if stage is None or stage.begun is None:
            self.rates.data = {name: [] for name in self.rates.data}
            self.lines.data = {name: [] for name in self.lines.data}
            self.ends.data = {name: [] for name in self.ends.data}
            self.losses.data = {"x": [], "why": []}
            self.rate.title.text = self.memory.title.text = ""
            return
        begun, end = stage.begun, max(end, stage.begun + 1.0)
        self._time.update(start=0, end=end - begun)
        self._show_rate(stage, history, min(time, stage.ended or time), end)
        self._show_memory(stage, history, min(time, stage.ended or time), end)
        self.losses.data = {"x": [at - begun for at, _ in stage.losses], "why": [words(why) for _, why in stage.losses]}

    def _show_rate(self, stage: Stage, history: History, time: float, end: float) -> None:
        marks, begun = history.marks.get(stage.name), stage.begun
        if marks is None:
            self.rates.data = {name: [] for name in self.rates.data}
            self.rate.title.text = "Throughput: nothing is told of it yet"
            return
        bins = int(np.clip(end - begun, 1, BINS))
        edges, rates, what = marks.rates(begun, end, bins)
        shown = edges[:-1] < time
        self.rates.data = {
            "left": edges[:-1][shown] - begun,
            "right": np.minimum(edges[1:][shown], time) - begun,
            "rate": rates[shown],
        }
        self.rate.title.text = f"Throughput, {what} a second"
        self.rate.y_range.end = 1.08 * float(rates.max(initial=0)) or 1.0

    def _show_memory(self, stage: Stage, history: History, time: float, end: float) -> None:
        found = history.memory_of(stage.name, time)
        whole = history.memory_of(stage.name, end)
        drawn = {name: thinned(*of) for name, of in named(found).items()}
        workers = [name for name in drawn if name != "driver"]
        colours = dict(
            zip(workers, interp_palette(["#56b4e9", "#0072b2", "#4b2e83"], max(len(workers), 1)), strict=False)
        )
        self.lines.data = {
            "xs": [times - stage.begun for times, _ in drawn.values()],
            "ys": [sizes / 1e9 for _, sizes in drawn.values()],
            "name": list(drawn),
            "colour": [colours.get(name, "#9aa1a7") for name in drawn],
            "width": [2.0 for _ in drawn],
        }
        self.ends.data = {
            "x": [float(times[-1]) - stage.begun for times, _ in drawn.values()],
            "y": [float(sizes[-1]) / 1e9 for _, sizes in drawn.values()],
            "colour": self.lines.data["colour"],
        }
        self.memory.title.text = "Memory of each process" if len(found) == len(drawn) else "Memory of processes"
        self.memory.y_range.end = 1.08 * max((of.max() for _, of in whole.values()), default=1e9) / 1e9


def named(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The lines to draw: each process or, where there are many, the driver, and the largest and the median of workers
    at any time."""
    if len(found) <= LINES:
        return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))
    workers = [of for name, of in found.items() if name != "driver"]
    times = np.linspace(min(at[0] for at, _ in workers), max(at[-1] for at, _ in workers), POINTS)
    held = np.array([sizes[np.maximum(np.searchsorted(at, times, side="right") - 1, 0)] for at, sizes in workers])
    told = {"driver": found["driver"]} if "driver" in found else {}
    return told | {"largest worker": (times, held.max(axis=0)), "median worker": (times, np.median(held, axis=0))}


def thinned(times: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most about `POINTS` points of a line: of each run of them the largest, so that no peak is lost."""
    step = -(-len(times) // POINTS)
    if step <= 1:
        return times, sizes
    rest = -len(times) % step
    at, of = np.pad(times, (0, rest), "edge").reshape(-1, step), np.pad(sizes, (0, rest), "edge").reshape(-1, step)
    return at[:, 0], of.max(axis=1)
