"""The event log of a real run: what it holds, and what it comes to at any time."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cluster import LocalExecutor
from pipeline.volume import InputError
from tests.pages.logs import plain, read, shards_of
from tests.synthetic import Silent, up_to, write_recipe
from workflows.commands.watching import to_watch
from workflows.events import Ended, Finished, Shard, Spread
from workflows.journal import NAME, Journal, last_run
from workflows.pages.board import recorded
from workflows.pages.board.standing import Status
from workflows.run import run


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run up to a forecast over two workers: its log, its folders, and the display that was told the same."""
    folder, screen = tmp_path_factory.mktemp("logged"), Silent()
    workflow = up_to("forecast", write_recipe(folder, steps=2))
    folders = run(workflow, folder / "runs", LocalExecutor(2), screen, command="typed")
    return folder / "runs" / "blobs" / NAME, folders, screen


def test_the_log_holds_what_was_told_and_a_torn_line_does_no_harm(logged, tmp_path):
    path, _, screen = logged
    log = last_run(path)
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

    shutil.copy(path, tmp_path / NAME)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"at": 1, "event": "prog')
    journal = Journal.of_run(tmp_path)
    journal.tell(None, Ended("failed", 1.0, "why"))
    journal.close()
    assert [line["event"] for line in last_run(tmp_path / NAME)] == [*(line["event"] for line in log), "ended"]


def test_a_real_run_stands_at_any_time_as_its_log_says(logged, tmp_path, monkeypatch):
    """Times in no order, from standings that are kept every few lines and given up again."""
    monkeypatch.setattr(recorded, "SPACING", 3)
    monkeypatch.setattr(recorded, "KEPT", 4)
    path, folders, screen = logged
    (execution,) = read(path).executions
    times = sorted({json.loads(line)["at"] for line in path.read_text().splitlines()})
    for at in np.random.default_rng(0).permutation(times)[:60]:
        standing, true = execution.at(at), plain(path, at)
        assert shards_of(standing) == true["shards"]
        told = {name: (stage.done, stage.total) for name, stage in standing.stages.items() if stage.total}
        assert told == true["progress"]

    last = execution.standing
    assert (last.how, last.command, last.focus) == ("finished", "typed", "forecast")
    assert {stage.status for stage in last.stages.values()} == {Status.DONE}
    assert [stage.folder for stage in last.stages.values()] == [folder.name for folder in folders.values()]
    forecast, said = last.stages["forecast"], [event for _, event in screen.events]
    assert forecast.grid.names == ["b"]
    assert [forecast.grid.extent(0, index, index) for index in (0, 18)] == ["frames 0 to 6", "frames 126 to 129"]
    assert forecast.grid.done_by() == {0: 10, 1: 9}
    assert forecast.moved == next(event.moved for event in said if isinstance(event, Spread)) > 0
    assert {name: one.resident for name, one in forecast.processes.items()} == {
        "driver" if worker is None else f"worker {worker}": size
        for (stage, worker, _), size in plain(path)["resident"].items()
        if stage == "forecast"
    }
    assert forecast.peak == max(one.peak for one in forecast.processes.values())
    assert execution.history.marks["forecast"].frames[-1] == 130
    assert list(execution.history.memory_of("forecast", 0.0)) == []
    (tmp_path / "runs" / "blobs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"neither runs/blob nor blob is a folder; runs in runs are: blobs"):
        to_watch("blob", Path("runs"))
    with pytest.raises(InputError, match=r"has no event log \(events.jsonl\), which every run writes"):
        to_watch("blobs", tmp_path / "runs")
