"""A step that diverged: training goes back with smaller steps, to the same bits however it was killed; or gives up."""

import dataclasses
import math

import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Windows, splits_of
from pipeline.training import checkpoints
from pipeline.training.guard import Guard
from pipeline.training.history import History
from pipeline.training.schedule import learning_rate
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError
from tests.pipeline.training_runs import TINY, left_by, records, stopped, trained

SPIKY = dataclasses.replace(TINY, seed=1, ema=0.9, spike=30.0, spike_steps=3)


class Killed(BaseException):
    pass


def kill(*_, **__):
    raise Killed


@pytest.fixture(scope="module")
def prepared(finished_run):
    return finished_run["prepared"]


def poison(monkeypatch, prepared, step, factor):
    """Makes the window that a step would draw larger than it is, wherever it is drawn first."""
    windows = Windows(prepared / "prepared.zarr", tuple(splits_of(prepared)["train"]), TINY.window)
    (bad,) = windows.firsts(SPIKY.seed, step, 1)
    assert all(windows.firsts(SPIKY.seed, before, 1) != [bad] for before in range(step))
    again = range(TINY.steps)
    assert all(windows.firsts(SPIKY.seed, other, 1, draw=1) != [bad] for other in again), "choose another step"
    read = Windows.read
    monkeypatch.setattr(
        Windows, "read", lambda self, window, *part: times(read(self, window, *part), factor if window == bad else 1)
    )
    return bad


KINDS = [
    pytest.param(6, math.nan, 4, "the loss is nan", marks=pytest.mark.slow),
    (8, math.nan, 4, "the loss is nan"),  # right after a checkpoint, which is then not trusted
    (9, 1e3, 8, "beyond spike (30) times"),
    pytest.param(2, math.inf, 0, "the loss is", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("step", "factor", "back", "why"), KINDS)
def test_it_goes_back_and_says_so(prepared, tmp_path, monkeypatch, step, factor, back, why):
    series, first = poison(monkeypatch, prepared, step, factor)
    told = trained(SPIKY, prepared, tmp_path / "run")
    assert [p.done for p in told] == [*range(step + 1), *range(back, TINY.steps + 1)]
    (line,) = [p.line for p in told if p.line]
    assert line.startswith(f"step {step + 1} diverged: ")
    assert why in line
    assert line.endswith(f"; back to step {back}, the learning rate times 0.5, other windows (1 of 3 times)")
    (record,) = [record for record in records(tmp_path / "run") if "rollback" in record]
    assert (record["step"], record["diverged_at"]) == (back, step + 1)
    assert why in record["why"]
    assert record["windows"] == f"{series} from frame {first}"
    losses = [record["step"] for record in records(tmp_path / "run") if "loss" in record]
    assert losses == list(range(1, TINY.steps + 1))  # what was undone is not in it
    made = Checkpoint.load(tmp_path / "run" / "checkpoint.zarr")
    assert made.rollbacks == (record,)
    assert len(made.norms) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    ["written", *(pytest.param(one, marks=pytest.mark.slow) for one in ("later", "before", "removed", "after"))],
)
def test_killed_while_it_goes_back_is_the_same_to_the_bit(prepared, tmp_path, monkeypatch, where):
    poison(monkeypatch, prepared, 8, math.nan)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    trained(SPIKY, prepared, whole)
    if where == "after":
        stopped(SPIKY, prepared, broken, at=9)
    elif where == "later":
        stopped(SPIKY, prepared, broken, at=11)
    else:
        broken.mkdir()
        with monkeypatch.context() as patch:
            place, name = {
                "before": (checkpoints.Checkpoints, "go_back"),
                "written": (checkpoints.Checkpoints, "_remove"),
                "removed": (History, "go_back"),
            }[where]
            original = getattr(place, name)
            calls = []

            def killing(*given):
                calls.append(given)
                kill() if where != "removed" or len(calls) == 2 else original(*given)

            patch.setattr(place, name, killing)
            with pytest.raises(Killed):
                trained(SPIKY, prepared, broken)
    continued = trained(SPIKY, prepared, broken)
    assert continued[0].done == (8 if where in ("before", "written") else 4)
    assert left_by(broken) == left_by(whole)
    assert Checkpoint.load(whole / "checkpoint.zarr").rollbacks


