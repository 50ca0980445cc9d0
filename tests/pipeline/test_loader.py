"""Windows are read ahead, few of them, by a thread that ends with training; what it waits and what it meets is told."""

import dataclasses
import json
import threading
import time
import weakref

import pytest
import torch

from pipeline.dataset import Sample, Windows
from pipeline.training.loader import AHEAD, Loader
from tests.pipeline.training_runs import TINY, records, stopped, trained


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def wait_until(true):
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert true()


@pytest.fixture
def asked(monkeypatch):
    """The windows that are read, from a store that is not there: each holds the number of its first frame. A list of
    those numbers in order, and of references to what was read."""
    order, held = [], []

    def read(self, window, start, stop):
        del self
        order.append(window[1])
        frames = torch.full((stop - start, 1, 1, 1, 1), float(window[1]))
        held.append(weakref.ref(frames))
        return Sample(frames, None)

    monkeypatch.setattr(Windows, "__post_init__", lambda _: None)
    monkeypatch.setattr(Windows, "read", read)
    return order, held


def loader(tmp_path, firsts):
    """A loader of steps that read windows of these first frames."""
    return Loader(Windows(tmp_path, (), 0), lambda step: [(("a", first), 0, 2) for first in firsts[step]], len(firsts))


def test_it_reads_a_few_ahead_and_no_more(asked, tmp_path):
    order, _ = asked
    running = loader(tmp_path, [[step] for step in range(9)])
    for step in range(9):
        ((frames, _),) = running.frames(step)
        assert frames.flatten().tolist() == [step, step]
        wait_until(lambda step=step: len(order) == min(9, step + 1 + AHEAD))
        time.sleep(0.005)
        assert order == list(range(min(9, step + 1 + AHEAD)))
    running.close()
    wait_until(lambda: not readers())


def test_windows_that_come_twice_and_steps_that_change(asked, tmp_path):
    order, held = asked
    firsts = [[5, 5, 6], [6, 5], [7, 8], [9, 9]]
    running = loader(tmp_path, firsts)
    assert [frames[0].item() for frames, _ in running.frames(0)] == [5, 5, 6]
    firsts[1:] = [[1, 2], [3, 3], [4, 1]]  # as after going back
    for step in (1, 2, 3):
        assert [frames[0].item() for frames, _ in running.frames(step)] == firsts[step]
    assert len(order) <= 9
    wait_until(lambda: not any(one() is not None for one in held))  # nothing is kept of what was not asked for
    running.close()


def test_a_run_reads_what_it_would_have_read_and_tells_of_its_waits(finished_run, tmp_path, monkeypatch):
    prepared, settings = finished_run["prepared"], dataclasses.replace(TINY, steps=4)
    trained(settings, prepared, tmp_path / "quick")
    read = Windows.read

    def slowly(self, *part):
        time.sleep(0.3)
        return read(self, *part)

    monkeypatch.setattr(Windows, "read", slowly)
    told = trained(settings, prepared, tmp_path / "slow")
    assert records(tmp_path / "slow") == records(tmp_path / "quick")
    timing = [json.loads(line) for line in (tmp_path / "slow" / "timing.jsonl").read_text().splitlines()]
    assert [one["step"] for one in timing] == [1, 2, 3, 4]
    assert all(0 <= one["waited"] < one["seconds"] for one in timing)
    assert timing[0]["waited"] > 0.25  # nothing could be read before
    share = sum(one["waited"] for one in timing) / sum(one["seconds"] for one in timing)
    assert told[-1].note.endswith(f"{share:.0%} of the time waiting for windows")
    wait_until(lambda: not readers())


def test_what_the_thread_meets_is_raised_at_its_step_and_the_thread_ends(finished_run, tmp_path, monkeypatch):
    read, calls = Windows.read, []

    def broken(self, *part):
        calls.append(part)
        if len(calls) == 3:
            raise RuntimeError("a chunk is torn")
        return read(self, *part)

    monkeypatch.setattr(Windows, "read", broken)
    with pytest.raises(RuntimeError, match="a chunk is torn"):
        trained(TINY, finished_run["prepared"], tmp_path / "broken")
    assert [record["step"] for record in records(tmp_path / "broken")] == [1, 2]
    wait_until(lambda: not readers())
    stopped(TINY, finished_run["prepared"], tmp_path / "dropped", at=2)
    wait_until(lambda: not readers())
