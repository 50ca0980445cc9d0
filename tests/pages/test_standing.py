"""How a run stands by its log: after every line, with logs that are torn, cut or put aside, of any number of shards."""

import time

import numpy as np
import pytest

from pipeline.progress import Progress
from tests.pages.logs import Written, divided, plain, pulse, read, shards_of
from workflows import journal
from workflows.events import Ended, Finished, Lost, Planned, Sent, Shard, Skipped, Spread
from workflows.journal import NAME, Journal
from workflows.pages.board.grid import Grid
from workflows.pages.board.log import Log
from workflows.pages.board.picture import CELLS, COLUMNS, fronts, picture, states
from workflows.pages.board.standing import Status
from workflows.pages.board.states import PARTLY, State
from workflows.pages.board.verdict import left, outlook, verdict
from workflows.pages.board.watched import Watched


def test_what_was_lost_is_to_be_done_again(tmp_path):
    log = Written(tmp_path)
    log.begin()
    log.tell("forecast", divided(), after=1.0)
    log.shards("done", "writing", "waiting", "computing", "done")
    log.tell("forecast", Sent(0, 3, 120))
    (execution,) = read(log.path).executions
    grid, forecast = execution.standing.stages["forecast"].grid, execution.standing.stages["forecast"]
    assert grid.state[:6].tolist() == [2, 5, 4, 3, 2, 0]
    assert grid.fronts() == [2]  # no carry has left shard 2
    assert grid.hands() == {0: [(State.WAITING, 0, 2)], 1: [(State.COMPUTING, 0, 3), (State.WRITING, 0, 1)]}
    assert forecast.processes["worker 0"].sent == forecast.moved == 120

    log.tell("forecast", Lost("worker 1 is gone"), after=1.0)
    log.tell("forecast", divided(workers=1, first=1), after=1.0)
    log.shards("computing", first=1, worker=0)
    execution = read(log.path).executions[0]
    lost = execution.at(log.at - 2.0).stages["forecast"]
    assert lost.grid.state[:6].tolist() == [2, 0, 0, 0, 2, 0]
    assert (lost.again, lost.losses) == (3, [(log.at - 2.0, "worker 1 is gone")])
    forecast = execution.standing.stages["forecast"]
    assert forecast.grid.state[:6].tolist() == [2, 3, 0, 0, 0, 0]  # shard 4 was beyond what is committed
    assert (forecast.again, forecast.grid.workers, forecast.grid.fronts()) == (4, 1, [1])
    assert forecast.grid.owner.tolist() == [0] * 12
    found = verdict(execution.standing, execution.history, log.at, alive=True, asked=False)
    assert found.troubles == ("forecast lost workers: worker 1 is gone",)
    assert verdict(execution.standing, execution.history, log.at, alive=False, asked=False).word == "died"
    late = verdict(execution.standing, execution.history, log.at + 90.0, alive=True, asked=True)
    assert (late.word, late.troubles[1]) == ("asked to end", "nothing was told for 1:30")


def test_a_run_that_goes_on_is_another_execution_whose_shards_were_done_before(tmp_path):
    log = Written(tmp_path)
    log.begin()
    log.tell("forecast", divided(), after=1.0)
    log.shards("done", "done", "waiting")
    log.tell(None, Ended("cancelled", 9.0), after=1.0)
    log.begin()
    log.tell("forecast", divided(first=2))
    first, second = read(log.path).executions
    assert first.standing.how == "cancelled"
    assert first.standing.stages["forecast"].status is Status.STOPPED
    assert shards_of(first.standing) == plain(log.path, execution=0)["shards"]
    grid = second.standing.stages["forecast"].grid
    assert grid.state.tolist() == [State.BEFORE] * 2 + [State.AHEAD] * 10
    assert grid.owner.tolist() == [-1, -1] + [0, 1] * 5
    assert (grid.again, grid.fronts()) == (0, [2])


