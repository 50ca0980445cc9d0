"""The page of a run in a real browser: it shows what the log says, then and now, and ends a run."""

import json
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from filelock import FileLock

from pipeline.progress import Progress
from tests.pages.conftest import running
from tests.pages.logs import Written, divided, plain, pulse
from workflows.commands.watching import to_watch
from workflows.events import Ended, Finished, Lost
from workflows.pages.board.page import Page
from workflows.pages.board.states import COLOURS, State
from workflows.pages.serve import Served
from workflows.stopping import LOCK, NAME, is_running

SETTLED = "() => window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle"
SAYS = "([name, text]) => Bokeh.documents[0].get_model_by_name(name).text.includes(text)"
STATES = (
    "([expected]) => JSON.stringify(Array.from(Bokeh.documents[0].get_model_by_name('cells').data.state)) == expected"
)
DISABLED = "([name, value]) => Bokeh.documents[0].get_model_by_name(name).disabled == value"


@pytest.fixture
def opened(window):
    """Opens the page of a run in the browser; at the end nothing may have gone wrong."""
    contexts = []

    def open_page(folder):
        watched = to_watch(str(folder), folder / "none")
        served = Served(lambda document: Page(watched, document), "A run")
        contexts.append((running(served), served))
        contexts[-1][0].__enter__()
        window.page.goto(served.link)
        window.until(SETTLED)
        return window

    yield open_page
    for context, served in contexts:
        window.clean(served.port)
        with pytest.raises(HTTPError, match="403"):
            urlopen(served.link[:-1], timeout=10)
        window.page.context.close()  # its connections too: the server need not wait for them
        context.__exit__(None, None, None)


def drawn(log, until=float("inf")):
    """What the cells must be: the shards of the series, then those of worker 0, then those of worker 1."""
    found = plain(log.path, until)["shards"]
    states = [int(State[found.get(("forecast", 0, index), ("ahead", 0))[0].upper()]) for index in range(12)]
    return json.dumps(states + states[0::2] + states[1::2], separators=(",", ":"))


def told_of(log):
    """A run that finished: its driver, two workers, two cuts of its shards."""
    log.begin()
    log.tell("forecast", divided(), after=1.0)
    log.tell("forecast", pulse(None, 2e8), pulse(0, 3e8, 11), pulse(1, 4e8, 12, computing=3.0, all=4.0), after=1.0)
    log.shards("computing", "computing", "writing", "waiting")
    log.shards(*["done"] * 12)
    log.tell("forecast", pulse(0, 5e8, 11), Finished(20.0, int(5e8), 0, 1000))
    log.tell(None, Ended("finished", 25.0))


def test_a_finished_run_is_played_back_to_the_number(tmp_path, opened):
    log = Written(tmp_path)
    told_of(log)
    window = opened(tmp_path)
    window.until(STATES, drawn(log))
    assert window.model("cells", "data.colour.0") == COLOURS[State.DONE]
    assert window.page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('cells').data.right)")[10:13] == [
        77,
        80,
        7,
    ]
    assert window.model("grid", "x_range.end") == 80
    assert window.model("cells", "data.extent.11") == "b: frames 77 to 79"
    assert window.model("front", "data.x.length") == 0
    assert "finished" in window.model("heading", "text")
    assert "chronovox run &lt;blobs&gt;.yaml" in window.model("heading", "text")
    assert all(window.model(name, "disabled") for name in ("end safely", "end now"))
    lines = window.page.evaluate("Bokeh.documents[0].get_model_by_name('lines').data.ys.map(y => Array.from(y))")
    assert lines == [[0.2], [0.3, 0.5], [0.4]]

    begun, pictures = 1.8e9, [window.pixels("grid")]
    for after, front in ((7.0, 0), (11.0, 28), (15.0, 56)):
        window.choose("time", value=after)
        window.until(STATES, drawn(log, begun + after))
        window.until("([x]) => Bokeh.documents[0].get_model_by_name('front').data.x[0] == x", front)
        window.until(SAYS, "now", "looking back")
        pictures.append(window.pixels("grid"))
    assert len(set(pictures)) == len(pictures)
    assert "running" in window.model("heading", "text")
    rates = window.page.evaluate("Array.from(Bokeh.documents[0].get_model_by_name('rates').data.rate)")
    assert rates[-1] == 7.0  # a shard of seven frames a second
    window.choose("stage", value="raw")
    window.until(SAYS, "none", "raw (ingest) is not divided into shards")
    window.choose("stage", value="the one at work")
    window.choose("speed", value="100")
    window.choose("play", active=True)
    window.until(STATES, drawn(log))
    window.until("() => !Bokeh.documents[0].get_model_by_name('play').active")


