"""Runs as jobs of a cluster that `chronovox cluster up` started: the same bits, found by name, ended, continued."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cluster.authentication import MODE, PATH, VALUE
from tests.end_to_end.test_kill import results
from tests.synthetic import write_recipe
from workflows.commands import jobs as commands
from workflows.commands import packing
from workflows.language.dump import dump
from workflows.language.load import RecipeError, load
from workflows.language.settings import elsewhere

COMMAND = Path(sys.executable).with_name("chronovox")
PATIENCE = 300.0


def test_what_travels_with_a_run(tmp_path, monkeypatch):
    other = tmp_path / "other"
    for name in ("__init__.py", "kept.txt", "__pycache__/left.pyc", ".left/left.py"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packing, "PACKAGES", (*packing.PACKAGES, "other"))
    recipe, folder = write_recipe(tmp_path, frames=8), tmp_path / "packed"
    folder.mkdir()
    inside = packing.pack(load(recipe), folder)
    assert load(folder / inside) == load(recipe)
    top = {"ssm_ops", "pipeline", "cluster", "workflows", "other", "blobs.yaml"}
    assert {path.name for path in folder.iterdir()} == top
    assert {path.name for path in (folder / "other").rglob("*")} == {"__init__.py", "kept.txt"}
    code = "import workflows.cli, pipeline; print(workflows.__path__[0], pipeline.__path__[0])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    seen = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert seen.stdout.split() == [str(folder / "workflows"), str(folder / "pipeline")]
    assert (folder / "workflows/recipes/climate_forecast.yaml").exists()
    assert (folder / "pipeline/templates/page.html.j2").exists()


def test_files_of_a_recipe_that_are_elsewhere(tmp_path):
    recipe = write_recipe(tmp_path, frames=8)
    (tmp_path / "a.nc").unlink()
    recipe.write_text(recipe.read_text().replace("b.nc", "package://somewhere/b.nc"))
    with elsewhere():
        workflow = load(recipe, ["model.steps=7"])
    sources = [workflow.stages[name].settings.source for name in ("raw_a", "raw_b")]
    assert sources == [str(tmp_path / "a.nc"), "package://somewhere/b.nc"]
    again = tmp_path / "again.yaml"
    again.write_text(dump(workflow))
    with elsewhere():
        assert load(again) == workflow
    with pytest.raises(RecipeError, match="raw_a.source: .*no file or folder"):
        load(again)


def test_what_a_run_said_is_told_from_what_ray_says():
    log = ["2026 INFO setting up", "Running entrypoint for job x: exec python -m workflows.cli", "", "raw: started"]
    assert commands._own_lines(log) == ["raw: started"]
    assert commands._own_lines(log[:1]) == []


class Cluster:
    """`chronovox cluster up` in a process of its own, for a user without a token of his own."""

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {name: value for name, value in os.environ.items() if name not in (MODE, VALUE, PATH)}
        self.environment |= {"HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        self.said = folder / "up.txt"
        with self.said.open("w") as file:
            self.process = subprocess.Popen(
                [COMMAND, "cluster", "up", "--cpus", "3"], stdout=file, stderr=file, env=self.environment
            )
        deadline = time.monotonic() + PATIENCE
        while "run RECIPE" not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            if time.monotonic() > deadline:
                self.end()
                raise TimeoutError
            time.sleep(0.1)
        words = self.said.read_text().split()
        (self.token,) = (Path(word.split("=")[1]) for word in words if word.startswith(PATH))
        self.url, self.address = (words[at + 1] for at, word in enumerate(words) if word == "--address")
        self.environment |= {MODE: "token", PATH: str(self.token)}

    def __call__(self, *arguments, code=0, **variables):
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert self.token.read_text() not in done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def jobs(self, command, *arguments, **more):
        return self(command, *arguments, "--address", self.url, **more)

    def end(self):
        """Returns the processes that lived before."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.said.read_text()
        return below


