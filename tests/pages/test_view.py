"""The page of volumes in a real browser: what it shows is what the stores hold."""

import time

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from pipeline.storage.glimpse import Recent
from pipeline.volume import AXES, DATA
from tests.export.stores import volume, written
from tests.pages.conftest import running
from workflows.cli import app, exit_code
from workflows.pages.serve import Served
from workflows.pages.view.choose import choose
from workflows.pages.view.page import Page
from workflows.pages.view.together import Together
from workflows.pages.view.volume import Volume

SETTLED = """() => {
    if (!window.Bokeh || Bokeh.documents.length == 0 || !Bokeh.documents[0].is_idle) return false
    const picture = Bokeh.documents[0].get_model_by_name('picture 0')
    return picture != null && Bokeh.documents[0].get_model_by_name('numbers').text != ''
}"""
SAYS = "([name, text]) => Bokeh.documents[0].get_model_by_name(name).text.includes(text)"
BEGINS = "([name, y]) => Bokeh.documents[0].get_model_by_name(name).data.y[0] == y"
POSITIONS = "name => Array.from(Bokeh.documents[0].get_model_by_name(name).data.x)"
IMAGES = "name => Bokeh.documents[0].get_model_by_name(name).renderers[0].data_source.data.image"
LONG = "([name, count]) => Bokeh.documents[0].get_model_by_name(name).data.y.length == count"


def page_of(*paths):
    recent = Recent()
    together = Together([Volume(chosen, recent) for chosen in choose(paths)])
    return Served(lambda document: Page(together, document), "Volumes")


def dated(start: int, frames: int, seed: int, name: str = "K") -> xr.Dataset:
    """Days of a calendar of 360 days from a day on, two channels on a small globe whose rows run south, one of them
    missing somewhere."""
    data = np.float32(np.random.default_rng(seed).standard_normal((frames, 2, 1, 6, 12)) + 10 * seed)
    data[:, 1, 0, 2, 3] = np.nan
    times = xr.date_range("2000-02-28", periods=start + frames, freq="D", calendar="360_day", use_cftime=True)[start:]
    coordinates = {
        "time": times,
        "channel": np.array(["warm", "wet"], object),
        "latitude": ("height", np.linspace(75, -75, 6), {"units": "degrees_north"}),
        "longitude": ("width", np.arange(12) * 30.0, {"units": "degrees_east"}),
    }
    return xr.Dataset({DATA: (AXES, data, {"units": name})}, coordinates)


@pytest.fixture
def opened(window):
    """Opens a page in the browser, waits for its first picture; at the end nothing may have gone wrong."""
    served = []

    def open_page(page):
        served.append(page)
        window.page.goto(page.link)
        window.until(SETTLED)
        return window

    yield open_page
    window.clean(served[0].port)


def click(window, figure: str, x: float, y: float):
    """Clicks at a position on the axes of a figure."""
    place = window.page.evaluate(
        """([name, x, y]) => {
            const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name))
            const box = view.el.getBoundingClientRect(), frame = view.frame
            return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)]
        }""",
        [figure, x, y],
    )
    window.page.mouse.click(*place)


def image(window, figure: str):
    """The numbers of a picture, as the browser has them: rows upwards."""
    rows, columns, values = window.page.evaluate(
        """name => {
            const image = Bokeh.documents[0].get_model_by_name(name).renderers[0].data_source.data.image[0]
            return [image.shape[0], image.shape[1], Array.from(image)]
        }""",
        figure,
    )
    values = [np.nan if value is None else value for value in values]
    return np.array(values, np.float32).reshape(rows, columns)


def ends(window, figure: str) -> tuple[float, float]:
    """The numbers of the first and the last colour."""
    mapper = "renderers.0.glyph.color_mapper"
    return window.model(figure, f"{mapper}.low"), window.model(figure, f"{mapper}.high")


def curve(window, number: int):
    """The numbers through time of a volume, as the browser has them."""
    return np.array(window.page.evaluate(
        "name => Array.from(Bokeh.documents[0].get_model_by_name(name).data.y)", f"curve {number}"
    ))  # fmt: skip


def repainted(window, figure: str, before: str) -> str:
    """What a figure shows as soon as it shows something else."""
    limit = time.monotonic() + 20
    while (now := window.pixels(figure)) == before:
        assert time.monotonic() < limit, f"{figure} stays as it was"
        window.page.wait_for_timeout(50)
    return now


