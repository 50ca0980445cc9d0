"""The row of the page that goes through time: a slider, steps, play, and the time in words."""

from __future__ import annotations

import html
from collections.abc import Callable

from bokeh.document import Document
from bokeh.layouts import row
from bokeh.models import Button, Div, Select, Slider, Spacer, Toggle

from workflows.pages.changed import when_changed
from workflows.pages.view.look import CONTROLS, WORDS

RATES = (1, 2, 5, 10, 20)
"""Times a second, while playing."""

BACK, ON = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


class Transport:
    """The row.

    Args:
        count: How many times there are.
        time: The number of the first that is shown.
        document: The page's.
        go: Is told the number of another time.
        busy: Whether the last one is not shown yet: playing waits for it.

    Attributes:
        root: What is put on the page.
    """

    def __init__(self, count: int, time: int, document: Document, go: Callable[[int], None], busy: Callable[[], bool]):
        self._count, self._document, self._busy = count, document, busy
        self._ticks: list = []
        style = {"stylesheets": [CONTROLS], "disabled": count < 2}
        self._slider = Slider(
            start=0, end=max(count - 1, 1), value=time, step=1, show_value=False, title=None, name="time",
            width=530, tooltips=False, **style,
        )  # fmt: skip
        self._play = Toggle(label="Play", width=78, button_type="primary", name="play", **style)
        self._rate = Select(value="5", options=[(str(rate), f"{rate} a second") for rate in RATES], width=112, **style)
        self._words = Div(stylesheets=[WORDS], width=400, name="now", disable_math=True)
        back, on = (Button(label=label, width=38, **style) for label in (BACK, ON))
        back.on_click(lambda: self._step(-1))
        on.on_click(lambda: self._step(1))
        when_changed(self._slider, "value", lambda value: go(int(value)))
        when_changed(self._play, "active", self._playing)
        when_changed(self._rate, "value", lambda _: self._playing(self._play.active))
        self.root = row(self._play, back, on, self._rate, Spacer(width=4), self._slider, Spacer(width=10), self._words)

    def tell(self, words: str, more: str) -> None:
        """Tells the time, and more in small letters."""
        self._words.text = (
            f'<span class="time">{html.escape(words)}</span> &nbsp;<span class="faint">{html.escape(more)}</span>'
        )

    def _step(self, by: int) -> None:
        self._slider.value = (int(self._slider.value) + by) % self._count

    def _playing(self, active: bool) -> None:
        self._play.label = "Pause" if active else "Play"
        while self._ticks:
            self._document.remove_periodic_callback(self._ticks.pop())
        if active:
            self._ticks.append(self._document.add_periodic_callback(self._tick, 1000 // int(self._rate.value)))

    def _tick(self) -> None:
        if not self._busy():
            self._step(1)
