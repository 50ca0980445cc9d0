"""The command: help at once, exit codes, one message and no traceback for a user's mistake."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import write_recipe

COMMAND = Path(sys.executable).with_name("chronovox")


def chronovox(*arguments, cwd=None):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd, check=False
    )


def test_help_is_there_at_once():
    """Seconds of the processor: how long it takes beside other tests is theirs."""
    seconds = []
    for _ in range(5):
        before = os.times()
        done = chronovox("--help")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.returncode == 0
        assert "run" in done.stdout
    assert statistics.median(seconds) < 0.7


def test_check_lists_the_stages(tmp_path):
    done = chronovox("check", write_recipe(tmp_path, frames=8))
    assert done.returncode == 0
    assert "forecast: infer from prepared, model" in done.stdout


def test_a_mistake_is_one_line_and_exit_code_2_and_nothing_written(tmp_path):
    recipe = write_recipe(tmp_path, frames=8)
    recipe.write_text(recipe.read_text().replace("window: 24", "windw: 24"))
    before = sorted(tmp_path.rglob("*"))
    done = chronovox("run", recipe, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"chronovox: {recipe}:17: stages.model.windw: unknown key 'windw'; did you mean 'window'?"
    )
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_broken_archive_is_a_mistake_too(tmp_path):
    recipe = write_recipe(tmp_path, frames=8)
    (tmp_path / "a.nc").write_bytes(b"broken")
    done = chronovox("run", recipe, "--executor", "local", cwd=tmp_path)
    assert done.returncode == 2
    assert "a.nc begins with b'broken', which is none of NetCDF" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--workers", "0"], ["--executor", "moon"], ["--executor", "local", "--address", "x"]]
)
def test_wrong_options(tmp_path, arguments):
    done = chronovox("run", write_recipe(tmp_path, frames=8), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_cluster_there(tmp_path):
    recipe = write_recipe(tmp_path, steps=1)
    done = chronovox("run", recipe, "--address", "127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    done = chronovox("run", recipe, "--address", "ray://127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "address of a Ray Client" in done.stderr
