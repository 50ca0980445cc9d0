"""All of it together: lazily, to the same bits however the data were cut, and in a recipe from archive to report."""

import dataclasses
import json
import os
import re
from pathlib import Path

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from cluster import LocalExecutor
from pipeline.archive import Ask, open_archive
from pipeline.dataset import splits_of
from pipeline.grid import natural_boundary
from pipeline.reshape import Reshape, frames, reshaped, told
from pipeline.reshape.tile import Tile
from pipeline.splits import Span
from pipeline.storage import arrays, store
from pipeline.volume import AXES, DATA, InputError
from tests.reshape.volumes import cut, grid, scan
from tests.synthetic import Silent, write_recipe
from workflows.language.load import RecipeError, load
from workflows.run import RunRefused, run

VALUES = np.random.default_rng(0).normal(size=(20, 2, 4, 6, 8)).astype(np.float32)
VALUES[np.random.default_rng(1).random(VALUES.shape) < 0.1] = np.nan
RUN = ("time", np.repeat([0, 1], [12, 8]), {})
OBLIQUE = [[0, 1.8, 0.3, -20], [-2, 0, 0, 5], [0, -0.4, 2.5, 7], [0, 0, 0, 1]]
MANY = {
    "select": {"time": "4:38"},
    "orient": "RAS",
    "crop": {"height": [0, 6]},
    "coarsen": {"height": 2, "depth": 2},
    "regrid": {"spacing": 3.1},
    "resample": {"every": 3, "how": "mean"},
    "tile": {"depth": 1},
}


def asked(**keys):
    """The settings as a recipe gives them."""
    return TypeAdapter(Reshape).validate_json(json.dumps(keys), strict=True)


@settings(max_examples=20, deadline=None)
@given(
    chunks=st.tuples(*(st.sampled_from(sizes) for sizes in ((3, 7, 20), (1, 2), (2, 3, 4), (4, 6), (5, 8)))),
    key=st.sampled_from([*MANY, "all"]),
)
def test_any_cut_of_the_data_gives_the_same_bits(chunks, key):
    wanted = asked(**MANY if key == "all" else {key: MANY[key]})
    volume = scan(VALUES, OBLIQUE, run=RUN)
    whole, pieces = (reshaped({"bold": one}, wanted) for one in (volume, cut(volume, *chunks)))
    assert list(whole) == list(pieces)
    for name, one in whole.items():
        assert np.array_equal(one[DATA].values, pieces[name][DATA].values, equal_nan=True)
        assert one[DATA].dims == AXES


def test_nothing_is_read_before_it_is_needed():
    def read(block):
        del block
        raise AssertionError("read")

    def unread(volume):
        volume = volume.copy()
        volume[DATA] = (AXES, volume[DATA].data.map_blocks(read, meta=np.empty((0,) * 5, np.float32)))
        return volume

    found = reshaped({"bold": unread(scan(VALUES, OBLIQUE, run=RUN))}, asked(**MANY))
    assert [volume.sizes["time"] for volume in found.values()] == [3, 3, 2, 2]
    keys = {"select": {"channel": "c1"}, "orient": "canonical", "regrid": {"latitude": [30, 60, 5]}}
    found = reshaped({"a": unread(grid(VALUES))}, asked(**keys, resample={"every": "5d"}))
    with pytest.raises(AssertionError, match="read"):
        found["a"][DATA].compute()


def test_blocks_stay_small(monkeypatch):
    """Whether many frames become one, or a small frame a large one."""
    monkeypatch.setattr(frames, "TOGETHER_BYTES", 8 * VALUES[0].nbytes)
    for keys in (MANY, {"regrid": {"spacing": 0.5}}, {"resample": {"every": 10}}):
        for volume in reshaped({"bold": scan(VALUES, OBLIQUE)}, asked(**keys)).values():
            largest = np.prod([max(sizes) for sizes in volume[DATA].chunks]) * 4
            assert largest <= max(8 * VALUES[0].nbytes, volume[DATA][0].nbytes)


def test_without_settings_nothing_changes():
    volume = grid(VALUES)
    found = reshaped({"a": volume}, Reshape())
    assert found["a"] is volume
    one = scan(VALUES, OBLIQUE, run=("time", np.zeros(20, int), {}))
    assert reshaped({"a": one}, Reshape())["a"] is one