def test_a_log_that_grows_is_read_on_and_one_that_is_another_begins_anew(tmp_path):
    log, followed = Written(tmp_path), Log(tmp_path / NAME)
    assert not followed.read()
    log.begin()
    assert followed.read()
    assert not followed.read()
    (execution,) = followed.executions
    whole = log.path.read_bytes()
    log.tell("forecast", divided())
    text = log.path.read_bytes()
    log.path.write_bytes(text[:-20])  # torn: the same file, a line without its end
    assert not followed.read()
    assert execution.standing.stages["forecast"].grid is None
    with log.path.open("ab") as file:
        file.write(text[-20:])
    assert followed.read()
    assert execution.standing.stages["forecast"].grid.lengths == [12]
    with log.path.open("ab") as file:
        file.write(b'{"at": 1, "event": "pro\n[1]\nnull\n')  # what a kill left is not a line
    log.shards("computing")
    assert followed.read()
    assert shards_of(execution.standing) == {("forecast", 0, 0): ("computing", 0)}
    assert shards_of(execution.at(log.at - 0.5)) == {}

    log.path.write_bytes(whole)  # cut
    assert followed.read()
    assert followed.executions[0] is not execution
    assert followed.executions[0].standing.stages["forecast"].grid is None
    log.path.rename(tmp_path / "events-1.jsonl")
    assert not followed.read()
    log.begin()
    log.tell("raw", Skipped())
    followed.read()
    assert [one.standing.stages["raw"].status for one in followed.executions] == [Status.BEFORE]


def test_how_long_it_takes_yet_follows_the_later_half(tmp_path):
    """Steps of ten seconds, then of two; counted anew where a stage counts something else."""
    log = Written(tmp_path)
    log.begin()
    for done in range(1, 9):
        log.tell("forecast", Progress(done, 12, frames=done, size=100 * done), after=10.0 if done <= 4 else 2.0)
    (execution,) = read(log.path).executions
    forecast = execution.standing.stages["forecast"]
    assert left(forecast, execution.history, log.at) == 4 * 2.0
    assert left(forecast, execution.history, log.at + 3.0) == 4 * 2.0 - 3.0
    assert left(forecast, execution.history, log.at + 30.0) == 0.0
    marks = execution.history.marks["forecast"]
    since = log.at - 48.0
    assert marks.rate(since + 10.0) == pytest.approx((0.1, 0.1, 10.0))
    edges, rates, what = marks.rates(since, log.at, 24)
    assert what == "frames"
    np.testing.assert_allclose(rates, [0.1] * 20 + [0.5] * 4)
    assert edges[-1] == log.at
    log.tell("forecast", Progress(0, 5), after=1.0)
    (execution,) = read(log.path).executions
    assert left(execution.standing.stages["forecast"], execution.history, log.at) is None
    assert outlook(execution.standing, execution.history, log.at) == "forecast: 0 of 5, then scores"
    log.tell(None, Planned({"forecast": {"seconds": 100.0, "host": 5}, "scores": {"seconds": 7.0, "host": 6}}))
    (execution,) = read(log.path).executions
    told = "forecast: 0 of 5, about 0:50 left, then scores; about 0:57 in all"  # it has taken 50 s
    assert outlook(execution.standing, execution.history, log.at + 1.0) == told
    assert outlook(execution.standing, execution.history, log.at + 99.0) == "forecast: 0 of 5, then scores"
    assert execution.standing.stages["scores"].bound == 6


def test_every_shard_is_in_the_cells_that_cover_it_however_many_there_are():
    rng = np.random.default_rng(1)
    for lengths, workers in (((40,), 3), ((5, 700, 1), 4), ((100_000,), 64), ((30,) * 500, 7)):
        team = tuple(range(workers))
        grid = Grid({"lengths": lengths, "workers": workers, "spans": [(0, n) for n in lengths],
                     "teams": [team] * len(lengths), "strands": [("s", 3 * n, 3) for n in lengths]})  # fmt: skip
        grid.state[:] = rng.integers(0, len(State), len(grid.state))
        made = picture(grid)
        counts, drawn = made.counts(grid), states(made.counts(grid))
        assert len(made.row) <= CELLS
        assert made.column.max() < COLUMNS
        shared = [len(lengths) <= 24 and min(length, workers) > 1 for length in lengths]
        assert ((made.cell_of[0] >= 0) == np.repeat(shared, lengths)).all()
        assert (made.cell_of[1] >= 0).all()
        inside = made.cell_of >= 0
        assert (
            counts.sum(axis=0).tolist()
            == sum(np.bincount(grid.state[some], minlength=len(State)) for some in inside).tolist()
        )
        for place in rng.integers(0, len(grid.state), 50):
            strand = int(np.searchsorted(grid.starts, place, side="right")) - 1
            for cell in made.cell_of[:, place][inside[:, place]]:
                row = made.rows[made.row[cell]]
                assert row.strands[0] <= strand < row.strands[1]
                assert made.column[cell] == (place - grid.starts[strand]) // made.step
                assert row.workers is None or row.workers[0] <= grid.owner[place] < row.workers[1]
        for cell in rng.integers(0, len(drawn), 50):
            there = [state for state in State if counts[cell, state]]
            busy = [state for state in (State.COMPUTING, State.WAITING, State.WRITING) if state in there]
            over = not set(there) - {State.DONE, State.BEFORE}
            expected = busy[0] if busy else max(there) if over or there == [State.AHEAD] else PARTLY
            assert drawn[cell] == expected
        naive = [
            next(
                (i for i, state in enumerate(part) if state in (State.AHEAD, State.COMPUTING, State.WAITING)), len(part)
            )
            for part in np.split(grid.state, grid.starts[1:-1])
        ]
        assert grid.fronts() == naive
        assert len(fronts(made, grid)) == (0 if len(lengths) > 72 else sum(map(int.__lt__, naive, lengths)))


