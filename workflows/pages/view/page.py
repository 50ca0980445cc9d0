"""The page: what is chosen on it, and what follows from that."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, gridplot, row
from bokeh.model import Model
from bokeh.models import Button, Div, NumericInput, Select, Slider, Spacer, Toggle

from workflows.pages.beside import Beside
from workflows.pages.view.curves import Curves
from workflows.pages.view.frames import WIDTH, frames
from workflows.pages.view.levels import sampled, spread
from workflows.pages.view.look import CONTROLS, DIVERGING, LINES, PAGE, PALETTES, WORDS
from workflows.pages.view.panels import Link, Panel, Scale
from workflows.pages.view.together import Item, Picture, Plane, Together, described

RATES = (1, 2, 5, 10, 20)
"""Times a second, while playing."""

SLIDERS = ("depth", "height", "width")


class Page:
    """The page of one window.

    Args:
        together: What is shown.
        document: Is filled.

    Attributes:
        time: The number of the time that is shown.
        channel: Which channel, by name.
        voxel: The chosen one: (depth, height, width).
    """

    def __init__(self, together: Together, document: Document):
        self._together, self._document = together, document
        self.time, self.channel = 0, together.channels[0]
        self.voxel = tuple(size // 2 for size in together.sizes)
        self._said = Div(stylesheets=[WORDS], width=WIDTH, name="said")
        self._reader, self._sampler = (Beside(document, self._failed) for _ in range(2))
        self._players: list = []
        count = len(together.volumes)
        self._items = [Item(number) for number in range(count)]
        if count > 1:
            self._items.append(Item(count - 1, count - 2))
            both = np.flatnonzero((together.timeline.frames[-1] >= 0) & (together.timeline.frames[-2] >= 0))
            self.time = int(both[0]) if both.size else 0
        self._scales = self._make_scales()
        columns, sizes = frames(together, len(self._items))
        self._links = [Link(plane, sizes[plane]) for plane in together.planes]
        self._panels = self._make_panels()
        self._curves = Curves(together, document, self._failed)
        self._make_controls()
        document.template = PAGE
        document.add_root(self._layout(columns))
        self._found: dict[tuple, tuple[float, float]] = {}
        self._ask_levels()
        self._moved()
        self._chosen()

    # what the page is made of

    def _make_scales(self) -> dict[str, Scale]:
        together, scales = self._together, {}
        photographic = all(volume.photographic for volume in together.volumes)
        for volume in together.volumes:
            name = f"values ({volume.unit})" if volume.unit else "values"
            scales.setdefault(name, Scale(name, volume.unit, "Grey" if photographic else "Viridis"))
        if len(together.volumes) > 1:
            scales["difference"] = Scale("difference", together.volumes[-1].unit, DIVERGING)
        return scales

    def _scale_of(self, item: Item) -> Scale:
        unit = self._together.unit(item)
        return self._scales["difference" if item.less is not None else f"values ({unit})" if unit else "values"]

    def _make_panels(self) -> list[Panel]:
        panels = []
        for link in self._links:
            for end in ("start", "end"):
                _when(link.x, end, self._zoomed)
                _when(link.y, end, self._zoomed)
            for item in self._items:
                panel = Panel(self._together, item, link, self._scale_of(item), self._tapped)
                panel.figure.name = f"picture {len(panels)}"
                panels.append(panel)
        return panels

    def _make_controls(self) -> None:
        together, last = self._together, len(self._together.timeline) - 1
        style = {"stylesheets": [CONTROLS]}
        self._time = Slider(start=0, end=max(last, 1), value=self.time, step=1, show_value=False, title=None, name="time",
                            disabled=last < 1, width=620, tooltips=False, **style)  # fmt: skip
        _when(self._time, "value", self._go)
        self._back, self._on = (Button(label=label, width=38, **style) for label in ("‹", "›"))
        self._back.on_click(lambda: self._step(-1))
        self._on.on_click(lambda: self._step(1))
        self._play = Toggle(label="Play", width=78, button_type="primary", name="play", disabled=last < 1, **style)
        _when(self._play, "active", self._playing)
        self._rate = Select(value="5", options=[(str(rate), f"{rate} a second") for rate in RATES], width=112, **style)
        _when(self._rate, "value", lambda _: self._playing(self._play.active))
        self._words = Div(stylesheets=[WORDS], width=290, name="now")
        self._channel = Select(title="Channel", value=self.channel, options=together.channels, width=190, name="channel", **style)  # noqa: E501
        _when(self._channel, "value", self._take)
        names = list(self._scales)
        self._scale = Select(title="Colours of", value=names[0], options=names, width=150, visible=len(names) > 1, **style)
        _when(self._scale, "value", lambda _: self._tell_scale())
        self._palette = Select(title="Colour map", options=list(PALETTES), width=140, name="palette", **style)
        self._low, self._high = (
            NumericInput(title=title, mode="float", width=110, name=title.lower(), **style) for title in ("From", "To")
        )
        self._auto = Button(label="Automatic", width=100, align="end", **style)
        self._tell_scale()
        _when(self._palette, "value", self._coloured)
        _when(self._low, "value", self._given)
        _when(self._high, "value", self._given)
        self._auto.on_click(self._automatically)
        self._of, self._less = (
            Select(title=title, width=190, visible=len(together.volumes) > 1, options=self._numbered(), value="0",
                   name=title.lower(), **style)
            for title in ("Difference: of", "less")
        )  # fmt: skip
        if len(together.volumes) > 1:
            self._of.value, self._less.value = str(self._items[-1].volume), str(self._items[-1].less)
        for select in (self._of, self._less):
            _when(select, "value", self._differ)
        self._places = [
            Slider(start=0, end=max(size - 1, 1), value=place, step=1, title=name, width=300, name=name, **style)
            for name, size, place in zip(SLIDERS, together.sizes, self.voxel, strict=True)
        ]
        for axis, slider in enumerate(self._places):
            slider.visible = len(together.planes) > 1 and together.sizes[axis] > 1
            _when(slider, "value", partial(self._slid, axis))
        self._table = Div(stylesheets=[WORDS], width=360, name="numbers")

    def _numbered(self) -> list[tuple[str, str]]:
        return [(str(number), volume.label) for number, volume in enumerate(self._together.volumes)]

    def _layout(self, columns: int):
        panels = [panel.figure for panel in self._panels]
        rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
        if len(self._items) == 1:
            rows = [panels]
        for line in rows:
            for figure in line[1:] if len(self._items) > 1 else []:
                figure.yaxis.visible = False
        for number, panel in enumerate(self._panels):
            last = (number + 1) % len(self._items) == 0 or self._panels[number + 1].scale is not panel.scale
            if last and (len(self._items) > 1 or panel is self._panels[-1]):
                panel.add_bar()
        heads = "".join(
            f"<p>{_key(number)}<b>{html.escape(volume.label)}</b> "
            f'<span class="faint">{html.escape(f"{volume.chosen.path}: {words}")}</span></p>'
            for number, (volume, words) in enumerate(
                zip(self._together.volumes, described(self._together), strict=True)
            )
        )
        return column(
            Div(text=heads, stylesheets=[WORDS], width=WIDTH),
            row(self._play, self._back, self._on, self._time, Spacer(width=8), self._words, self._rate),
            row(self._channel, self._scale, self._palette, self._low, self._high, self._auto, self._of, self._less),
            row(*self._places, visible=any(slider.visible for slider in self._places)),
            gridplot(rows, merge_tools=True, toolbar_location="above", toolbar_options={"logo": None}),
            self._said,
            row(self._curves.root, Spacer(width=14), self._table),
            spacing=8,
        )

    # what is chosen

    def _go(self, time: float) -> None:
        time = int(time)
        if time != self.time and time < len(self._together.timeline):
            self.time = time
            self._moved()

    def _step(self, by: int) -> None:
        self._time.value = (self.time + by) % len(self._together.timeline)

    def _playing(self, active: bool) -> None:
        self._play.label = "Pause" if active else "Play"
        while self._players:
            self._document.remove_periodic_callback(self._players.pop())
        if active:
            self._players.append(self._document.add_periodic_callback(self._tick, 1000 // int(self._rate.value)))

    def _tick(self) -> None:
        if not self._reader.busy:  # a frame that takes longer is waited for
            self._step(1)

    def _take(self, channel: str) -> None:
        self.channel = channel
        for scale in self._scales.values():
            scale.automatic = True
        self._ask_levels()
        self._moved()
        self._chosen()

    def _differ(self, _: str) -> None:
        item = Item(int(self._of.value), int(self._less.value))
        for panel in self._panels:
            if panel.item.less is not None:
                panel.item = item
        self._items[-1] = item
        self._scales["difference"].automatic = True
        self._ask_levels()
        self._moved()

    def _slid(self, axis: int, place: float) -> None:
        self._put(tuple(int(place) if one == axis else own for one, own in enumerate(self.voxel)))

    def _tapped(self, plane: Plane, x: float, y: float) -> None:
        voxel = list(self.voxel)
        for axis, position in ((plane.x, x), (plane.y, y)):
            voxel[axis] = self._together.places[axis].number(position)
        self._put(tuple(voxel))

    def _put(self, voxel: tuple[int, ...]) -> None:
        if voxel == self.voxel:
            return
        self.voxel = voxel
        for slider, place in zip(self._places, voxel, strict=True):
            slider.value = place
        if len(self._together.planes) > 1:
            self._moved()
        self._chosen()

    def _zoomed(self, _: float) -> None:
        """Reads more finely, or more, where not all is drawn."""
        if any(panel.thinned for panel in self._panels):
            self._draw()

    # what follows

    def _moved(self) -> None:
        """Another time, channel or slice."""
        run = next(
            (volume.run(frame) for number, volume in enumerate(self._together.volumes)
             if (frame := self._together.frame(number, self.time)) >= 0 and volume.run(frame)), "",
        )  # fmt: skip
        words = self._together.timeline.words(self.time)
        place = f"{self.time + 1} of {len(self._together.timeline)}"
        self._words.text = (
            f'<span class="time">{html.escape(words)}</span> &nbsp;<span class="faint">'
            f"{html.escape(', '.join(filter(None, (run, place))))}</span>"
        )
        self._curves.mark(self.time)
        self._curves.ask(self.channel, self.voxel, self.time)
        self._draw()

    def _chosen(self) -> None:
        """Another voxel."""
        for link in self._links:
            link.voxel.data = {
                name: [self._together.places[axis].at(self.voxel[axis])]
                for name, axis in (("x", link.plane.x), ("y", link.plane.y))
            }
        for places, slider, place in zip(self._together.places, self._places, self.voxel, strict=True):
            slider.title = places.words(place)
        self._curves.ask(self.channel, self.voxel, self.time)
        self._draw()

    def _draw(self) -> None:
        time, channel, voxel = self.time, self.channel, self.voxel
        asked = [(panel.item, panel.link.plane, panel.link.seen(), panel.link.frame) for panel in self._panels]
        items = list(self._items)

        def work() -> Iterator[tuple]:
            pictures = [
                self._together.picture(item, time, channel, plane, voxel, seen, (frame.width, frame.height))
                for item, plane, seen, frame in asked
            ]
            values = [self._together.value(item, time, channel, voxel) for item in items]
            yield pictures, values, items

        self._reader.ask(work, lambda found: self._show(*found))

    def _show(self, pictures: list[Picture], values: list, items: list[Item]) -> None:
        for panel, picture in zip(self._panels, pictures, strict=True):
            panel.show(picture, self._title(panel))
        strides = {picture.stride for picture in pictures if not picture.empty and max(picture.stride) > 1}
        told = [f"every {_ordinal(rows)} row and {_ordinal(columns)} column" for rows, columns in sorted(strides)]
        lines = [f"Drawn thinned: {', '.join(told)}; zoom in for more. Numbers below are the store's own."] * bool(told)
        timeline = self._together.timeline
        if len(self._together.volumes) > 1 and timeline.shared < len(timeline):
            lines.append(f"{timeline.shared} of {len(timeline)} times are in all stores.")
        self._said.text = f'<span class="faint">{html.escape(" ".join(lines))}</span>'
        self._table.text = self._numbers(values, items)

    def _title(self, panel: Panel) -> str:
        across = panel.link.plane.across
        if len(self._together.planes) == 1:
            return self._named(panel.item)
        return f"{self._named(panel.item)}, {self._together.places[across].words(self.voxel[across])}"

    def _named(self, item: Item) -> str:
        labels = [volume.label for volume in self._together.volumes]
        return labels[item.volume] if item.less is None else f"{labels[item.volume]} − {labels[item.less]}"

    def _numbers(self, values: list, items: list[Item]) -> str:
        """The table of what the chosen voxel has, as exactly as the store."""
        together = self._together
        where = ", ".join(
            places.words(place) for places, place in zip(together.places, self.voxel, strict=True) if places.size > 1
        )
        rows = "".join(
            f"<tr><td>{_key(item.volume) if item.less is None else ''}{html.escape(self._named(item))}</td>"
            f'<td class="number">{_exact(value)}</td><td>{html.escape(together.unit(item))}</td></tr>'
            for item, value in zip(items, values, strict=True)
        )
        return (
            f"<p><b>{html.escape(self.channel)}</b></p><p>{html.escape(where)}</p>"
            f"<p>{html.escape(together.timeline.words(self.time))}</p><table>{rows}</table>"
        )

    def _failed(self, message: str) -> None:
        self._said.text = f'<span class="wrong">{html.escape(message)}</span>'

    # colours

    @property
    def _current_scale(self) -> Scale:
        return self._scales[self._scale.value]

    def _tell_scale(self) -> None:
        scale = self._current_scale
        self._palette.value = scale.palette
        self._low.value, self._high.value = scale.mapper.low, scale.mapper.high

    def _coloured(self, palette: str) -> None:
        self._current_scale.choose(palette)
        self._tell_scale()

    def _given(self, _: float | None) -> None:
        scale, low, high = self._current_scale, self._low.value, self._high.value
        if low is None or high is None or not low < high or (low, high) == (scale.mapper.low, scale.mapper.high):
            return
        scale.automatic = False
        if scale.palette == DIVERGING:  # zero stays in the middle: the end that was changed tells
            far = abs(high if high != scale.mapper.high else low)
            low, high = -far, far
        scale.set(low, high)
        self._tell_scale()

    def _automatically(self) -> None:
        self._current_scale.automatic = True
        self._ask_levels()

    def _ask_levels(self) -> None:
        """Finds the ends of colours: of what is shown first, then of a few frames all along."""
        together, channel, voxel, time = self._together, self.channel, self.voxel, self.time
        groups = {name: [item for item in self._items if self._scale_of(item) is scale]
                  for name, scale in self._scales.items() if scale.automatic}  # fmt: skip

        def work() -> Iterator[dict[str, tuple[float, float] | None]]:
            yield {name: sampled(together, items, [time], channel, voxel) for name, items in groups.items()}
            yield {
                name: sampled(together, items, spread(together, items, channel), channel, voxel)
                for name, items in groups.items()
            }

        self._sampler.ask(work, self._level)

    def _level(self, found: dict[str, tuple[float, float] | None]) -> None:
        for name, ends in found.items():
            if ends is not None and self._scales[name].automatic:
                self._scales[name].set(*ends)
        self._tell_scale()


def _when(model: Model, name: str, do: Callable[[Any], None]) -> None:
    """Has something done with the new value of a property."""
    model.on_change(name, lambda attr, old, new: do(new))


def _exact(value: np.generic | None) -> str:
    """A number with as many digits as tell it from its neighbours."""
    if value is None:
        return "–"
    if value.dtype.kind == "f":
        return np.format_float_positional(value, unique=True, trim="-") if np.isfinite(value) else "missing"
    return str(value)


def _key(number: int) -> str:
    return f'<span class="key" style="background:{LINES[number % len(LINES)]}"></span>'


def _ordinal(number: int) -> str:
    return {1: "", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")