def test_runs_become_series():
    volume = scan(VALUES, OBLIQUE, run=("time", np.repeat([0, 4], [12, 8]), {}))
    found = reshaped({"bold": volume}, Reshape())
    assert list(found) == ["bold.run1", "bold.run5"]
    assert np.array_equal(found["bold.run5"][DATA].values, VALUES[12:], equal_nan=True)
    assert found["bold.run5"]["time"].values.tolist() == (2.0 * np.arange(12, 20)).tolist()
    assert list(reshaped({"bold": volume}, asked(runs="joined"))) == ["bold"]
    found = reshaped({"bold": volume}, asked(select={"run": 4}, resample={"every": 3}))
    assert list(found) == ["bold"]
    assert told(found) == ["series bold: 2 of 8 frames, from 36.0 to 38.0, in no whole group and left out"]


def test_tiles():
    volume = grid(VALUES, longitude=np.arange(0, 360, 45.0))
    found = reshaped({"a": volume}, asked(tile={"height": 3, "width": 2}, resample={"every": 7}))
    assert list(found) == [f"a.h{row}w{column}" for row in range(2) for column in range(4)]
    assert natural_boundary(volume)[2] == "periodic"
    assert natural_boundary(found["a.h0w0"]) == ("reflect",) * 3
    assert told(found)[0].startswith("series a.h0w0 and 7 more: 6 of 20 frames, from 2001-01-15 ")
    tiles = reshaped({"a": volume}, asked(tile={"height": 3, "width": 2}))
    rows = [np.concatenate([tiles[f"a.h{row}w{n}"][DATA].values for n in range(4)], 4) for row in range(2)]
    assert np.array_equal(np.concatenate(rows, 3), VALUES, equal_nan=True)
    assert tiles["a.h1w3"]["longitude"].values.tolist() == [270, 315]
    both = reshaped({"bold": scan(VALUES, OBLIQUE, run=RUN)}, asked(tile={"depth": 2}))
    assert list(both) == ["bold.run1.d0", "bold.run1.d1", "bold.run2.d0", "bold.run2.d1"]
    assert np.allclose(both["bold.run1.d1"].attrs["affine"] @ np.array([0, 0, 0, 1]), OBLIQUE @ np.array([0, 0, 2, 1]))


def test_refusals_name_the_series():
    with pytest.raises(
        InputError, match=r"series 'a': height has 6 voxels, which tiles of 4 do not divide; crop it to 4"
    ):
        reshaped({"a": grid(VALUES)}, Reshape(tile=Tile(height=4)))
    with pytest.raises(InputError, match="width has 8 voxels, which tiles of 9 do not divide; give tiles of 8 at most"):
        reshaped({"a": grid(VALUES)}, Reshape(tile=Tile(width=9)))
    twice = {"a": scan(VALUES, OBLIQUE, run=RUN), "a.run1": scan(VALUES, OBLIQUE)}
    with pytest.raises(InputError, match=r"two series would be called 'a\.run1'; rename the input 'a'"):
        reshaped(twice, Reshape())
    with pytest.raises(ValueError, match="height of a tile is 0; give at least 1"):
        Tile(height=0)


RESHAPE = """\
    inputs: {a: raw_a, b: raw_b}
    reshape:
      orient: canonical
      crop: {height: [1, 9]}
      coarsen: {height: 2}
      regrid: {longitude: [200, 250, 10]}
      resample: {every: 2}
      tile: {width: 3}
    normalise: {mean: channel}
"""


def recipe_of(tmp_path, reshape=RESHAPE):
    recipe = write_recipe(tmp_path, steps=2, checkpoint_every=2)
    text = recipe.read_text().replace("    inputs: {a: raw_a, b: raw_b}\n", reshape)
    text = text.replace("series: a,", "series: a.w0,").replace("series: b,", "series: b.w1,")
    text = text.replace("window: 24", "window: 12").replace("series: b.w1, chunk", "series: [b.w1, b.w0], chunk")
    recipe.write_text(text)
    return recipe


