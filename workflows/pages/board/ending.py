"""The controls that end a run: what is to happen, a question, a request in the run's folder."""

from __future__ import annotations

import html
from pathlib import Path

from bokeh.layouts import column, row
from bokeh.models import Button, Div

from workflows.pages.view.look import CONTROLS, WORDS
from workflows.stopping import asked, is_running, request_stop

WIDTH = 400

HOW = {False: "at its next safe point", True: "now"}
WHAT = {
    False: "It works on until something is committed, then its workers end. The same command continues.",
    True: "What is not committed is lost, what is stands. The same command continues.",
}


class Ending:
    """Two buttons that ask, two that answer, and a line that says what became of it.

    Args:
        folder: Of the run.

    Attributes:
        layout: All of it.
        asked: Whether the run was asked to end, and has not ended.
    """

    def __init__(self, folder: Path):
        self._folder, self._now, self._failed = folder, False, ""
        self.asked = False
        style = {"stylesheets": [CONTROLS]}
        self._ask = {
            now: Button(label=f"End {HOW[now]}", name=f"end {'now' if now else 'safely'}", width=width, **style)
            for now, width in ((False, 165), (True, 85))
        }
        for now, button in self._ask.items():
            button.on_click(lambda now=now: self._question(now))
        self._yes = Button(label="Yes, end it", name="yes", button_type="danger", width=95, visible=False, **style)
        self._no = Button(label="No", name="no", width=60, visible=False, **style)
        self._yes.on_click(self._end)
        self._no.on_click(self._keep)
        self.said = Div(stylesheets=[WORDS], name="ending", disable_math=True, text="", visible=False, width=WIDTH)
        self.layout = column(row(*self._ask.values(), self._yes, self._no), self.said)

    def follow(self, running: bool) -> None:
        """Says what the run's folder says; nothing can be asked of a run that nobody works on."""
        wanted = asked(self._folder) if running else None
        self.asked = wanted is not None
        self._ask[False].disabled = not running or wanted is not None
        self._ask[True].disabled = not running or bool(wanted)
        if self._yes.visible and running:
            return
        self._turn(asking=False)
        self._say(self._failed or ("" if wanted is None else f"Asked to end {HOW[wanted]}; it has not ended yet."))

    def _question(self, now: bool) -> None:
        self._now, self._failed = now, ""
        self._turn(asking=True)
        self._say(f"End {self._folder.name} {HOW[now]}? {WHAT[now]}")

    def _end(self) -> None:
        self._turn(asking=False)
        running = is_running(self._folder)
        try:
            if running:
                request_stop(self._folder, self._now)
            else:
                self._failed = "No process works on it any more."
        except OSError as error:
            self._failed = (
                f"{self._folder} cannot be written: {error.strerror}; chronovox cancel, as whoever started it, ends it"
            )
        self.follow(running)

    def _keep(self) -> None:
        self._turn(asking=False)
        self._say("")

    def _turn(self, *, asking: bool) -> None:
        self._yes.visible = self._no.visible = asking
        for button in self._ask.values():
            button.visible = not asking

    def _say(self, text: str) -> None:
        self.said.text, self.said.visible = html.escape(text), bool(text)