def test_time_channel_slices_and_numbers_of_a_volume(tmp_path, opened):
    stored = volume(shape=(6, 2, 3, 5, 4), channels=["red", "green"])
    data, path = stored[DATA].values, written(tmp_path / "a.zarr", alone=stored)
    with running(page_of(path)) as page:
        window = opened(page)
        window.until(LONG, "curve 0", 6)
        assert np.array_equal(curve(window, 0), data[:, 0, 1, 2, 2])
        assert "z 13 mm, y -4 mm, x 1 mm" in window.model("numbers", "text")
        before = [window.pixels(f"picture {number}") for number in range(3)]
        window.choose("time", value=3)
        window.until(SAYS, "numbers", f">{data[3, 0, 1, 2, 2]}<")
        assert ">6 s<" in window.model("now", "text")
        before = [repainted(window, f"picture {number}", own) for number, own in enumerate(before)]
        window.choose("channel", value="green")
        window.until(SAYS, "numbers", f">{data[3, 1, 1, 2, 2]}<")
        before = [repainted(window, f"picture {number}", own) for number, own in enumerate(before)]
        window.choose("depth", value=2)
        window.until(SAYS, "numbers", f">{data[3, 1, 2, 2, 2]}<")
        assert np.array_equal(image(window, "picture 0"), data[3, 1, 2, ::-1])  # places along y decrease
        assert np.array_equal(image(window, "picture 1"), data[3, 1, :, 2])
        assert np.array_equal(image(window, "picture 2"), data[3, 1, :, ::-1, 2])
        repainted(window, "picture 0", before[0])
        click(window, "picture 0", 1.5, 0.0)  # column 3, row 0
        window.until(SAYS, "numbers", f">{data[3, 1, 2, 0, 3]}<")
        assert "z 16 mm, y 0 mm, x 1.5 mm" in window.model("numbers", "text")
        window.until(BEGINS, "curve 0", float(data[0, 1, 2, 0, 3]))
        assert np.array_equal(curve(window, 0), data[:, 1, 2, 0, 3])
        click(window, "picture 1", 0.5, 10.0)  # the same row, column 1, slice 0
        window.until(SAYS, "numbers", f">{data[3, 1, 0, 0, 1]}<")
        before = window.pixels("picture 0")
        window.choose("play", active=True)
        window.until(SAYS, "now", ">0 s<")  # after the last comes the first
        repainted(window, "picture 0", before)
        window.choose("play", active=False)


def test_two_stores_meet_at_their_times(tmp_path, opened):
    truth, forecast = dated(0, 5, seed=1), dated(2, 5, seed=2)
    paths = [written(tmp_path / f"{name}.zarr", alone=one) for name, one in (("truth", truth), ("forecast", forecast))]
    one, other = (volume[DATA].values[:, :, 0] for volume in (truth, forecast))
    with running(page_of(*paths)) as page:
        window = opened(page)
        window.until(LONG, "curve 1", 5)
        assert ">2000-02-30<" in window.model("now", "text")  # the first that both have, in a calendar of 360 days
        assert "3 of 7 times are in all stores" in window.model("said", "text")
        assert np.array_equal(image(window, "picture 0"), one[2, 0, ::-1])  # north is up: rows of the store run south
        assert np.array_equal(image(window, "picture 1"), other[0, 0, ::-1])
        between = other[0, 0].astype(float) - one[2, 0].astype(float)
        assert np.array_equal(image(window, "picture 2"), np.float32(between[::-1]))
        for number in (one[2, 0, 3, 6], other[0, 0, 3, 6], between[3, 6]):
            assert f">{np.format_float_positional(number, trim='-')}<" in window.model("numbers", "text")
        times = [window.page.evaluate(POSITIONS, f"curve {number}") for number in (0, 1)]
        assert times[0][2:] == times[1][:3]
        window.choose("channel", value="wet")
        click(window, "picture 1", 90.0, 15.0)
        window.until(SAYS, "numbers", ">missing<")
        assert "Grey is where values are missing" in window.model("said", "text")
        assert np.isnan(curve(window, 1)).all()
        window.choose("time", value=0)
        window.until("([name, text]) => Bokeh.documents[0].get_model_by_name(name).title.text.includes(text)",
                     "picture 1", "no frame at this time")  # fmt: skip
        assert window.model("picture 0", "title.text") == "truth"
        assert len(window.page.evaluate(IMAGES, "picture 2")) == 0
        window.choose("time", value=6)
        window.until("([name, text]) => Bokeh.documents[0].get_model_by_name(name).title.text.includes(text)",
                     "picture 2", "truth: no frame at this time")  # fmt: skip
        window.choose("difference", value="0")
        window.choose("less", value="1")
        window.choose("time", value=4)
        window.until(SAYS, "numbers", "truth \N{MINUS SIGN} forecast")
        window.until(SAYS, "now", "2000-03-02")
        assert np.array_equal(
            image(window, "picture 2"), np.float32((one[4, 1].astype(float) - other[2, 1])[::-1]), equal_nan=True
        )


