"""A run that is asked to end: when, with which bits left, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cluster import LocalExecutor
from pipeline.progress import Progress
from tests.synthetic import Silent, up_to, write_recipe
from workflows.events import Ended, Finished
from workflows.plan import REPORT
from workflows.run import run
from workflows.stopping import Cancelled, is_running, request_stop


class AsksToEnd(Silent):
    """Asks the run to end when a stage tells its n-th step, and waits until that must have been seen."""

    def __init__(self, folder, stage, at):
        super().__init__()
        self.folder, self.stage, self.at = folder, stage, at

    def tell(self, stage, event):
        super().tell(stage, event)
        if stage == self.stage and isinstance(event, Progress) and event.done == self.at:
            request_stop(self.folder, now=False)
            time.sleep(1.2)


@pytest.mark.slow
def test_a_run_ends_at_a_safe_point_and_goes_on_from_there(tmp_path):
    workflow, folder = up_to("model", write_recipe(tmp_path, steps=6, checkpoint_every=2)), tmp_path / "runs" / "blobs"
    asking, later = AsksToEnd(folder, "model", 3), Silent()
    with pytest.raises(Cancelled):
        run(workflow, tmp_path / "runs", LocalExecutor(), asking)
    assert [event.how for _, event in asking.events if isinstance(event, Ended)] == ["cancelled"]
    assert not is_running(folder)
    page = (folder / REPORT).read_text()
    assert "Cancelled" in page
    assert "model: stopped" in page
    folders = run(workflow, tmp_path / "runs", LocalExecutor(), later)
    assert later.names(Finished)[0] == "model"
    whole = run(workflow, tmp_path / "whole", LocalExecutor(), Silent())
    histories = [(made["model"] / "history.jsonl").read_text() for made in (folders, whole)]
    assert histories[0] == histories[1]
    assert '"step": 6' in histories[0]


def test_a_request_from_before_counts_for_nothing(tmp_path):
    folder = tmp_path / "runs" / "blobs"
    folder.mkdir(parents=True)
    request_stop(folder, now=True)
    screen = Silent()
    run(up_to("raw_a", write_recipe(tmp_path)), tmp_path / "runs", LocalExecutor(), screen)
    assert screen.events[-1][1].how == "finished"


STUCK = """
import hashlib, sys
from workflows.commands import showing
showing.GRACE = 1.0
with showing.closing_on_signals():
    print("here", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)
"""


def test_sigterm_ends_a_process_whose_main_thread_is_inside_a_long_call():
    stuck = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert stuck.stdout.readline() == "here\n"
        time.sleep(0.3)
        begun = time.monotonic()
        stuck.send_signal(signal.SIGTERM)
        _, told = stuck.communicate(timeout=20)
        assert 0.9 < time.monotonic() - begun < 10
        assert (stuck.returncode, told) == (143, "terminated; run the same command again to continue\n")
    finally:
        stuck.kill()


@pytest.fixture
def running(tmp_path):
    """The command `run` in a long training; it is ended whatever happens."""
    started = []

    def start(*options):
        recipe = write_recipe(tmp_path, steps=100_000)
        command = [sys.executable, "-m", "workflows.cli", "run", str(recipe), "--json", *options]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        started.append(process)
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] == "model" and event["done"] > 3:
                return process
        pytest.fail(process.stderr.read())

    yield start
    for process in started:
        process.kill()
        process.wait(20)
        process.stdout.close()
        process.stderr.close()


def cancel(folder, *options):
    command = [sys.executable, "-m", "workflows.cli", "cancel", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_the_command_comes_back_when_the_run_has_ended(running, tmp_path):
    process = running("--executor", "local")
    done = cancel(tmp_path, "blobs")
    assert done.returncode == 0, done.stderr
    assert "blobs: cancelled in stage model, " in done.stdout
    assert "its workers are gone and their devices are free" in done.stdout
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, "cancelled; run the same command again to continue\n")
    again = cancel(tmp_path, "blobs")
    assert again.returncode == 2
    assert "no process works on" in again.stderr
    assert "runs in runs are: blobs" in cancel(tmp_path, "blob").stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancel", "SIGTERM"])
def test_on_ray_actors_and_cluster_are_gone_within_ten_seconds(how, running, tmp_path):
    import psutil

    process = running()
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    begun = time.monotonic()
    if how == "cancel":
        assert "blobs: cancelled in stage model, " in cancel(tmp_path, "blobs", "--now").stdout
    else:
        process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert time.monotonic() - begun < 10
    assert process.returncode == (130 if how == "cancel" else 143)
    assert "run the same command again to continue" in told
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