def test_a_run_is_followed_and_asked_to_end(tmp_path, opened):
    log = Written(tmp_path, time.time())
    log.begin()
    with FileLock(tmp_path / LOCK):
        window = opened(tmp_path)
        window.until(SAYS, "none", "forecast (infer) is not divided into shards yet")
        log.tell("forecast", divided(), pulse(0, 3e8, 11))
        log.shards("done", "writing", "computing")
        window.until(STATES, drawn(log))
        window.until(SAYS, "heading", "forecast: 1 of 12")
        window.until(SAYS, "processes", "computing: b, frames 14 to 20")
        before = window.pixels("grid")
        log.tell("forecast", Lost("worker <1> is gone"))
        window.until(SAYS, "heading", "forecast lost workers: worker &lt;1&gt; is gone")
        window.until(SAYS, "facts", '<b>2</b><span class="faint">begun again</span>')
        assert window.pixels("grid") != before

        window.page.get_by_role("button", name="End now").click()
        window.until(SAYS, "ending", "What is not committed is lost")
        window.page.get_by_role("button", name="No", exact=True).click()
        window.until("() => Bokeh.documents[0].get_model_by_name('ending').text == ''")
        assert not (tmp_path / NAME).exists()
        for button, now in (("End at its next safe point", False), ("End now", True)):
            window.page.get_by_role("button", name=button).click()
            window.page.get_by_role("button", name="Yes, end it").click()
            window.until(SAYS, "ending", "Asked to end " + ("now" if now else "at its next safe point"))
            assert json.loads((tmp_path / NAME).read_text()) == {"now": now}
            window.until(DISABLED, "end safely", True)
        window.until(SAYS, "heading", "asked to end")
        (tmp_path / NAME).unlink()
    log.tell(None, Ended("cancelled", 3.0))
    window.until(SAYS, "heading", "cancelled in stage forecast, 1 of 12")
    window.until(DISABLED, "end now", True)
    assert window.model("ending", "text") == ""

    log.begin()  # and goes on, with nobody there: its process died
    log.tell("forecast", divided(first=1), Progress(1, 12))
    window.until(SAYS, "heading", "its process died in stage forecast, 1 of 12")
    window.until(STATES, json.dumps([State.BEFORE] + [State.AHEAD] * 22, separators=(",", ":")))
    window.choose("execution", value="0")
    window.until(SAYS, "heading", "cancelled in stage forecast, 1 of 12")


LONG = """
import sys, time
from dataclasses import dataclass
from pathlib import Path

import typer

from cluster import LocalExecutor
from pipeline.progress import Progress
from workflows.display import JsonDisplay
from workflows.run import run
from workflows.commands.showing import closing_on_signals
from workflows.stage import Stage, StageKind
from workflows.workflow import Workflow

@dataclass(frozen=True)
class Settings:
    pass

def count(*_):
    for done in range(6000):
        time.sleep(0.01)
        yield Progress(done, 6000)

screen, kind = JsonDisplay(), StageKind("count", Settings, count, 1, {})
try:
    with closing_on_signals(screen):
        run(Workflow("long", {"model": Stage("model", kind, Settings(), {})}), Path("runs"), LocalExecutor(), screen)
except typer.Exit as exit:
    sys.exit(exit.exit_code)
"""


@pytest.mark.slow
def test_the_button_ends_a_real_run(tmp_path, opened):
    """Of a stage that needs nothing and takes a minute."""
    folder = tmp_path / "runs" / "long"
    with subprocess.Popen(
        [sys.executable, "-c", LONG], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            next(line for line in map(json.loads, process.stdout) if line.get("done", 0) > 1)
            window = opened(folder)
            window.until(SAYS, "heading", "running")
            window.page.get_by_role("button", name="End at its next safe point").click()
            window.page.get_by_role("button", name="Yes, end it").click()
            window.until(SAYS, "heading", "cancelled in stage model, ")
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, said) == (130, "cancelled; run the same command again to continue\n")
    assert not is_running(folder)
