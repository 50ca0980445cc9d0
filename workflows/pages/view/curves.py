"""The numbers of one voxel through time, of every volume: read beside the page, and drawn as far as they are read."""

from __future__ import annotations

import html
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import Button, ColumnDataSource, Div, HoverTool, Span

from workflows.pages.beside import Beside
from workflows.pages.view.look import CONTROLS, INK, LINES, WORDS, plain, words
from workflows.pages.view.together import Together

AT_ONCE = 128 << 20
"""Bytes, before compression, that are read for the numbers of a voxel without being asked for them; of each volume."""

SHOWN_EVERY = 0.3
"""Seconds between what is drawn of them."""

TOLD, DOTTED = 5000, 1500
"""Of so many frames each one's time is told, and each one has a dot."""


@dataclass(frozen=True)
class Wish:
    """Which numbers.

    Attributes:
        channel: By name.
        voxel: (depth, height, width).
        spans: Of each volume the frames, from and to.
    """

    channel: str
    voxel: tuple[int, int, int]
    spans: tuple[tuple[int, int], ...]


def spans(together: Together, time: int, most: int = AT_ONCE) -> tuple[tuple[int, int], ...]:
    """Of each volume the frames whose numbers are read: all, or whole chunks around a time, of `most` bytes."""
    found = []
    for number, volume in enumerate(together.volumes):
        if volume.series_bytes(volume.frames) <= most:
            found.append((0, volume.frames))
            continue
        chunk = volume.frames_together
        count = max(1, most // volume.series_bytes(1))
        here = max(0, int(together.timeline.frames[number][: time + 1].max())) // chunk
        first = max(0, min(here - count // 2, -(-volume.frames // chunk) - count))
        found.append((first * chunk, min((first + count) * chunk, volume.frames)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Curve:
    """The numbers of a voxel in frames of a volume, one after another.

    Attributes:
        values: (time), as they are shown of the store.
        positions: (time), on the axis of the plot.
        when: Each time in words; empty ones where there are many.
    """

    values: np.ndarray
    positions: np.ndarray
    when: list[str]


def curves(together: Together, wish: Wish, every: float = SHOWN_EVERY) -> Iterator[list[Curve]]:
    """Of each volume the numbers in its span, as far as they are read: again and again, the last time all."""
    read = [Curve(np.zeros(0), np.zeros(0), []) for _ in together.volumes]
    told = clock.monotonic()
    for number, (volume, (start, stop)) in enumerate(zip(together.volumes, wish.spans, strict=True)):
        channel = together.channel(number, wish.channel)
        if channel is None:
            continue
        keep, parts = volume.series_bytes(stop - start) <= AT_ONCE, []
        times = together.timeline.times_of(number)
        for first, values in volume.series(channel, wish.voxel, start, stop, keep=keep):
            own = times[first : first + len(values)]
            when = list(map(together.timeline.words, own)) if stop - start <= TOLD else [""] * len(own)
            parts.append(Curve(values, together.timeline.positions(own), when))
            if clock.monotonic() > told + every:
                read[number] = _joined(parts)
                yield list(read)
                told = clock.monotonic()
        read[number] = _joined(parts)
    yield read


def _joined(parts: list[Curve]) -> Curve:
    values, positions = (np.concatenate([getattr(p, name) for p in parts]) for name in ("values", "positions"))
    return Curve(values, positions, [word for part in parts for word in part.when])


class Curves:
    """The part of the page that shows them.

    Args:
        together: Of what.
        document: The page's.
        failed: Shows what went wrong.

    Attributes:
        root: What is put on the page.
        sources: Of each volume x (positions in time), y and when (in words).
    """

    def __init__(self, together: Together, document: Document, failed: Callable[[str], None]):
        self._together, self._beside = together, Beside(document, failed)
        self._wish: Wish | None = None
        timeline = together.timeline
        self.figure = plain(
            height=250, width=850, x_axis_type="datetime" if timeline.dated else "linear", title=" ", min_border=6,
            tools="xpan,xwheel_zoom,box_zoom,reset,save", active_drag="xpan", active_scroll="xwheel_zoom",
            toolbar_location="above",
        )  # fmt: skip
        self.figure.ygrid.visible = True
        self.figure.ygrid.grid_line_color = "#eceeef"
        if not timeline.dated:
            self.figure.xaxis.axis_label = "time (s)" if together.volumes[0].clock.unit else "frame"
        self.figure.x_range.range_padding = 0.02
        self.sources, self._dots = [], []
        for number, volume in enumerate(together.volumes):
            source = ColumnDataSource({"x": [], "y": [], "when": []}, name=f"curve {number}")
            color = LINES[number % len(LINES)]
            self.figure.line("x", "y", source=source, color=color, width=1.6)
            dots = self.figure.scatter("x", "y", source=source, color=color, size=3.5)
            unit = f" {volume.unit}" if volume.unit else ""
            tips = [(volume.label, f"@y{{0.[000000]}}{unit}"), ("", "@when")]
            self.figure.add_tools(HoverTool(tooltips=tips, renderers=[dots], mode="mouse"))
            self.sources.append(source)
            self._dots.append(dots)
        self._now = Span(dimension="height", line_color=INK, line_alpha=0.5, line_width=1)
        self.figure.add_layout(self._now)
        self._told = Div(stylesheets=[WORDS], width=850, text="")
        self._all = Button(label="Read all frames", width=240, visible=False, stylesheets=[CONTROLS])
        self._all.on_click(self._ask_all)
        self.root = column(self.figure, row(self._told), self._all)

    @property
    def busy(self) -> bool:
        return self._beside.busy

    def ask(self, channel: str, voxel: tuple[int, int, int], time: int) -> None:
        """Shows the numbers of a voxel; those around a time where all are too many."""
        frame = [self._together.frame(number, time) for number in range(len(self._together.volumes))]
        wish = self._wish
        same = wish is not None and (wish.channel, wish.voxel) == (channel, voxel)
        if same and all(f < 0 or start <= f < stop for f, (start, stop) in zip(frame, wish.spans, strict=True)):
            return
        self._read(Wish(channel, voxel, spans(self._together, time)))

    def mark(self, time: int) -> None:
        """Marks a time."""
        self._now.location = float(self._together.timeline.positions(np.array([time]))[0])

    def _ask_all(self) -> None:
        if self._wish is not None:
            whole = tuple((0, volume.frames) for volume in self._together.volumes)
            self._read(Wish(self._wish.channel, self._wish.voxel, whole))

    def _read(self, wish: Wish) -> None:
        self._wish = wish
        together = self._together
        units = dict.fromkeys(volume.unit for volume in together.volumes)
        self.figure.yaxis.axis_label = words(", ".join(filter(None, units))) or None
        self.figure.title.text = words(f"{wish.channel} at {together.where(wish.voxel)}")
        self._beside.ask(lambda: curves(together, wish), lambda read: self._show(wish, read))

    def _show(self, wish: Wish, read: list[Curve]) -> None:
        told, cost = [], 0
        for source, dots, curve, volume, (start, stop) in zip(
            self.sources, self._dots, read, self._together.volumes, wish.spans, strict=True
        ):
            count = len(curve.values)
            source.data = {"x": curve.positions, "y": curve.values.astype(np.float64), "when": curve.when}
            dots.visible = count <= DOTTED
            if count < stop - start:
                told.append(f"{volume.label}: {count} of {stop - start} frames read")
            elif stop - start < volume.frames:
                told.append(f"{volume.label}: frames {start} to {stop - 1} of {volume.frames}, around this time")
                cost += volume.series_bytes(volume.frames)
        self._told.text = f'<span class="faint">{html.escape("; ".join(told))}</span>'
        self._all.visible = cost > 0
        self._all.label = f"Read all frames ({cost / 1e9:.3g} GB before compression)"
