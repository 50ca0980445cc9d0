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
from tests.synthetic import Silent, write_recipe
from workflows.events import Ended, Finished, Shard
from workflows.journal import NAME, Journal, last_run
from workflows.load import load
from workflows.run import run
from workflows.stopping import Cancelled, is_running, request_stop
from workflows.workflow import Workflow


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


def up_to(stage, recipe):
    """The workflow of a recipe without what follows a stage."""
    whole = load(recipe)
    names = list(whole.stages)
    return Workflow(whole.name, {name: whole.stages[name] for name in names[: names.index(stage) + 1]})


def test_a_run_ends_at_a_safe_point_and_goes_on_from_there(tmp_path):
    workflow, folder = up_to("model", write_recipe(tmp_path, steps=12)), tmp_path / "runs" / "blobs"
    asking, later = AsksToEnd(folder, "model", 7), Silent()
    with pytest.raises(Cancelled):
        run(workflow, tmp_path / "runs", LocalExecutor(), asking)
    assert [event.how for _, event in asking.events if isinstance(event, Ended)] == ["cancelled"]
    assert not is_running(folder)
    folders = run(workflow, tmp_path / "runs", LocalExecutor(), later)
    assert later.names(Finished)[0] == "model"
    whole = run(workflow, tmp_path / "whole", LocalExecutor(), Silent())
    histories = [(made["model"] / "history.jsonl").read_text() for made in (folders, whole)]
    assert histories[0] == histories[1]
    assert '"step": 12' in histories[0]


def test_a_request_from_before_counts_for_nothing(tmp_path):
    folder = tmp_path / "runs" / "blobs"
    folder.mkdir(parents=True)
    request_stop(folder, now=True)
    screen = Silent()
    run(up_to("raw_a", write_recipe(tmp_path)), tmp_path / "runs", LocalExecutor(), screen)
    assert screen.events[-1][1].how == "finished"


def test_the_log_holds_what_was_told_and_a_torn_line_does_no_harm(tmp_path):
    workflow, folder = up_to("forecast", write_recipe(tmp_path, steps=2)), tmp_path / "runs" / "blobs"
    screen = Silent()
    run(workflow, tmp_path / "runs", LocalExecutor(2), screen)
    log = last_run(folder / NAME)
    assert [line["event"] for line in log[:2]] == ["began", "started"]
    assert log[-1]["how"] == "finished"
    assert [line["stage"] for line in log if line["event"] == "finished"] == screen.names(Finished)
    shards = [event for _, event in screen.events if isinstance(event, Shard)]
    last = {event.index: event for event in shards}
    assert {event.doing for event in last.values()} == {"done"}
    assert {event.worker for event in last.values()} == {0, 1}
    assert {line["index"] for line in log if line["event"] == "shard" and line["doing"] == "done"} == set(last)
    (spread,) = (line for line in log if line["event"] == "spread")
    assert (spread["teams"], spread["lengths"]) == ([[0, 1]], [len(last)])
    finished = {line["stage"]: line for line in log if line["event"] == "finished"}
    assert all(line["peak"] > 1e8 for line in finished.values())
    assert finished["forecast"]["moved"] == spread["moved"] > 0

    with (folder / NAME).open("a") as file:
        file.write('{"at": 1, "event": "prog')
    journal = Journal.of_run(folder)
    journal.tell(None, Ended("failed", 1.0, "why"))
    journal.close()
    assert [line["event"] for line in last_run(folder / NAME)] == [*(line["event"] for line in log), "ended"]


STUCK = """
import hashlib, sys
from workflows import showing
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
