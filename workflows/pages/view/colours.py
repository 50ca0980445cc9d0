"""How numbers become colours: one scale for all volumes in one unit, one for the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from bokeh.document import Document
from bokeh.layouts import row
from bokeh.models import Button, LinearColorMapper, NumericInput, Select

from workflows.pages.beside import Beside
from workflows.pages.changed import when_changed
from workflows.pages.view.levels import drawn, levels, sampled, spread
from workflows.pages.view.look import CONTROLS, DIVERGING, MISSING, PALETTES
from workflows.pages.view.together import Item, Together


class Scale:
    """Colours of numbers in one unit.

    Args:
        name: What it is of.
        unit: Of the numbers.
        palette: One of `PALETTES`; where it diverges, its middle is zero.

    Attributes:
        automatic: Whether its ends are found from the numbers.
        mapper: What pictures and colour bars take.
    """

    def __init__(self, name: str, unit: str, palette: str):
        self.name, self.unit, self.palette = name, unit, palette
        self.automatic, self._ends = True, (0.0, 1.0)
        self.mapper = LinearColorMapper(palette=PALETTES[palette], low=0.0, high=1.0, nan_color=MISSING)

    @property
    def shown(self) -> tuple[float, float]:
        """The numbers that the first and the last colour are for."""
        return self.mapper.low, self.mapper.high

    def paint(self, palette: str) -> None:
        """Takes another palette."""
        self.palette, self.mapper.palette = palette, PALETTES[palette]
        self.set(*self._ends)

    def set(self, low: float, high: float) -> None:
        """Takes other ends."""
        self._ends = low, high
        first, last = drawn(low, high, centred=self.palette == DIVERGING)
        self.mapper.update(low=first, high=last)


class Colours:
    """The scales, and the controls of them.

    Args:
        together: What is shown.
        document: The page's.
        failed: Shows what went wrong.

    Attributes:
        root: What is put on the page.
    """

    def __init__(self, together: Together, document: Document, failed: Callable[[str], None]):
        self._together, self._beside = together, Beside(document, failed)
        photographic = all(volume.photographic for volume in together.volumes)
        self._scales = {
            _of_unit(volume.unit): Scale(_of_unit(volume.unit), volume.unit, "Grey" if photographic else "Viridis")
            for volume in together.volumes
        }
        if len(together.volumes) > 1:
            self._scales[DIFFERENCE] = Scale(DIFFERENCE, together.volumes[-1].unit, DIVERGING)
        names, style = list(self._scales), {"stylesheets": [CONTROLS]}
        self._which = Select(
            title="Colours of",
            value=names[0],
            options=names,
            width=150,
            visible=len(names) > 1,
            name="colours",
            **style,
        )
        self._palette = Select(title="Colour map", options=list(PALETTES), width=140, name="palette", **style)
        self._low, self._high = (
            NumericInput(title=title, mode="float", width=100, name=title.lower(), **style) for title in ("From", "To")
        )
        automatic = Button(label="Automatic", width=96, align="end", name="automatic", **style)
        self._telling = False
        self._tell()
        when_changed(self._which, "value", lambda _: self._tell())
        when_changed(self._palette, "value", self._painted)
        when_changed(self._low, "value", lambda low: self._given(low, self._scale.shown[1]))
        when_changed(self._high, "value", lambda high: self._given(self._scale.shown[0], high))
        automatic.on_click(self._automatically)
        self._last: tuple[Sequence[Item], str, Sequence[int]] | None = None
        self.root = row(self._which, self._palette, self._low, self._high, automatic)

    def of(self, item: Item) -> Scale:
        """The scale of a volume, or of a difference."""
        return self._scales[DIFFERENCE if item.less is not None else _of_unit(self._together.unit(item))]

    def anew(self, items: Sequence[Item]) -> None:
        """Has the ends found from the numbers again, of what these are."""
        for item in items:
            self.of(item).automatic = True

    def find(
        self, drawn: Sequence[tuple[Item, np.ndarray]], items: Sequence[Item], channel: str, voxel: Sequence[int]
    ) -> None:
        """Finds the ends that are to be found: of what is drawn at once, of frames all along when these are read."""
        self._last = items, channel, voxel
        for scale in self._scales.values():
            values = [values.ravel() for item, values in drawn if self.of(item) is scale]
            ends = levels(np.concatenate(values)) if values else None
            if ends is not None and scale.automatic:
                scale.set(*ends)
        self._tell()
        self._look_further(*self._last)

    def _look_further(self, items: Sequence[Item], channel: str, voxel: Sequence[int]) -> None:
        groups = {
            scale: [item for item in items if self.of(item) is scale]
            for scale in self._scales.values()
            if scale.automatic
        }

        def work() -> Iterator[dict[Scale, tuple[float, float] | None]]:
            together = self._together
            yield {
                scale: sampled(together, own, spread(together, own, channel), channel, voxel)
                for scale, own in groups.items()
            }

        self._beside.ask(work, self._found)

    def _found(self, found: dict[Scale, tuple[float, float] | None]) -> None:
        for scale, ends in found.items():
            if ends is not None and scale.automatic:
                scale.set(*ends)
        self._tell()

    # the controls

    @property
    def _scale(self) -> Scale:
        return self._scales[self._which.value]

    def _tell(self) -> None:
        """Shows how the chosen scale is."""
        self._telling = True
        self._palette.value = self._scale.palette
        self._low.value, self._high.value = self._scale.shown
        self._telling = False

    def _painted(self, palette: str) -> None:
        if not self._telling:
            self._scale.paint(palette)
            self._tell()

    def _given(self, low: float | None, high: float | None) -> None:
        if self._telling:
            return
        scale = self._scale
        if scale.palette == DIVERGING and None not in (low, high):  # the end that was given tells the other
            far = abs(high if high != scale.shown[1] else low)
            low, high = -far, far
        if None not in (low, high) and low < high:
            scale.automatic = False
            scale.set(low, high)
        self._tell()

    def _automatically(self) -> None:
        self._scale.automatic = True
        if self._last is not None:
            self._look_further(*self._last)


DIFFERENCE = "difference"


def _of_unit(unit: str) -> str:
    return f"values ({unit})" if unit else "values"