@contextmanager
def started(folder):
    """A cluster, which is ended in any case."""
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        if cluster.process.poll() is None:
            cluster.end()


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with started(tmp_path_factory.mktemp("up")) as cluster:
        yield cluster


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_here_on_a_cluster_and_as_a_job_are_the_same_bits(up):
    recipe = write_recipe(up.folder)
    up("run", recipe, "--executor", "local", "--runs", "local")
    up("run", recipe, "--address", up.address, "--runs", "joined", "--workers", "2")
    said = up.jobs("submit", recipe.name, "--runs", "submitted", "--workers", "2")
    assert f"blobs: running, in {up.folder}/submitted/blobs on the cluster" in said
    log = up.jobs("logs", "blobs", "--follow")
    assert "exec python -m workflows.cli run blobs.yaml" in log
    assert "report: done in" in log
    (job,) = (one for one in json.loads(up.jobs("list", "--json")) if one["run"] == "blobs")
    assert (job["state"], job["exit_code"], job["folder"]) == ("succeeded", 0, f"{up.folder}/submitted/blobs")
    here, joined, submitted = (results(up.folder / runs / "blobs") for runs in ("local", "joined", "submitted"))
    assert here == joined == submitted


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", [[], ["--now"]])
def test_a_job_is_ended_by_name_and_goes_on(up, how):
    name = "now" if how else "safe"
    recipe = write_recipe(up.folder)
    long = ["--name", name, "--set", "model.steps=100000", "--workers", "2"]
    up.jobs("submit", recipe, *long)
    refused = up.jobs("submit", recipe, *long, code=2)
    assert f"a run {name} is running at {up.url} since" in refused
    assert refused.strip().endswith("or give this one another --name")
    run, deadline = up.folder / "runs" / name, time.monotonic() + PATIENCE
    while not list(run.glob("model-*/step-*.zarr")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert f"{name}: running since" in up.jobs("status", name)
    begun = time.monotonic()
    said = up.jobs("cancel", name, *how)
    assert time.monotonic() - begun < 60
    assert f"{name}: cancelled after" in said
    assert said.strip().endswith("its actors are gone and their devices are free")
    assert free(up) == 3
    assert json.loads(up.jobs("status", name, "--json"))["said"] == "cancelled; run the same command again to continue"
    assert "there is nothing to cancel" in up.jobs("cancel", name, code=2)

    up.jobs("submit", recipe, "--name", name, "--set", "model.steps=100000")
    up.jobs("cancel", name, "--now")
    log = up.jobs("logs", name)
    assert "prepared: finished before, skipped" in log  # of the latest job of that name
    states = [one["state"] for one in json.loads(up.jobs("list", "--json")) if one["run"] == name]
    assert states == ["cancelled", "cancelled"]


def free(up):
    """CPU slots that the cluster could give away now."""
    code = (
        f"import ray; ray.init({up.address!r}, logging_level='error'); print(ray.available_resources().get('CPU', 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=up.environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return float(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mistakes_are_one_message(up):
    recipe = write_recipe(up.folder)
    gone = recipe.with_name("gone.yaml")
    gone.write_text(recipe.read_text().replace("a.nc", "gone.nc"))
    said = up.jobs("submit", gone, "--name", "gone", code=2)
    assert f"stages.raw_a.source: {up.folder}/gone.nc: no file or folder {up.folder}/gone.nc" in said
    assert "archives do not come along" in said
    assert "unknown key 'windw'" in up.jobs("submit", recipe, "--set", "model.windw=3", code=2)
    assert "no run 'gon' was submitted" in up.jobs("status", "gon", code=2)
    assert "did you mean 'gone'?" in up.jobs("logs", "gon", code=2)
    other = up.folder / "other"
    other.write_text("0" * 64)
    assert f"refuses the token of {other}" in up.jobs("list", code=2, **{PATH: str(other)})
    run = ("run", recipe, "--address", up.address, "--runs", "refused")
    assert f"refuses the token of {other}" in up(*run, code=2, **{PATH: str(other)})
    assert "wants a token, and there is none here" in up(*run, code=2, **{PATH: "", MODE: ""})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_left_of_a_cluster_and_the_token_is_nowhere(up, tmp_path):
    """Of a second one on the machine, with a run in it."""
    with started(tmp_path) as second:
        assert (second.url, second.address) != (up.url, up.address)
        token = second.token.read_text()
        below = psutil.Process(second.process.pid).children(recursive=True)
        assert len(below) > 5
        assert not [one for one in below if token in " ".join(one.cmdline())]
        second.jobs("submit", write_recipe(tmp_path), "--set", "model.steps=100000")
        started_by_job = [one for one in psutil.process_iter() if str(tmp_path / "runs") in _command(one)]
        assert started_by_job
        (logs,) = {
            Path(word.split("=", 1)[1]) for one in below for word in one.cmdline() if word.startswith("--log-dir=")
        }
        seen = [file for place in (logs, tmp_path / "runs") for file in place.rglob("*") if file.is_file()]
        assert len(seen) > 20
        assert not [file for file in seen if token.encode() in file.read_bytes()]
        assert {one["run"] for one in json.loads(second.jobs("list", "--json"))} == {"blobs"}
        below = [*second.end(), *started_by_job]
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert not second.token.parent.exists()
    assert not logs.exists()
    assert not (second.home / ".ray").exists()
    up.jobs("list")  # it lives


def _command(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