def test_it_gives_up_with_one_message_again_and_again(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(Windows, "read", spoiled(Windows.read))
    for _ in range(2):
        with pytest.raises(
            InputError,
            match=r"training diverged at step 1, after it had diverged at step 1, 1 and gone back with the learning "
            r"rate times 0.5 each time: the loss is nan, at a learning rate of 0.000375; lower learning_rate "
            r"\(0.003\), raise warm_up \(2\), or allow more retries \(2\)",
        ):
            trained(dataclasses.replace(TINY, retries=2), prepared, tmp_path / "run")
    with pytest.raises(InputError, match="training diverged at step 1: the loss is nan"):
        trained(dataclasses.replace(TINY, retries=0), prepared, tmp_path / "at_once")
    assert [path.name for path in (tmp_path / "at_once").glob("*.zarr")] == []


def spoiled(read):
    return lambda *given: times(read(*given), math.nan)


def times(sample, factor):
    return sample._replace(frames=sample.frames * factor)


@pytest.mark.slow
def test_a_step_too_large_is_mended_by_smaller_ones(prepared, tmp_path):
    """Nothing is made to fail: the learning rate is absurd, and a millionth of it is not."""
    wild = dataclasses.replace(TINY, learning_rate=1e5, clip=1e30, backoff=1e-6, warm_up=0, checkpoint_every=1)
    told = trained(wild, prepared, tmp_path / "run")
    assert len([p for p in told if p.line]) >= 1
    assert told[-1].done == TINY.steps
    stopped(wild, prepared, tmp_path / "broken", at=5)
    trained(wild, prepared, tmp_path / "broken")
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "run")


def test_norms_are_compared_with_the_median_of_the_last():
    guard = Guard(2.0, 4)
    for norm in (1.0, 1.0, 100.0):
        assert guard.wrong(0.5, norm) == ""  # too few are known
        guard.passed(norm)
    guard.passed(3.0)
    assert guard.wrong(0.5, 4.0) == ""  # the median of 1, 1, 100, 3 is 2
    assert "beyond spike (2) times 2, the median of the last 4 steps" in guard.wrong(0.5, 4.1)
    guard.passed(3.0)
    assert guard.wrong(0.5, 6.0) == ""  # of 1, 100, 3, 3 it is 3
    again = Guard(2.0, 4)
    again.restore(guard.norms)
    assert again.norms.tolist() == [1.0, 100.0, 3.0, 3.0]
    assert again.wrong(0.5, 6.1) == guard.wrong(0.5, 6.1) != ""


@pytest.mark.parametrize("wrong", [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_not_finite_always_counts(wrong):
    guard = Guard(None, 4)
    guard.passed(1.0)
    assert guard.norms.size == 0
    assert guard.wrong(*wrong)
    assert guard.wrong(1.0, 1e30) == ""


def test_the_learning_rate_after_it_went_back():
    settings = TrainSettings(backoff=0.1)
    for step in (0, 30, 100):
        assert learning_rate(settings, step, 0) == learning_rate(settings, step)
        assert learning_rate(settings, step, 2) == pytest.approx(learning_rate(settings, step) / 100)


def test_other_draws_are_other_windows(tmp_path):
    from pipeline.splits import Span

    windows = Windows(tmp_path, (Span("a", 0, 5000),), 24)
    drawn = [tuple(windows.firsts(3, 7, 4, draw=draw)) for draw in range(4)]
    assert drawn[0] == tuple(windows.firsts(3, 7, 4))
    assert len(set(drawn)) == 4


def test_a_history_that_lacks_the_last_rollback_gets_it(tmp_path):
    history = History(tmp_path / "history.jsonl")
    for step in range(1, 8):
        history.record(step=step, loss=0.5)
    once = {"step": 5, "rollback": 1, "why": "the loss is nan"}
    twice = {"step": 4, "rollback": 2, "why": "the loss is inf"}
    for _ in range(2):
        history.go_back(5, (once,))
        assert [r["step"] for r in records(tmp_path)] == [1, 2, 3, 4, 5, 5]
    history.go_back(4, (once, twice))
    assert [r.get("rollback", 0) for r in records(tmp_path)] == [0, 0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"spike": 1.0}, "spike is 1.0 times the median norm; give more than 1"),
        ({"backoff": 0.0}, "backoff is 0.0; give a factor above 0, at most 1"),
        ({"retries": -1}, "retries is -1; give 0 or more"),
        ({"keep": 0}, "keep is 0; give at least 1"),
    ],
)
def test_settings_that_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        TrainSettings(**wrong)
