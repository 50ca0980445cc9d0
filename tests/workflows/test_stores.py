"""Commands that look after stores: what was damaged is told and made again to the bit; more frames; other chunks."""

import json
import os
import shutil

import pytest
import xarray as xr
from filelock import FileLock
from typer.testing import CliRunner

from pipeline.storage import store
from tests.synthetic import blobs
from workflows import cli

PLACE = "{}.zarr/data/c/{}/0/0/0/0"


@pytest.fixture
def chronovox(tmp_path, monkeypatch):
    """Calls the command line as its users do: exit code, what it said."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        if done.exception is None or isinstance(done.exception, SystemExit):
            return done.exit_code, done.output
        assert cli.exit_code(done.exception) == 2, done.exception
        return 2, str(done.exception)

    return call


@pytest.fixture
def stored(tmp_path, chronovox):
    """A store of 20 frames in 3 shards, and its files."""
    blobs(20, 0).to_netcdf(tmp_path / "a.nc")
    assert chronovox("ingest", "a.nc", "v.zarr", "--chunk", 4, "--shard", 8)[0] == 0
    return files(tmp_path / "v.zarr")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def volume(path):
    return store.open_volume(path).load()


@pytest.mark.usefixtures("stored")
def test_a_whole_store_is_told_to_be_whole(chronovox):
    code, said = chronovox("verify", "v.zarr")
    assert code == 0
    assert "files, all as they were written" in said
    assert chronovox("repair", "v.zarr") == (0, "v.zarr: nothing is damaged\n")


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("data/c/1/0/0/0/0", "missing", "missing: v.zarr/data/c/1/0/0/0/0, frames 8 to 15"),
        ("data/c/2/0/0/0/0", "torn", "torn: v.zarr/data/c/2/0/0/0/0, frames 16 to 19; 100 bytes, written were"),
        ("data/c/0/0/0/0/0", "altered", "altered: v.zarr/data/c/0/0/0/0/0, frames 0 to 7; its checksum is"),
        ("time/c/0", "missing", "missing: v.zarr/time/c/0"),
        ("latitude/c/0", "altered", "altered: v.zarr/latitude/c/0"),
        ("data/zarr.json", "attribute", "altered: v.zarr/data/zarr.json"),
        ("data/manifest/shard-1-0-0-0-0.json", "missing", "not written: v.zarr/data/c/1/0/0/0/0, frames 8 to 15"),
    ],
)
def test_damage_is_told_and_mended_to_the_bit(file, damage, said, chronovox, stored, tmp_path):
    path = tmp_path / "v.zarr" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = content[:30] + bytes([content[30] ^ 1]) + content[31:]
        changed = {"torn": content[:100], "altered": flipped, "attribute": content.replace(b'"K"', b'"C"')}[damage]
        assert changed != content
        path.write_bytes(changed)
    code, told = chronovox("verify", "v.zarr")
    assert code == 1
    assert said in told
    assert "1 of " in told
    assert chronovox("repair", "v.zarr")[0] == 0
    assert chronovox("verify", "v.zarr")[0] == 0
    mended = files(tmp_path / "v.zarr")
    assert {k: v for k, v in mended.items() if "manifest" not in k} == {
        k: v for k, v in stored.items() if "manifest" not in k
    }
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "v.zarr"}


@pytest.mark.usefixtures("stored")
def test_a_source_that_changed_mends_nothing(chronovox, tmp_path):
    (tmp_path / PLACE.format("v", 1)).unlink()
    blobs(20, 1).to_netcdf(tmp_path / "a.nc")
    before = files(tmp_path / "v.zarr")
    code, said = chronovox("repair", "v.zarr")
    assert code == 2
    assert "a.nc was changed since it was read" in said
    os.remove(tmp_path / "a.nc")
    assert "a.nc is not there any more" in chronovox("repair", "v.zarr")[1]
    assert files(tmp_path / "v.zarr") == before


def test_what_has_no_manifest_is_refused(chronovox, tmp_path):
    blobs(3, 0).to_zarr(tmp_path / "o.zarr", consolidated=False, zarr_format=3)
    assert "o.zarr has no manifest" in chronovox("verify", "o.zarr")[1]
    assert "none.zarr is no Zarr store of format 3" in chronovox("verify", "none.zarr")[1]
    assert chronovox("rechunk", "none.zarr", "b.zarr")[0] == 2


@pytest.mark.usefixtures("stored")
def test_a_missing_chunk_of_a_scan_is_not_taken_for_fill_value(chronovox, tmp_path):
    given = ("scan", "v.zarr", "s.zarr", "--decay", 0.1, "--executor", "local", "--chunk", 4)
    assert chronovox(*given)[0] == 0
    assert chronovox("verify", "s.zarr")[0] == 0
    lost = sorted(path for path in (tmp_path / "s.zarr" / "data" / "c").rglob("*") if path.is_file())[1]
    lost.unlink()
    code, said = chronovox("verify", "s.zarr")
    assert code == 1
    assert "missing: s.zarr/data/c/1/0/0/0/0, frames 4 to 7" in said


@pytest.mark.usefixtures("stored")
def test_frames_that_arrive_are_added(chronovox, tmp_path):
    whole = blobs(31, 0)
    whole.isel(time=slice(20, 31)).to_netcdf(tmp_path / "b.nc")
    inodes = {k: (tmp_path / PLACE.format("v", k)).stat().st_ino for k in (0, 1, 2)}
    code, said = chronovox("ingest", "b.nc", "v.zarr", "--append", "--chunk", 4, "--shard", 8)
    assert code == 0, said
    assert "v.zarr: time 31" in said
    assert {k: (tmp_path / PLACE.format("v", k)).stat().st_ino for k in (0, 1)} == {k: inodes[k] for k in (0, 1)}
    whole.to_netcdf(tmp_path / "all.nc")
    assert chronovox("ingest", "all.nc", "w.zarr", "--chunk", 4, "--shard", 8)[0] == 0
    xr.testing.assert_identical(volume(tmp_path / "v.zarr"), volume(tmp_path / "w.zarr"))
    (tmp_path / PLACE.format("v", 3)).unlink()
    (tmp_path / PLACE.format("v", 1)).unlink()
    assert chronovox("repair", "v.zarr")[0] == 0
    assert chronovox("verify", "v.zarr")[0] == 0


@pytest.mark.usefixtures("stored")
def test_frames_that_do_not_follow_are_not_added(chronovox, tmp_path):
    before = files(tmp_path / "v.zarr")
    whole = blobs(31, 0)
    cases = (
        (whole.isel(time=slice(15, 31)), "give only frames that come later"),
        (whole.isel(time=slice(20, 31), lat=slice(1, None)), "has frames of the shape"),
        (whole.isel(time=slice(20, 31)).assign_coords(lat=whole["lat"] + 1.0), "lie at different places"),
        (whole.isel(time=slice(20, 31)).rename(warmth="other"), "has channels"),
    )
    for number, (data, message) in enumerate(cases):
        name = f"more-{number}.nc"
        data.to_netcdf(tmp_path / name)
        code, said = chronovox("ingest", name, "v.zarr", "--append")
        assert code == 2
        assert message in said
    assert "no store that `chronovox ingest` made" in chronovox("ingest", "a.nc", "no.zarr", "--append")[1]
    assert files(tmp_path / "v.zarr") == before


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    "options",
    [("--chunk", 5), ("--chunk", "time=20,height=3,width=4", "--compressor", "zstd:3"), ("--compressor", "none")],
)
def test_a_store_cut_anew_holds_the_same(options, chronovox, tmp_path):
    assert chronovox("rechunk", "v.zarr", "r.zarr", *options)[0] == 0
    xr.testing.assert_identical(volume(tmp_path / "v.zarr"), volume(tmp_path / "r.zarr"))
    assert chronovox("verify", "r.zarr")[0] == 0
    lost = next(path for path in sorted((tmp_path / "r.zarr/data/c").rglob("*")) if path.is_file())
    lost.unlink()
    assert chronovox("repair", "r.zarr")[0] == 0
    xr.testing.assert_identical(volume(tmp_path / "v.zarr"), volume(tmp_path / "r.zarr"))
    chunk = json.loads((tmp_path / "r.zarr/data/zarr.json").read_text())["chunk_grid"]["configuration"]["chunk_shape"]
    assert options[0] != "--chunk" or chunk[0] in (5, 20)
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "v.zarr", "r.zarr"}


@pytest.mark.usefixtures("stored")
def test_mistakes_are_told_before_anything_is_written(chronovox, tmp_path):
    for given, message in (
        (("rechunk", "v.zarr", "v.zarr"), "is there already"),
        (("rechunk", "v.zarr", "r.zarr", "--chunk", "lat=3"), "no axis 'lat' to be cut"),
        (("rechunk", "v.zarr", "r.zarr", "--compressor", "zst"), "no compressor 'zst'; did you mean 'zstd'"),
        (("rechunk", "v.zarr", "r.zarr", "--chunk", 3, "--shard", 8), "shards of 8 along time hold no whole chunks"),
        (("rechunk", "v.zarr", "r.zarr", "--memory", "10MB"), "allow more with --memory"),
        (("rechunk", "v.zarr", "r.zarr", "--chunk", "3x"), "give frames, as in 64"),
    ):
        code, said = chronovox(*given)
        assert code == 2
        assert message in " ".join(said.replace("│", " ").split())
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "v.zarr"}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_scan_is_repaired_from_the_carries_that_it_kept(damage, chronovox, tmp_path):
    given = ("scan", "v.zarr", "s.zarr", "--decay", 0.1, "--executor", "local", "--chunk", 4)
    assert chronovox(*given, "--diffusivity", 0.2)[0] == 0
    before = files(tmp_path / "s.zarr")
    lost = tmp_path / PLACE.format("s", 3)
    lost.unlink() if damage == "missing" else lost.write_bytes(lost.read_bytes()[::-1])
    assert chronovox("verify", "s.zarr")[0] == 1
    code, said = chronovox("repair", "s.zarr")
    assert code == 0, said
    assert files(tmp_path / "s.zarr") == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "v.zarr", "s.zarr"}


@pytest.mark.usefixtures("stored")
def test_two_scans_do_not_make_the_same_store(chronovox, tmp_path):
    given = ("scan", "v.zarr", "s.zarr", "--decay", 0.1, "--executor", "local")
    with FileLock(tmp_path / "s.zarr.part.lock"):
        code, said = chronovox(*given)
        assert code == 2
        assert "another process makes" in said
    assert chronovox(*given)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "v.zarr", "s.zarr"}


def test_a_prepared_store_is_made_again_from_what_it_was_prepared_of(finished_run, chronovox, tmp_path):
    shutil.copytree(finished_run["prepared"] / "prepared.zarr", tmp_path / "p.zarr")
    before = files(tmp_path / "p.zarr")
    lost = tmp_path / "p.zarr" / "b" / "data" / "c" / "0" / "0" / "0" / "0" / "0"
    lost.unlink()
    assert "missing: p.zarr/b/data/c/0/0/0/0/0, frames 0 to" in chronovox("verify", "p.zarr")[1]
    code, said = chronovox("repair", "p.zarr")
    assert code == 0, said
    assert files(tmp_path / "p.zarr") == before


def test_a_prediction_tells_how_it_is_made_again(finished_run, chronovox, tmp_path):
    shutil.copytree(finished_run["forecast"] / "prediction.zarr", tmp_path / "prediction.zarr")
    assert chronovox("verify", "prediction.zarr")[0] == 0
    next((tmp_path / "prediction.zarr/data/c/0").rglob("0/0/0/0")).unlink()
    code, said = chronovox("repair", "prediction.zarr")
    assert code == 2
    assert "chronovox run RECIPE --from A --to B" in said