def test_a_hundred_thousand_lines_are_read_in_seconds_and_any_time_is_found_at_once(tmp_path):
    log = Written(tmp_path)
    log.begin()
    count = 50_000
    log.tell("forecast", Spread(8, (count,), (("b", 7 * count, 7),), ((0, count),), (tuple(range(8)),), "chain", 1, ""))
    line = (
        '{"at": %.3f, "event": "shard", "stage": "forecast", "strand": 0, "index": %d, "worker": %d, "doing": "%s"}\n'
    )
    with log.path.open("a") as file:
        for index in range(count):
            file.write(line % (log.at + index, index, index % 8, "waiting"))
            file.write(line % (log.at + index + 0.5, index, index % 8, "done"))
    begun = time.process_time()
    (execution,) = read(log.path).executions
    assert time.process_time() - begun < 20.0
    assert execution.standing.stages["forecast"].grid.count(State.DONE) == count
    begun = time.process_time()
    for at in (0.25 * count, 0.75 * count, 0.1 * count):
        assert execution.at(log.at + at).stages["forecast"].grid.count(State.DONE) == at
    assert time.process_time() - begun < 3.0


def test_only_of_a_run_without_an_end_it_is_asked_whether_it_lives(tmp_path, monkeypatch):
    """To ask is to try its lock, which another process may want at that moment."""
    from workflows.pages.board import watched

    asked = []
    monkeypatch.setattr(watched, "is_running", lambda folder: bool(asked.append(folder)))
    log = Written(tmp_path)
    log.begin()
    run = Watched(tmp_path)
    for _ in range(5):
        run.look()
    assert len(asked) == 1  # found dead
    log.tell("forecast", pulse(None, 1e8))
    run.look()
    run.look()
    assert len(asked) == 2
    log.tell("forecast", Shard(0, 0, 0, "done"), Finished(1.0))
    log.tell(None, Ended("finished", 2.0))
    run.look()
    assert (len(asked), run.running) == (2, False)


def test_a_long_run_has_few_pulses_in_its_log_and_the_last_of_each_process(tmp_path, monkeypatch):
    """Two hours of three workers that tell twice a second how they are, and of one shard a minute."""
    clock = Written(tmp_path)
    clock.begin()
    clock.tell("forecast", divided(workers=3))
    monkeypatch.setattr(journal.time, "time", lambda: clock.at)
    writing = Journal.of_run(tmp_path)
    for half in range(1, 2 * 2 * 3600 + 1):
        clock.at += 0.5
        for worker in range(3):
            writing.tell("forecast", pulse(worker, half, 10 + worker))
        if half % 120 == 0:
            writing.tell("forecast", Shard(0, half // 120 % 12, 0, "computing"))
    writing.tell("forecast", Finished(2 * 3600.0))
    (execution,) = read(tmp_path / NAME).executions
    memory = execution.history.memory_of("forecast", clock.at)
    assert [int(sizes[-1]) for _, sizes in memory.values()] == [2 * 2 * 3600] * 3
    assert all(300 < len(sizes) < 700 for _, sizes in memory.values())
    assert all(max(np.diff(times)) <= 60.5 for times, _ in memory.values())
    assert max(np.diff(memory["worker 0"][0])[:100]) <= 1.5
    assert (tmp_path / NAME).read_text().count('"computing"') == 120
