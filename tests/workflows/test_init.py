"""The command `init`: recipes of synthetic files run as they are; what it refuses; what it reads of a giant."""

import json
import os
from pathlib import Path

import av
import dask.array
import nibabel
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from cluster import LocalExecutor
from pipeline.archive import Ask
from pipeline.archive.assemble import assemble, lazily
from pipeline.volume import InputError
from tests.synthetic import Silent
from workflows.cli import app, exit_code
from workflows.init.asking import are_echoes
from workflows.init.looking import look
from workflows.init.sample import READ_BYTES, sampled
from workflows.language.load import load
from workflows.run import run


def init(*arguments):
    done = CliRunner().invoke(app, ["init", *map(str, arguments)])
    code = done.exit_code if done.exception is None else exit_code(done.exception)
    return code, done.output + str(done.exception or "")


def monthly(path, years=8, seed=0):
    """Two winds, with seasons, land and a longitude that closes."""
    draw, frames = np.random.default_rng(seed), 12 * years
    season = 5 * np.cos(2 * np.pi * np.arange(frames) / 12)[:, None, None]
    data = {}
    for name in "uv":
        values = np.float32(season + draw.standard_normal((frames, 5, 8)))
        values[:, 0, :2] = np.nan
        data[name] = (("time", "lat", "lon"), values, {"units": "m/s"})
    times = xr.date_range("1990-01-01", periods=frames, freq="MS", calendar="standard", use_cftime=True)
    lat = ("lat", np.linspace(-60, 60, 5), {"units": "degrees_north"})
    lon = ("lon", np.arange(8) * 45.0, {"units": "degrees_east"})
    xr.Dataset(data, {"time": times, "lat": lat, "lon": lon}).to_netcdf(path)
    return [path]


def scans(folder, runs=3, frames=13):
    """Runs of a scan whose baselines differ."""
    paths = []
    for number in range(runs):
        draw = np.random.default_rng(number)
        values = (300 + 10 * number + 20 * draw.standard_normal((6, 5, 4, frames))).astype(np.int16)
        image = nibabel.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2.0
        paths.append(folder / f"run-{number + 1}.nii.gz")
        image.to_filename(paths[-1])
    return paths


def movie(path, frames=48):
    """A bright square that walks over noise, without loss; the first frames stand still."""
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 60, (frames, 18, 24, 3), np.uint8)
    for number in range(frames):
        pictures[number, 4:10, number % 18 : number % 18 + 6] = 200
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 18, 24, "bgr0"
        for values in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        container.mux(stream.encode(None))
    return [path]


def run_as_it_is(recipe, *changes):
    """Runs a recipe in this process; its folders, and its scores."""
    folders = run(load(recipe, changes), recipe.parent / "runs", LocalExecutor(), Silent())
    assert (folders["report"] / "section.html").stat().st_size > 10_000
    scores = json.loads((folders["scores"] / "scores.json").read_text())
    assert np.isfinite(scores["model.mse"])
    return folders, scores


@pytest.mark.parametrize(
    "kind", ["climate", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("medical", "video", "few"))]
)
def test_a_recipe_runs_as_it_is(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make = {
        "climate": lambda: monthly(tmp_path / "winds.nc", 7),
        "medical": lambda: scans(tmp_path),
        "video": lambda: movie(tmp_path / "walk.mkv"),
        "few": lambda: scans(tmp_path, runs=1, frames=5),
    }
    files = make[kind]()
    word = "medical" if kind == "few" else kind
    code, said = init(word, *files, "--name", "mine")
    assert (code, said.count("chronovox check recipe.yaml")) == (0, 1), said
    recipe = tmp_path / "recipe.yaml"
    text = recipe.read_text()
    assert f"source: {files[0].name}" in text or f"- {files[0].name}" in text  # beneath the recipe: not the whole path
    assert CliRunner().invoke(app, ["check", str(recipe)]).exit_code == 0
    few = ["model.steps=2", "model.threads=1"]
    if "  ahead:" in text:
        few += ["ahead.every=6", "ahead.horizon=2"]
    folders, scores = run_as_it_is(recipe, *few)
    if kind == "climate":
        assert "anomalies: month" in text
        assert "missing: mask" in text
        assert (
            "periodic"
            in xr.open_zarr(folders["prepared"] / "prepared.zarr", group="field", consolidated=False).boundary
        )
        assert scores["model.mse"] < scores["persistence.mse"]
    if kind == "few":
        assert "task: denoise" in text
        assert "gaussian.mse" in scores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pattern", "expected"),
    [
        ("climate", "climate/monthly_navy_winds.cdf", "variable: [UWND, VWND]"),
        ("climate", "climate/[AE]*_north_america.nc", "first: 2057"),
        ("climate", "climate/dt_med_allsat_phy_l4_2005T2.nc", "missing: mask"),
        ("climate", "climate/air_temperature_small.nc", 'last: "2014-02-27T00:00:00"'),
        ("medical", "fmri/haxby25/run*.nii.gz", "test: {series: scan.run12}"),
        ("medical", "fmri/fmri1.nii.gz", "reads: levels"),
        ("medical", "fmri/tedana/echo*.nii.gz", "channels: files"),
        ("video", "video/carphone_pristine.mp4", "score: {peak: 255.0}"),
    ],
)
def test_real_files(kind, pattern, expected, tmp_path):
    data = os.environ.get("CHRONOVOX_DATA")
    if not data:
        pytest.skip("CHRONOVOX_DATA names no folder with the bigger real files")
    recipe = tmp_path / "recipe.yaml"
    code, said = init(kind, *sorted(Path(data).glob(pattern)), "--output", recipe)
    assert code == 0, said
    assert expected in recipe.read_text()
    _, scores = run_as_it_is(recipe, "model.steps=3", "model.validate_every=3", "model.threads=1")
    if "denoise" not in recipe.read_text():
        assert scores["model.mse"] < scores["persistence.mse"]


