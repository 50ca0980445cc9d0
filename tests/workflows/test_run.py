"""Runs: fingerprints, skipping, continuing, and what a failure leaves behind."""

import json
from shutil import copytree

import pytest
from filelock import FileLock

from cluster import LocalExecutor
from pipeline.volume import InputError
from tests.synthetic import Silent, blobs, write_recipe
from workflows.events import Skipped, Started
from workflows.language.load import load
from workflows.plan import plan
from workflows.run import RunRefused, run

ALL = ["raw_a", "raw_b", "prepared", "model", "forecast", "scores", "report"]


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path, steps=2)


def prints(recipe, *changes):
    return {p.stage.name: p.fingerprint for p in plan(load(recipe, changes), recipe.parent)}


def test_one_key_changes_exactly_the_fingerprints_downstream(recipe):
    before = prints(recipe)
    cases = {
        "report.title=Other": {"report"},
        "forecast.chunk=5": {"forecast", "scores", "report"},
        "model.seed=1": {"model", "forecast", "scores", "report"},
        "raw_b.chunk=9": set(ALL) - {"raw_a"},
    }
    for change, expected in cases.items():
        after = prints(recipe, change)
        assert {name for name in ALL if before[name] != after[name]} == expected, change


def test_an_archive_counts_by_content_not_by_place_or_date(recipe, tmp_path):
    before = prints(recipe)
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.nc", "b.nc", recipe.name):
        (tmp_path / "elsewhere" / name).write_bytes((tmp_path / name).read_bytes())
    assert prints(tmp_path / "elsewhere" / recipe.name) == before
    blobs(130, 3).to_netcdf(tmp_path / "b.nc")
    changed = prints(recipe)
    assert {name for name in ALL if before[name] != changed[name]} == set(ALL) - {"raw_a"}


def test_finished_stages_are_skipped_and_changed_ones_get_new_folders(finished_run, tmp_path):
    copytree(finished_run["report"].parents[2], tmp_path, dirs_exist_ok=True)
    recipe, runs, again, changing = tmp_path / "blobs.yaml", tmp_path / "runs", Silent(), Silent()
    assert list(finished_run) == ALL
    folders = run(load(recipe), runs, LocalExecutor(), again)
    assert {name: path.name for name, path in folders.items()} == {name: p.name for name, p in finished_run.items()}
    assert again.names(Skipped) == ALL
    assert again.names(Started) == []
    changed = run(load(recipe, ["forecast.chunk=16"]), runs, LocalExecutor(), changing)
    assert changing.names(Started) == ["forecast", "scores", "report"]
    assert folders["forecast"].exists()
    assert changed["forecast"].exists()
    manifest = json.loads((changed["forecast"] / "manifest.json").read_text())
    assert manifest["inputs"] == {"prepared": folders["prepared"].name, "model": folders["model"].name}
    assert manifest["settings"]["chunk"] == 16


def test_a_failed_ingest_leaves_nothing(recipe, tmp_path):
    (tmp_path / "b.nc").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"b\.nc begins with b'broken', which is none of NetCDF"):
        run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())
    left = {path.name.split("-")[0] for path in (tmp_path / "runs" / "blobs").iterdir()}
    assert left == {".lock", "events.jsonl", "recipe.yaml", "report.html", "raw_a"}


@pytest.mark.slow
def test_half_made_folders_of_a_killed_run_are_made_anew(recipe, tmp_path):
    planned = plan(load(recipe), tmp_path / "runs" / "blobs")
    half = next(stage.folder for stage in planned if not stage.stage.kind.resumes)
    half.mkdir(parents=True)
    (half / "rubbish").write_text("half")
    run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())
    assert half.exists()
    assert not (half / "rubbish").exists()


def test_a_second_run_is_refused_while_one_works(recipe, tmp_path):
    (tmp_path / "runs" / "blobs").mkdir(parents=True)
    with (
        FileLock(tmp_path / "runs" / "blobs" / ".lock"),
        pytest.raises(RunRefused, match=r"another process runs .*blobs; wait for it"),
    ):
        run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())


def test_a_folder_that_cannot_be_made(recipe, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunRefused, match=r"runs.blobs cannot be made: Not a directory; choose another folder"):
        run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())
