"""Pictures on the page: one of each volume, and of a difference, in each plane; linked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bokeh.events import Tap
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    HoverTool,
    PanTool,
    Range1d,
    ResetTool,
    SaveTool,
    Span,
    WheelZoomTool,
)

from workflows.pages.view.colours import Scale
from workflows.pages.view.frames import Frame
from workflows.pages.view.look import INK, bar, plain, words
from workflows.pages.view.places import Places
from workflows.pages.view.together import Item, Picture, Plane, Together

LABELS = 12
"""Labels along an axis of numbered places, about."""


class Link:
    """What the pictures of one plane share: what of the axes they show, the place of the pointer, the chosen voxel."""

    def __init__(self, plane: Plane, frame: Frame):
        self.plane, self.frame, self.pixels = plane, frame, (frame.width, frame.height)
        self.x, self.y = (Range1d(*seen, reset_start=seen[0], reset_end=seen[1]) for seen in (frame.x, frame.y))
        lines = (Span(dimension=one, line_color=INK, line_alpha=0.55, line_width=1) for one in ("width", "height"))
        self.pointer = list(lines)
        self.voxel = ColumnDataSource({"x": [], "y": []})

    def choose(self, together: Together, voxel: Sequence[int]) -> None:
        """Marks a voxel."""
        places = {
            name: together.places[axis].at(voxel[axis]) for name, axis in (("x", self.plane.x), ("y", self.plane.y))
        }
        self.voxel.data = {name: [place] for name, place in places.items()}

    def seen(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """What of x and y is shown, the lower end first."""
        return tuple(tuple(sorted((one.start, one.end))) for one in (self.x, self.y))


class Panel:
    """A picture.

    Args:
        together: What it is of.
        item: Which volume, or which difference.
        link: What it shares with the others of its plane.
        scale: Its colours.
        tapped: Is told the position of a click, x and y.

    Attributes:
        thinned: Whether not all of a plane was drawn, so that it is read anew where somebody zooms.
    """

    def __init__(
        self, together: Together, item: Item, link: Link, scale: Scale, tapped: Callable[[Plane, float, float], None]
    ):
        self.item, self.link, self.scale, self.thinned = item, link, scale, False
        plane, frame = link.plane, link.frame
        self.source = ColumnDataSource({name: [] for name in ("image", "x", "y", "dw", "dh")})
        wheel, pan = WheelZoomTool(), PanTool()
        self.figure = plain(
            frame_width=frame.width, frame_height=frame.height, x_range=link.x, y_range=link.y, title=" ",
            tools=[pan, wheel, BoxZoomTool(match_aspect=True), ResetTool(), SaveTool()],
            active_drag=pan, active_scroll=wheel, min_border=6, toolbar_location=None,
        )  # fmt: skip
        self.figure.add_tools(CrosshairTool(overlay=link.pointer))
        image = self.figure.image(
            image="image", x="x", y="y", dw="dw", dh="dh", color_mapper=scale.mapper, source=self.source
        )
        unit = f" {scale.unit}" if scale.unit else ""
        x, y = together.places[plane.x], together.places[plane.y]
        tips = [(x.name, "$x{0.00}"), (y.name, "$y{0.00}"), ("drawn", f"@image{{0.[0000]}}{unit}")]
        self.figure.add_tools(HoverTool(tooltips=tips, renderers=[image]))
        for color, width in (("white", 3.5), (INK, 1.5)):
            self.figure.scatter(
                "x", "y", source=link.voxel, marker="cross", size=15, line_color=color, line_width=width
            )
        _label(self.figure.xaxis[0], x)
        _label(self.figure.yaxis[0], y)
        self.figure.on_event(Tap, lambda event: tapped(plane, event.x, event.y))

    def add_bar(self) -> None:
        """A colour bar beside it."""
        self.figure.add_layout(bar(self.scale.mapper, self.scale.unit), "right")

    def show(self, picture: Picture, title: str) -> None:
        """Draws numbers, or says why there are none."""
        self.thinned = max(picture.stride) > 1 or self.thinned
        self.figure.title.text = words(f"{title} — {picture.empty}" if picture.empty else title)
        columns = {"image": picture.values, "x": picture.x, "y": picture.y, "dw": picture.width, "dh": picture.height}
        self.source.data = {name: [] if picture.empty else [one] for name, one in columns.items()}


def _label(axis, places: Places) -> None:
    """The title of an axis, and the values of places that lie at their numbers."""
    axis.axis_label = words(places.title)
    if places.even or places.values is None:
        return
    shown = range(0, places.size, max(1, -(-places.size // LABELS)))
    axis.ticker = FixedTicker(ticks=list(shown))
    axis.major_label_overrides = {number: f"{places.values[number]:.6g}" for number in shown}