def test_refusals(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (film,), (wind,) = movie(tmp_path / "walk.mkv", 9), monthly(tmp_path / "winds.nc", 1)
    scan, *_ = scans(tmp_path, 1)
    for arguments, message in (
        (["climate", film], "is video, and a climate recipe is for fields on a grid"),
        (["video", scan], "say `chronovox init medical`"),
        (["medical", wind], "say `chronovox init climate`"),
        (["video", tmp_path / "nowhere.mp4"], "no file or folder"),
        (["video", film, "--name", "a/b"], "is no name for a run"),
        (["video", film, "--output", tmp_path / "no" / "recipe.yaml"], "there is no folder"),
    ):
        code, said = init(*arguments)
        assert (code, message in said) == (2, True), said
    assert not (tmp_path / "recipe.yaml").exists()
    (tmp_path / "recipe.yaml").write_text("mine")
    code, said = init("video", film)
    assert (code, "is there already" in said, (tmp_path / "recipe.yaml").read_text()) == (2, True, "mine")


def test_variables_are_taken_together_or_listed(tmp_path):
    (path,) = monthly(tmp_path / "winds.nc", 1)
    facts = look([str(path)], "climate", Ask(), tmp_path)
    assert facts.ask.variables == facts.channels == ("u", "v")
    two = xr.open_dataset(path).load()
    two["p"] = (("time", "lat", "lon"), two["u"].values, {"units": "hPa", "long_name": "pressure"})
    two.to_netcdf(tmp_path / "three.nc")
    with pytest.raises(InputError, match=r"(?s)3 variables .* --variable u:.*p \(time 12, lat 5, lon 8\) hPa pressure"):
        look([str(tmp_path / "three.nc")], "climate", Ask(), tmp_path)
    facts = look([str(tmp_path / "three.nc")], "climate", Ask(("p",)), tmp_path)
    assert (facts.channels, facts.others) == (("p",), ("u", "v"))


def test_files_of_the_same_times_are_series_of_their_own(tmp_path):
    for name, seed in (("one", 1), ("two", 2)):
        monthly(tmp_path / f"{name}.nc", 2, seed)
    facts = look([str(tmp_path / f"{name}.nc") for name in ("one", "two")], "climate", Ask(), tmp_path)
    assert [(series.name, series.frames) for series in facts.series] == [("one", 24), ("two", 24)]


def test_echoes_by_their_names():
    assert are_echoes([Path("sub_echo-1_bold.nii"), Path("sub_echo-2_bold.nii")])
    assert not are_echoes([Path("run-1_echo-2.nii"), Path("run-2_echo-2.nii")])
    assert not are_echoes([Path("run1.nii"), Path("run2.nii")])
    with pytest.raises(InputError, match="4 files are the echoes of 2 recordings"):
        are_echoes([Path(f"run-{run}_echo-{echo}.nii") for run in (1, 2) for echo in (1, 2)])


def volume(data, **coordinates):
    return assemble(data, channels=[str(n) for n in range(data.shape[1])], coordinates=coordinates, attributes={})


def test_a_sample_is_what_plain_arithmetic_says():
    """All of a small archive, against float64: only what is learned from counts, and no step over a border of runs."""
    values = np.random.default_rng(0).normal(3, 2, (30, 2, 1, 4, 5)).astype(np.float32)
    values[:, :, :, 0, 0] = 7.0
    values[4, 0, 0, 1, 1] = np.nan
    values[29] = values[2]
    found = sampled(volume(values), (5,) * 6)
    mine = values[:10].astype(np.float64)  # a third of the runs, two
    expected = np.nanmean((mine - np.nanmean(mine, axis=0)) ** 2)
    assert found.spread == pytest.approx(expected, rel=1e-5)
    steps = np.concatenate([np.diff(mine[:5], axis=0), np.diff(mine[5:], axis=0)])
    assert found.step == pytest.approx(np.nanmean(steps**2), rel=1e-5)
    assert found.still == 1 / 20
    assert (found.whole, found.frames, found.moves) == (True, 30, True)
    assert found.missing == pytest.approx(1 / values.size)
    assert found.alike == (*range(29), 2)
    together = sampled(volume(values[:20]), (20,))
    assert together.step == pytest.approx(np.nanmean(np.diff(values[:12].astype(np.float64), axis=0) ** 2), rel=1e-5)


def test_of_a_giant_little_is_read():
    """A hundred thousand frames of 2 MB, in blocks of 16 MB; and frames of 200 MB, stored in pieces of fifty."""
    read = []

    def frames(start, stop):
        read.append((start, stop))
        return np.broadcast_to(np.float32(start), (stop - start, 1, 1, 512, 1024))

    giant = lazily(frames, (100_000, 1, 1, 512, 1024), np.float32, 8)
    found = sampled(volume(giant), (giant.shape[0],))
    assert not found.whole
    assert sum(stop - start for start, stop in read) * 2 * 2**20 <= READ_BYTES
    pieces = []

    def piece(block_info=None):
        pieces.append(block_info[None]["chunk-shape"])
        return np.zeros(block_info[None]["chunk-shape"], np.float32)

    chunks = ((50,) * 4, (1,), (8,) * 64, (128,) * 2, (128,) * 3)
    wide = dask.array.map_blocks(piece, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 5, np.float32))
    sampled(volume(wide), (200,))
    assert 0 < 4 * sum(map(np.prod, pieces)) <= READ_BYTES