@pytest.mark.slow
def test_a_recipe_from_archive_to_report(tmp_path):
    folders = run(load(recipe_of(tmp_path)), tmp_path / "runs", LocalExecutor(), Silent())
    assert arrays.groups(folders["prepared"] / "prepared.zarr") == ["a.w0", "a.w1", "b.w0", "b.w1"]
    assert splits_of(folders["prepared"])["test"] == [Span("b.w1", 15, 50)]
    prediction = store.open_volume(folders["forecast"] / "prediction.zarr", "b.w1")
    assert dict(prediction.sizes) == {"time": 65, "channel": 1, "depth": 1, "height": 4, "width": 3}
    assert prediction["longitude"].values.tolist() == [230, 240, 250]
    assert (folders["report"] / "section.html").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{height: 2}", "{hieght: 2}", r"coarsen\.hieght: unknown key 'hieght'; did you mean 'height'\?"),
        ("tile:", "tiles:", r"reshape\.tiles: unknown key 'tiles'; did you mean 'tile'\?"),
        ("canonical", "up", r"reshape.orient: orient is 'up'; give 'canonical', or one each of L/R"),
        ("[1, 9]", "[1, 9, 2]", r"reshape\.crop\.height: "),
        ("every: 2", "every: 2.5", r"reshape\.resample\.every: "),
        ("[b.w1, b.w0]", "c.w1", r"forecast\.series: no series 'c\.w1'; known are a, b"),
    ],
)
def test_mistakes_in_recipes_are_explained(tmp_path, old, new, message):
    recipe = recipe_of(tmp_path)
    recipe.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load(recipe)


def test_a_tile_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    recipe = recipe_of(tmp_path)
    recipe.write_text(recipe.read_text().replace("series: b.w1, first", "series: b.w2, first"))
    with pytest.raises(
        (RunRefused, InputError), match=r"split names series 'b\.w2'; the series are a\.w0, a\.w1, b\.w0"
    ):
        run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())
    assert not list((tmp_path / "runs").glob("*/prepared-*/prepared.zarr*"))


def of_the_readme():
    """The settings that the README shows."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL) if "reshape:" in found)
    return asked(**YAML(typ="safe").load(block)["prepared"]["reshape"])


def test_the_readme_s_settings_are_read():
    assert {field.name for field in dataclasses.fields(Reshape)} - {"runs"} == {
        name for name, value in vars(of_the_readme()).items() if value not in (None, {}, "apart")
    }


@pytest.mark.skipif(not os.environ.get("CHRONOVOX_DATA"), reason="CHRONOVOX_DATA names no folder of real files")
def test_real_archives():
    folder = Path(os.environ["CHRONOVOX_DATA"])
    winds = open_archive([folder / "climate" / "monthly_navy_winds.cdf"], Ask(("UWND", "VWND")))
    keys = {"regrid": {"latitude": [-88.75, 88.75, 2.5], "longitude": [-178.75, 178.75, 2.5]}, "coarsen": {"width": 2}}
    found = reshaped({"winds": winds}, asked(**keys, resample={"every": "year"}))["winds"]
    assert found[DATA].shape == (11, 2, 1, 72, 144)
    assert natural_boundary(found) == ("reflect", "reflect", "periodic")
    year = winds[DATA].values[:12].astype(np.float64).mean(0)[:, 0]
    west = found["longitude"].values.tolist().index(23.75)  # in the middle of 21.25 and 26.25
    pairs = year.reshape(2, 73, 72, 2).mean(3)
    rows = (pairs[:, 1:] + pairs[:, :-1]) / 2
    np.testing.assert_allclose(found[DATA].values[0, :, 0, :, west], rows[:, :, :2].mean(2), atol=1e-5)
    shown = reshaped({"winds": winds}, of_the_readme())
    assert {name: volume[DATA].shape for name, volume in shown.items()} == {
        f"winds.w{n}": (8, 1, 1, 36, 36) for n in range(2)
    }
    assert np.isfinite(shown["winds.w1"][DATA].values).all()
    runs = open_archive(sorted((folder / "fmri" / "haxby25").glob("run*.nii.gz")), Ask())
    series = reshaped({"bold": runs}, asked(orient="RAS", resample={"every": "5s"}))
    assert list(series) == [f"bold.run{n}" for n in range(1, 13)]
    assert all(volume.sizes["time"] == 60 and volume.attrs["orientation"] == "RAS" for volume in series.values())
    means = [float(volume[DATA].mean()) for volume in series.values()]
    assert means[:2] == pytest.approx([312.9, 310.0], abs=0.3)


def test_lazy_numpy_backed_volumes_are_taken_too():
    plain = grid(VALUES).load()
    found = reshaped({"a": plain}, asked(coarsen={"width": 2}))["a"]
    assert isinstance(found[DATA].data, dask.array.Array)
    assert np.array_equal(
        found[DATA].values, reshaped({"a": grid(VALUES)}, asked(coarsen={"width": 2}))["a"][DATA].values, equal_nan=True
    )
