"""A real browser for tests of pages: Debian's chromium, without a window."""

import os
import shutil
import threading
from contextlib import contextmanager

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000
"""Milliseconds that anything on a page may take."""


@pytest.fixture(scope="package")
def browser():
    """Chromium for all tests of pages. Without it they are skipped, but fail where CI is set.

    It ends with this package: while playwright runs, its event loop is the main thread's, and nobody else's can be.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "no chromium on this machine: apt-get install chromium (tests of pages look at them in it)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


class Window:
    """A window of the browser, and what it did.

    Attributes:
        page: Playwright's.
        hosts: That it asked for anything.
        errors: On its console, and of its scripts.
    """

    def __init__(self, page):
        self.page, self.hosts, self.errors = page, set(), []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        page.on("websocket", lambda socket: self.hosts.add(socket.url.split("/")[2]))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def until(self, condition: str, *arguments):
        """Waits until a JavaScript function gives something true, and gives that."""
        return self.page.wait_for_function(condition, arg=list(arguments), polling=50).json_value()

    def model(self, name: str, path: str):
        """A property of the Bokeh model of this name, as in `title.text`."""
        return self.page.evaluate(
            "([name, path]) => path.split('.').reduce((m, p) => m[p], Bokeh.documents[0].get_model_by_name(name))",
            [name, path],
        )

    def choose(self, name: str, **properties):
        """Changes a widget as its user would: the page's other side is told."""
        self.page.evaluate(
            "([name, values]) => Bokeh.documents[0].get_model_by_name(name).setv(values)", [name, properties]
        )

    def pixels(self, name: str) -> str:
        """What the canvas of a figure shows."""
        return self.page.evaluate(
            """name => {
                const figure = Bokeh.documents[0].get_model_by_name(name)
                return Bokeh.index.find_one(figure).canvas_view.compose().canvas.toDataURL()
            }""",
            name,
        )

    def clean(self, port: int):
        """Holds that nothing went wrong, and that only this machine was asked."""
        assert self.errors == []
        assert self.hosts == {f"127.0.0.1:{port}"}


@pytest.fixture
def window(browser):
    """A new window with cookies of its own."""
    context = browser.new_context(viewport={"width": 1360, "height": 1000})
    yield Window(context.new_page())
    context.close()


@contextmanager
def running(served):
    """Serves a page beside the test, and ends it."""
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        yield served
    finally:
        served.stop()
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"
