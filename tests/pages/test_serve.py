"""Who gets a page, and how it ends."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
import zarr
from bokeh.models import Div

from pipeline.volume import AXES, InputError
from tests.export.stores import volume, written
from tests.pages.conftest import running
from workflows.pages.serve import Served


def served(port=0):
    return Served(lambda document: document.add_root(Div(text="hello")), "A page", port)


def status(url: str, **headers: str) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
    found = connection.getresponse().status
    connection.close()
    return found


def test_only_who_has_the_token_gets_anything_of_the_page():
    with running(served()) as page:
        base, token = page.link.split("?token=")
        handshake = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": base.rstrip("/"),
            "Sec-WebSocket-Protocol": "bokeh, x",
        }  # fmt: skip
        assert status(page.link) == 200
        assert status(base + "ws?token=" + token, **handshake) == 101
        for path in ("", "metadata", "autoload.js", "autoload.js?bokeh-autoload-element=1"):
            for wrong in ("", "token=", f"token={token[:-1]}", f"token={token}x", "token=%F0%9F%98%80"):
                assert status(base + path + ("&" if "?" in path else "?") + wrong) == 403
        for wrong in ("", "?token=wrong"):
            assert status(base + "ws" + wrong, **handshake) == 403
        assert status(base, Cookie=f"chronovox_{page.port}=wrong") == 403
        assert status(base + "static/js/bokeh.min.js") == 200


def test_the_first_load_leaves_a_cookie_that_scripts_cannot_read():
    with running(served()) as page:
        given = urlopen(page.link, timeout=10).headers["Set-Cookie"]
        name, value = given.split(";")[0].split("=")
        assert name == f"chronovox_{page.port}"
        assert "HttpOnly" in given
        assert "SameSite=Strict" in given
        assert status(page.link.split("?")[0], Cookie=f"{name}={value}") == 200


def test_a_port_that_is_taken_is_a_users_mistake():
    with running(served()) as page, pytest.raises(InputError, match=f"port {page.port} of 127.0.0.1 cannot be had"):
        served(page.port)


def test_a_page_that_was_stopped_before_it_ran_ends_at_once():
    page = served()
    page.stop()
    with running(page):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_quietly(number, tmp_path, window):
    path = written(tmp_path / "a.zarr", alone=volume())
    command = [sys.executable, "-m", "workflows.cli", "view", str(path)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            link = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S{32}$", process.stdout.readline().strip())
            window.page.goto(link.group())
            window.until("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
            window.choose("play", active=True)
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")


DRAWN = """() => {
    const figure = window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].get_model_by_name('picture 0')
    const view = figure && Bokeh.index.find_one(figure)
    const canvas = view && view.canvas_view && view.canvas_view.compose().canvas
    if (!canvas || !canvas.width) return false
    const [x, y] = [Math.floor(0.35 * canvas.width), Math.floor(0.4 * canvas.height)]
    const seen = canvas.getContext('2d').getImageData(x, y, 40, 40).data
    return new Set(new Uint32Array(seen.buffer)).size > 20
}"""
"""Whether the first picture shows noise."""


@pytest.mark.slow
def test_a_hundred_gigabytes_are_opened_in_two_seconds(tmp_path, browser, capsys):
    """From the command to the page's answer, where nothing else works; the middle one of seven times. What the browser
    takes after that to draw is told."""
    store = zarr.create_group(tmp_path / "large.zarr")
    frames, grid = 1000, (1, 100, 512, 512)
    data = store.create_array(
        "data", shape=(frames, *grid), chunks=(1, 1, 10, 512, 512), shards=(1, *grid), dtype="f4", fill_value=np.nan,
        dimension_names=AXES,
    )  # fmt: skip
    assert data.nbytes > 100e9
    for name, size in zip(("time", *AXES[2:]), (frames, *grid[1:]), strict=True):
        store.create_array(name, data=np.arange(float(size)), dimension_names=(name,))
    for frame in (0, frames // 2):
        data[frame] = np.random.default_rng(frame).standard_normal(grid, np.float32)
    opened, drawn = [], []
    for _ in range(7):
        page, begun = browser.new_page(viewport={"width": 1360, "height": 1000}), time.perf_counter()
        command = [Path(sys.executable).with_name("chronovox"), "view", str(tmp_path / "large.zarr")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                page.goto(re.search(r"http://\S+", process.stdout.readline()).group(), wait_until="commit")
                opened.append(time.perf_counter() - begun)
                page.wait_for_function(DRAWN, polling=30)
                drawn.append(time.perf_counter() - begun)
            finally:
                process.kill()
                page.close()
    with capsys.disabled():
        print(f"\nopened after {statistics.median(opened):.2f} s, drawn after {statistics.median(drawn):.2f} s")
    assert statistics.median(opened) < 2, opened
