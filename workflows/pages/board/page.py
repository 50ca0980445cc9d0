"""The page of one window: which time of which execution is looked at, and what follows from that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.model import Model
from bokeh.models import Div, Select, Slider, Toggle

from workflows.pages.board import told
from workflows.pages.board.curves import Curves
from workflows.pages.board.ending import Ending
from workflows.pages.board.recorded import Recorded
from workflows.pages.board.shards import Shards
from workflows.pages.board.standing import Stage
from workflows.pages.board.verdict import verdict
from workflows.pages.board.watched import Watched
from workflows.pages.board.words import clock, day_and_clock, duration
from workflows.pages.view.look import CONTROLS, WORDS

WIDTH = 1180

LOOK_MILLISECONDS = 400
"""How often the log is looked at."""

PLAY_MILLISECONDS = 100

WHOLE_SECONDS = 20.0
"""How long a replay of everything takes at the speed that is chosen first."""

SPEEDS = {"whole": f"all in {WHOLE_SECONDS:.0f} s", "1": "as it was"} | {
    str(times): f"{times} times as fast" for times in (10, 100, 1000)
}

AT_WORK = "the one at work"


class Page:
    """The page of one window.

    Args:
        watched: The run.
        document: Is filled.
    """

    def __init__(self, watched: Watched, document: Document):
        self._watched, self._document = watched, document
        watched.look()
        self._execution = watched.executions[-1]
        self._following, self._time = True, self._execution.last
        self._setting: Model | None = None
        self._seen: tuple | None = None
        self._count = len(watched.executions)
        self._pending, self._player, self._before = False, None, 0.0
        self._shards, self._curves, self._ending = Shards(WIDTH), Curves(WIDTH // 2 - 6), Ending(watched.folder)
        self._make_words()
        self._make_controls()
        document.add_root(self._layout())
        self._tick()
        document.add_periodic_callback(self._tick, LOOK_MILLISECONDS)

    # what the page is made of

    def _make_words(self) -> None:
        def words(name: str, width: int = WIDTH) -> Div:
            return Div(stylesheets=[WORDS, told.STYLE], width=width, name=name, disable_math=True)

        self._heading, self._facts, self._stages = words("heading", 760), words("facts", WIDTH - 210), words("stages")
        self._legend, self._none = words("legend"), words("none")
        self._processes, self._tail, self._now = words("processes", 700), words("tail", WIDTH - 712), words("now", 330)

    def _make_controls(self) -> None:
        style = {"stylesheets": [CONTROLS]}
        self._live = Toggle(label="Live", width=60, name="live", active=True, **style)
        self._play = Toggle(label="Play", width=70, name="play", button_type="primary", **style)
        self._slider = Slider(start=0, end=1, value=1, step=0.01, show_value=False, title=None, tooltips=False,
                              width=420, name="time", **style)  # fmt: skip
        self._speed = Select(value="whole", options=list(SPEEDS.items()), width=140, name="speed", **style)
        self._choice = Select(options=[], width=260, name="execution", **style)
        self._stage = Select(title="Stage", value=AT_WORK, options=[AT_WORK], width=180, name="stage", **style)
        self._when(self._live, "active", self._go_live)
        self._when(self._play, "active", self._playing)
        self._when(self._slider, "value", self._slid)
        self._when(self._choice, "value", self._chosen)
        self._when(self._stage, "value", lambda _: self._show())

    def _layout(self) -> Model:
        return column(
            row(self._heading, column(self._ending.layout, self._choice)),
            row(self._live, self._play, self._speed, self._slider, self._now, spacing=10),
            self._stages,
            row(self._stage, self._facts, spacing=24),
            self._none,
            self._shards.figure,
            self._legend,
            row(self._curves.rate, self._curves.memory, spacing=12),
            row(self._processes, self._tail, spacing=12),
            width=WIDTH,
            spacing=10,
        )

    # what happens on it

    def _tick(self) -> None:
        """The log is looked at."""
        self._watched.look()
        executions = self._watched.executions
        if not executions:
            return
        was_newest = self._execution in executions[self._count - 1 : self._count]
        if self._execution not in executions or (self._following and was_newest):
            self._execution = executions[-1]
        self._count = len(executions)
        self._list_executions()
        self._ending.follow(self._watched.running)
        self._live.label = "Live" if self._alive else "End"
        if self._following:
            self._time = self._end
        self._show()

    @property
    def _newest(self) -> bool:
        """Whether the execution that is looked at is the last one."""
        return self._watched.executions[-1:] == [self._execution]

    @property
    def _alive(self) -> bool:
        """Whether the execution that is looked at goes on."""
        return self._newest and self._watched.running

    @property
    def _end(self) -> float:
        return max(self._execution.last, time.time() if self._alive else 0.0)

    def _list_executions(self) -> None:
        executions = self._watched.executions
        options = [(str(number), self._named(one)) for number, one in enumerate(executions)]
        self._set(self._choice, options=options, value=str(executions.index(self._execution)))
        self._choice.visible = len(executions) > 1
        self._set(self._stage, options=[AT_WORK, *self._execution.standing.stages])

    def _named(self, execution: Recorded) -> str:
        last = execution is self._watched.executions[-1]
        end = execution.standing.how or ("running" if last and self._watched.running else "died")
        return f"{day_and_clock(execution.begun)} {end}"

    def _chosen(self, value: str) -> None:
        """Another execution."""
        self._play.active = False
        self._execution = self._watched.executions[int(value)]
        self._set(self._stage, options=[AT_WORK, *self._execution.standing.stages], value=AT_WORK)
        self._go_live(True)

    def _go_live(self, active: bool) -> None:
        """To the end, and with it from then on; or stay where it is."""
        self._following = active
        if active:
            self._play.active = False
            self._time = self._end
        self._show()

    def _slid(self, value: float) -> None:
        self._following = False
        self._time = self._execution.begun + value
        if not self._pending:  # of the places that a moving slider passes only the newest is shown
            self._pending = True
            self._document.add_timeout_callback(self._arrived, 20)

    def _arrived(self) -> None:
        self._pending = False
        self._show()

    def _playing(self, active: bool) -> None:
        self._play.label = "Pause" if active else "Play"
        if self._player is not None:
            self._document.remove_periodic_callback(self._player)
            self._player = None
        if active:
            if self._time >= self._end:
                self._time = self._execution.begun
            self._following, self._before = False, time.monotonic()
            self._player = self._document.add_periodic_callback(self._advance, PLAY_MILLISECONDS)

    def _advance(self) -> None:
        """Plays on."""
        now = time.monotonic()
        whole = (self._end - self._execution.begun) / WHOLE_SECONDS
        speed = whole if self._speed.value == "whole" else float(self._speed.value)
        self._time += (now - self._before) * speed
        self._before = now
        if self._time >= self._end:
            self._go_live(True)
        else:
            self._show()

    # what is seen

    def _show(self) -> None:
        """Everything at the time that is looked at."""
        execution, at = self._execution, self._time
        standing = execution.at(at)
        self._show_controls()
        alive, asked = self._alive or at < execution.last, self._alive and self._following and self._ending.asked
        found = verdict(standing, execution.history, at, alive=alive, asked=asked)
        name = standing.focus if self._stage.value == AT_WORK else self._stage.value
        stage = standing.stages.get(name)
        self._heading.text = told.heading(standing, found)
        self._facts.text = told.facts(stage, execution.history, at)
        self._stages.text = told.stages(standing, execution.history, at, name)
        news = (execution, len(execution), standing.at, name, None if self._following else at)
        if news == self._seen:
            return
        self._seen = news
        self._tail.text = told.tail(standing)
        self._show_stage(stage, execution)

    def _show_stage(self, stage: Stage | None, execution: Recorded) -> None:
        grid = stage.grid if stage else None
        self._shards.show(stage.name if stage else "", grid)
        self._legend.visible = grid is not None
        self._legend.text = told.legend(binned=self._shards.binned) if grid else ""
        self._none.visible = grid is None
        self._none.text = told.without_shards(stage)
        whole = execution.standing.stages.get(stage.name) if stage else None
        end = (whole.ended if whole and whole.ended else None) or self._end
        self._curves.show(stage, execution.history, self._time, end)
        self._processes.text = told.processes(stage) if stage else ""

    def _show_controls(self) -> None:
        begun, end = self._execution.begun, max(self._end, self._execution.begun + 0.01)
        self._set(self._live, active=self._following)
        self._set(self._slider, end=end - begun, step=(end - begun) / 1000, value=min(self._time, end) - begun)
        since = duration(self._time - begun)
        back = "" if self._following else ", looking back"
        words = f'<span class="faint">{since} after it began{back}</span>'
        self._now.text = f'<span class="time">{clock(self._time)}</span> {words}'

    def _when(self, model: Model, name: str, do: Callable[[Any], None]) -> None:
        """Has something done with the new value of a property, when its user sets it."""

        def changed(attr: str, old: Any, new: Any) -> None:
            del attr, old
            if self._setting is not model:
                do(new)

        model.on_change(name, changed)

    def _set(self, model: Model, **values: Any) -> None:
        """Sets properties as the page does, not its user."""
        self._setting = model
        model.update(**{name: value for name, value in values.items() if getattr(model, name) != value})
        self._setting = None
