"""The page: what is chosen on it, and what follows from that."""

from __future__ import annotations

import html
from collections.abc import Iterator
from functools import partial

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, gridplot, row
from bokeh.models import Div, Select, Slider, Spacer

from pipeline.volume import SPACE
from workflows.pages.beside import Beside
from workflows.pages.changed import when_changed
from workflows.pages.view.colours import Colours
from workflows.pages.view.curves import Curves
from workflows.pages.view.frames import WIDTH, frames
from workflows.pages.view.look import CONTROLS, WORDS, key
from workflows.pages.view.panels import Link, Panel
from workflows.pages.view.together import Item, Picture, Plane, Together, described
from workflows.pages.view.transport import Transport

MINUS = "\N{MINUS SIGN}"

AFTER = 400
"""Milliseconds after the first pictures until the numbers of a voxel are read for the first time."""


class Page:
    """The page of one window.

    What is read is read beside it: pictures, the numbers of a voxel, and those that tell the range of colours, each on
    a thread of its own.

    Args:
        together: What is shown.
        document: Is filled.
    """

    def __init__(self, together: Together, document: Document):
        self._together, self._document, self._fresh = together, document, True
        count = len(together.volumes)
        self._items = [Item(number) for number in range(count)]
        if count > 1:
            self._items.append(Item(count - 1, count - 2))
        self._time = _first_shared(together)
        self._channel = together.channels[0]
        self._voxel = tuple(size // 2 for size in together.sizes)
        self._uncoloured = True
        self._said = Div(stylesheets=[WORDS], width=WIDTH, name="said", visible=False, disable_math=True)
        self._reader = Beside(document, self._failed)
        self._transport = Transport(
            len(together.timeline), self._time, document, self._go, busy=lambda: self._reader.busy
        )
        self._colours = Colours(together, document, self._failed)
        self._curves = Curves(together, document, self._failed)
        columns, sizes = frames(together, len(self._items))
        self._links = [Link(plane, sizes[plane]) for plane in together.planes]
        self._panels = [
            Panel(together, item, link, self._colours.of(item), self._tapped)
            for link in self._links
            for item in self._items
        ]
        for link in self._links:
            for end in ("start", "end"):
                when_changed(link.x, end, self._zoomed)
                when_changed(link.y, end, self._zoomed)
        document.add_root(self._layout(columns))
        self._moved()
        self._chosen()

    # what the page is made of

    def _layout(self, columns: int) -> column:
        together = self._together
        heads = "".join(
            f"<p>{key(number)}<b>{html.escape(volume.label)}</b> "
            f'<span class="faint">{html.escape(f"{volume.chosen.path}: {words}")}</span></p>'
            for number, (volume, words) in enumerate(zip(together.volumes, described(together), strict=True))
        )
        self._places = [self._place_slider(axis) for axis in range(3)]
        self._where = [Div(stylesheets=[WORDS], width=300, disable_math=True) for _ in self._places]
        self._table = Div(stylesheets=[WORDS], width=400, name="numbers", disable_math=True)
        places = row(*(column(*pair, spacing=0) for pair in zip(self._where, self._places, strict=True)), spacing=24)
        return column(
            Div(text=heads, stylesheets=[WORDS], width=WIDTH, disable_math=True),
            self._transport.root,
            row(self._channel_select(), self._colours.root, *self._difference_selects(), spacing=10),
            *([places] if len(together.planes) > 1 else []),
            gridplot(
                self._arranged(columns), merge_tools=True, toolbar_location="above", toolbar_options={"logo": None}
            ),
            self._said,
            row(self._curves.root, Spacer(width=14), self._table),
            spacing=8,
        )

    def _arranged(self, columns: int) -> list[list]:
        """The pictures in rows, with axes to the left and a colour bar where another scale follows."""
        several = len(self._items) > 1
        rows = [self._panels[first : first + columns] for first in range(0, len(self._panels), columns)]
        for line in rows:
            for number, panel in enumerate(line):
                panel.figure.yaxis.visible = number == 0 or not several
                last = panel is line[-1]
                if last or (several and line[number + 1].scale is not panel.scale):
                    panel.add_bar()
        for number, panel in enumerate(self._panels):
            panel.figure.name = f"picture {number}"
        return [[panel.figure for panel in line] for line in rows]

    def _channel_select(self) -> Select:
        select = Select(
            title="Channel", value=self._channel, options=self._together.channels, width=180, name="channel",
            stylesheets=[CONTROLS],
        )  # fmt: skip
        when_changed(select, "value", self._take)
        return select

    def _difference_selects(self) -> list[Select]:
        """The two volumes that the difference is of; none where there is one."""
        if len(self._together.volumes) == 1:
            return []
        options = [(str(number), volume.label) for number, volume in enumerate(self._together.volumes)]
        last = self._items[-1]
        one, other = (
            Select(
                title=title, value=str(value), options=options, width=180, name=title.lower(), stylesheets=[CONTROLS]
            )
            for title, value in (("Difference", last.volume), ("less", last.less))
        )
        for select in (one, other):
            when_changed(select, "value", lambda _: self._differ(Item(int(one.value), int(other.value))))
        return [one, other]

    def _place_slider(self, axis: int) -> Slider:
        size = self._together.sizes[axis]
        slider = Slider(
            start=0, end=max(size - 1, 1), value=self._voxel[axis], step=1, width=300, show_value=False, tooltips=False,
            disabled=size < 2, title=None, name=SPACE[axis], stylesheets=[CONTROLS],
        )  # fmt: skip
        when_changed(slider, "value", partial(self._slid, axis))
        return slider

    # what is chosen

    def _go(self, time: int) -> None:
        if time != self._time and time < len(self._together.timeline):
            self._time = time
            self._moved()

    def _take(self, channel: str) -> None:
        self._channel = channel
        self._recoloured(self._items)
        self._moved()

    def _differ(self, item: Item) -> None:
        for panel in self._panels:
            if panel.item.less is not None:
                panel.item = item
        self._items[-1] = item
        self._recoloured([item])
        self._draw()

    def _slid(self, axis: int, place: float) -> None:
        self._put(tuple(int(place) if one == axis else own for one, own in enumerate(self._voxel)))

    def _tapped(self, plane: Plane, x: float, y: float) -> None:
        voxel = list(self._voxel)
        for axis, position in ((plane.x, x), (plane.y, y)):
            voxel[axis] = self._together.places[axis].number(position)
        self._put(tuple(voxel))

    def _put(self, voxel: tuple[int, ...]) -> None:
        if voxel != self._voxel:
            self._voxel = voxel
            for slider, place in zip(self._places, voxel, strict=True):
                slider.value = place
            self._chosen()

    def _zoomed(self, _: float) -> None:
        """Reads more finely, or more, where not all was drawn."""
        if any(panel.thinned for panel in self._panels):
            self._draw()

    # what follows

    def _recoloured(self, items: list[Item]) -> None:
        self._colours.anew(items)
        self._uncoloured = True

    def _moved(self) -> None:
        """Another time or channel."""
        timeline = self._together.timeline
        runs = (
            volume.run(frames[self._time])
            for volume, frames in zip(self._together.volumes, timeline.frames, strict=True)
            if frames[self._time] >= 0
        )
        run = next(filter(None, runs), "")
        place = f"{self._time + 1} of {len(timeline)}"
        self._transport.tell(timeline.words(self._time), ", ".join(filter(None, (run, place))))
        self._curves.mark(self._time)
        self._draw()

    def _chosen(self) -> None:
        """Another voxel."""
        for link in self._links:
            link.choose(self._together, self._voxel)
        for places, words, place in zip(self._together.places, self._where, self._voxel, strict=True):
            words.text = html.escape(places.words(place))
        self._draw()

    def _draw(self) -> None:
        """Has the pictures read, and the numbers of the voxel; shows them then."""
        time, channel, voxel, items = self._time, self._channel, self._voxel, list(self._items)
        asked = [(panel.item, panel.link.plane, panel.link.seen(), panel.link.pixels) for panel in self._panels]

        def work() -> Iterator[tuple]:
            pictures = [
                self._together.picture(item, time, channel, plane, voxel, seen, pixels)
                for item, plane, seen, pixels in asked
            ]
            yield pictures, [self._together.value(item, time, channel, voxel) for item in items]

        def show(found: tuple[list[Picture], list]) -> None:
            pictures, values = found
            if self._uncoloured:
                drawn = [(item, picture.values) for (item, *_), picture in zip(asked, pictures, strict=True)]
                self._colours.find(drawn, items, channel, voxel)
                self._uncoloured = False
            for panel, picture, (item, *_) in zip(self._panels, pictures, asked, strict=True):
                panel.show(picture, self._title(panel, item, voxel))
            self._say(pictures)
            self._table.text = self._numbers(time, channel, voxel, zip(items, values, strict=True))
            if self._fresh:  # the first picture does not wait for it
                self._document.add_timeout_callback(self._curve, AFTER)
                self._fresh = False
            else:
                self._curve()

        self._reader.ask(work, show)

    def _curve(self) -> None:
        self._curves.ask(self._channel, self._voxel, self._time)

    def _title(self, panel: Panel, item: Item, voxel: tuple[int, ...]) -> str:
        if len(self._together.planes) == 1:
            return self._named(item)
        across = panel.link.plane.across
        return f"{self._named(item)}, {self._together.places[across].words(voxel[across])}"

    def _named(self, item: Item) -> str:
        labels = [volume.label for volume in self._together.volumes]
        return labels[item.volume] if item.less is None else f"{labels[item.volume]} {MINUS} {labels[item.less]}"

    def _say(self, pictures: list[Picture]) -> None:
        """What the pictures do not show."""
        timeline, lines = self._together.timeline, []
        strides = sorted({picture.stride for picture in pictures if not picture.empty and max(picture.stride) > 1})
        if strides:
            told = "; ".join(f"one row of {rows} and one column of {columns}" for rows, columns in strides)
            lines.append(
                f"Pictures are thinned ({told}): zoom in to see more. Numbers of the voxel are the store's own."
            )
        if any(not picture.empty and np.isnan(picture.values).any() for picture in pictures):
            lines.append("Grey is where values are missing.")
        if len(self._together.volumes) > 1 and timeline.shared < len(timeline):
            lines.append(f"{timeline.shared} of {len(timeline)} times are in all stores.")
        self._said.text = f'<span class="faint">{html.escape(" ".join(lines))}</span>'
        self._said.visible = bool(lines)

    def _numbers(self, time: int, channel: str, voxel: tuple[int, ...], values: zip) -> str:
        """The table of what the chosen voxel has, as exactly as the store."""
        together = self._together
        rows = "".join(
            f"<tr><td>{key(item.volume) if item.less is None else ''}{html.escape(self._named(item))}</td>"
            f'<td class="number">{_exact(value)}</td><td>{html.escape(together.unit(item))}</td></tr>'
            for item, value in values
        )
        return (
            f"<p><b>{html.escape(channel)}</b></p><p>{html.escape(together.where(voxel))}</p>"
            f"<p>{html.escape(together.timeline.words(time))}</p><table>{rows}</table>"
        )

    def _failed(self, message: str) -> None:
        self._said.text = f'<span class="wrong">{html.escape(message)}</span>'
        self._said.visible = True


def _first_shared(together: Together) -> int:
    """The first time that all volumes have; the very first where there is none."""
    return int(np.argmax(np.logical_and.reduce([frames >= 0 for frames in together.timeline.frames])))


def _exact(value: np.generic | None) -> str:
    """A number with as many digits as tell it from its neighbours."""
    if value is None:
        return "-"
    if value.dtype.kind == "f":
        return np.format_float_positional(value, unique=True, trim="-") if np.isfinite(value) else "missing"
    return str(value)
