"""The report of a run in a real browser, from the file, without a network."""

import base64
import io

import pytest
from PIL import Image

from tests.pages.conftest import PATIENCE
from workflows.plan import REPORT


@pytest.fixture
def opened(window, finished_run):
    """The report of a finished run in a window that has no network."""
    window.page.context.set_offline(True)
    window.page.goto((finished_run["report"].parent / REPORT).resolve().as_uri())
    yield window
    assert window.errors == []
    assert {host for host in window.hosts if host} == set()  # files have none, pictures within the page "data:"


def test_it_opens_without_a_network(opened, finished_run):
    sizes = opened.page.eval_on_selector_all("img", "all => all.map(one => [one.complete, one.naturalWidth])")
    assert len(sizes) == 5
    assert all(complete and width > 300 for complete, width in sizes)
    boxes = opened.page.eval_on_selector_all("svg.graph g text:not(.small)", "all => all.map(one => one.textContent)")
    assert sorted(boxes) == sorted(finished_run)
    inside = """all => all.every(one => [...one.querySelectorAll('text')].every(text =>
        text.getBoundingClientRect().right <= one.querySelector('rect').getBoundingClientRect().right))"""
    assert opened.page.eval_on_selector_all("svg.graph g", inside)
    assert opened.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_recipe_and_settings_unfold(opened):
    recipe = opened.page.locator("details", has_text="The recipe")
    assert not recipe.locator("pre").is_visible()
    recipe.locator("summary").click()
    recipe.locator("pre").wait_for(state="visible", timeout=PATIENCE)
    assert "stage: ingest" in recipe.locator("pre").inner_text()


def test_the_moving_picture_moves(opened):
    picture = opened.page.locator("img.moving")
    kind, _, content = picture.get_attribute("src").partition(",")
    assert kind == "data:image/webp;base64"
    frames = Image.open(io.BytesIO(base64.b64decode(content)))
    assert frames.n_frames == 24
    picture.scroll_into_view_if_needed()
    first = picture.screenshot()
    opened.page.wait_for_timeout(600)
    assert picture.screenshot() != first