def test_colours_are_linked_hold_and_can_be_given(tmp_path, opened):
    paths = [written(tmp_path / f"{seed}.zarr", alone=dated(0, 4, seed)) for seed in (1, 2)]
    with running(page_of(*paths)) as page:
        window = opened(page)
        window.until("([name]) => Bokeh.documents[0].get_model_by_name(name).value > 20", "to")
        low, high = ends(window, "picture 0")
        assert ends(window, "picture 1") == (low, high)
        assert low < 10
        assert high > 20
        first, last = ends(window, "picture 2")
        assert first == -last  # zero is in the middle
        window.choose("time", value=2)
        window.until(SAYS, "now", "2000-02-30")
        assert ends(window, "picture 0") == (low, high)
        before = window.pixels("picture 0")
        window.choose("from", value=5.0)
        before = repainted(window, "picture 0", before)
        assert ends(window, "picture 0") == ends(window, "picture 1") == (5.0, high)
        window.choose("palette", value="Inferno")
        repainted(window, "picture 0", before)
        window.choose("palette", value="Red and blue")
        window.until("([name, low]) => Bokeh.documents[0].get_model_by_name(name).value == low", "from", -high)
        window.choose("colours", value="difference")
        window.choose("to", value=3.5)
        window.until("([name, low]) => Bokeh.documents[0].get_model_by_name(name).value == low", "from", -3.5)
        assert ends(window, "picture 2") == (-3.5, 3.5)
        assert window.model("picture 2", "right.0.title") == "K"


def test_a_large_frame_is_thinned_until_somebody_looks_closer(tmp_path, opened):
    data = np.arange(2 * 1500 * 3000, dtype=np.int32).reshape(2, 1, 1, 1500, 3000)
    path = written(tmp_path / "a.zarr", chunk=1, alone=xr.Dataset({DATA: (AXES, data)}))
    with running(page_of(path)) as page:
        window = opened(page)
        assert "one row of 3 and one column of 3" in window.model("said", "text")
        shown = window.page.evaluate(
            """places => {
                const image = Bokeh.documents[0].get_model_by_name('picture 0').renderers[0].data_source.data.image[0]
                return [...image.shape, ...places.map(place => image[place])]
            }""",
            [0, 999, 1000, 499_999],
        )
        assert shown == [500, 1000, *map(float, np.float32(data[0, 0, 0, 1::3, 1::3].ravel()[[0, 999, 1000, 499_999]]))]
        assert f">{data[0, 0, 0, 750, 1500]}<" in window.model("numbers", "text")  # exact, though between those drawn
        window.page.evaluate(
            """() => {
                const figure = Bokeh.documents[0].get_model_by_name('picture 0')
                figure.x_range.setv({start: 99.5, end: 199.5})
                figure.y_range.setv({start: 149.5, end: 99.5})
            }"""
        )
        window.until("([name]) => !Bokeh.documents[0].get_model_by_name(name).visible", "said")
        click(window, "picture 0", 123.0, 131.0)
        window.until(SAYS, "numbers", f">{data[0, 0, 0, 131, 123]}<")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.zarr", "wide.zarr"], "bring one onto the grid of the other"),
        (["nowhere.zarr"], "no file or folder"),
        (["a.zarr", "--series", "e1"], "no series 'e1'"),
        (["a.zarr", "--port", "70000"], "65535"),
        ([], "Missing argument 'STORE...'"),
    ],
)
def test_mistakes_end_before_anything_is_served(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workflows.pages.serve.serve", None)
    written(tmp_path / "a.zarr", alone=volume())
    written(tmp_path / "wide.zarr", alone=volume(shape=(6, 1, 2, 5, 9)))
    done = CliRunner().invoke(app, ["view", *arguments])
    assert done.exit_code == 2 or exit_code(done.exception) == 2
    assert message in done.output + str(done.exception)
