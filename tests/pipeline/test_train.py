"""Training: the same losses and weights to the bit, however often it was stopped; the schedule; what is refused."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from pipeline import checkpoint
from pipeline.dataset import Windows
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.splits import Span
from pipeline.train import train
from pipeline.training.history import History
from pipeline.training.optimiser import parameter_groups
from pipeline.training.schedule import learning_rate
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError

SMALL = TrainSettings(steps=15, window=24, burn_in=4, validate_every=5, checkpoint_every=5, threads=1)


@pytest.fixture(scope="module")
def prepared(finished_run):
    return {"prepared": finished_run["prepared"]}


def stop_after(steps, run):
    """Drops a run after so many training steps; before them it tells where it stands."""
    for _ in range(1 + steps):
        next(run)
    run.close()


def arrays_of(folder):
    loaded = checkpoint.Checkpoint.load(folder / "checkpoint.zarr")
    return {(g, n): a for g in ("weights", "optimiser", "best") for n, a in getattr(loaded, g).items()}


SOME = [
    ([7, 3], 5),
    *[pytest.param(*one, marks=pytest.mark.slow) for one in (([3], 0), ([5], 5), ([7, 7], 10), ([14], 10))],
]


@pytest.mark.parametrize(("taken", "checkpointed"), SOME)
def test_stopped_and_continued_is_the_same_to_the_bit(prepared, tmp_path, taken, checkpointed):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    list(train(SMALL, prepared, whole))
    for steps in taken:
        stop_after(steps, train(SMALL, prepared, broken))
    continued = list(train(SMALL, prepared, broken))
    assert continued[0].done == checkpointed  # from the checkpoint, not from the start
    assert (broken / "history.jsonl").read_text() == (whole / "history.jsonl").read_text()
    ours, theirs = arrays_of(broken), arrays_of(whole)
    assert ours.keys() == theirs.keys()
    assert all(ours[key].tobytes() == theirs[key].tobytes() for key in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", [{"transition": "kernel"}, {"transition": "pointwise", "selective": True}], ids=["kernel", "pointwise"]
)
def test_another_transition_stopped_and_continued(prepared, tmp_path, choice):
    settings = dataclasses.replace(SMALL, model=ModelSettings(channels=3, states=4, **choice), steps=8)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    list(train(settings, prepared, whole))
    stop_after(6, train(settings, prepared, broken))
    list(train(settings, prepared, broken))
    ours, theirs = arrays_of(broken), arrays_of(whole)
    assert all(ours[key].tobytes() == theirs[key].tobytes() for key in theirs)
    made = checkpoint.Checkpoint.load(whole / "checkpoint.zarr").best_model()
    assert made.settings == settings.model


def test_transitions_and_steps_take_no_weight_decay():
    settings = ModelSettings(channels=3, states=4, layers=1, transition="pointwise", selective=True)
    made = Forecaster(settings, volume_channels=1, boundary=("reflect",) * 3, depth=1)
    groups = {group["weight_decay"]: group["params"] for group in parameter_groups(made, 0.1)}
    ssm = made.blocks[0].mixer
    assert {id(p) for p in groups[0.0]} == {id(p) for p in (*ssm.family.parameters(), ssm.steps.bias)}
    assert len(groups[0.0]) + len(groups[0.1]) == len(list(made.parameters()))


def test_training_lowers_the_loss_and_keeps_the_best(prepared, tmp_path):
    seldom = {"validate_every": 15, "checkpoint_every": 15}
    list(train(dataclasses.replace(SMALL, steps=60, learning_rate=3e-3, **seldom), prepared, tmp_path))
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    checks = [record["validation_mse"] for record in records if "validation_mse" in record]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert checkpoint.Checkpoint.load(tmp_path / "checkpoint.zarr").best_error == min(checks)
    assert [record["step"] for record in records if "loss" in record] == list(range(1, 61))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000045.zarr", "step-00000060.zarr"]


def test_another_seed_is_another_run(prepared, tmp_path):
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        list(train(dataclasses.replace(SMALL, steps=2, seed=seed), prepared, tmp_path / str(seed)))
    assert (tmp_path / "0" / "history.jsonl").read_text() != (tmp_path / "1" / "history.jsonl").read_text()


def test_windows_are_drawn_from_the_step_and_stay_in_their_split(prepared):
    windows = Windows(prepared["prepared"] / "prepared.zarr", (Span("a", 10, 40),), 24)
    assert windows.firsts(0, 7, 3) == windows.firsts(0, 7, 3)
    assert windows.firsts(0, 7, 3)[:1] == windows.firsts(0, 7, 1)
    firsts = {windows.firsts(0, step, 1)[0] for step in range(40)}
    assert 4 < len(firsts) <= 7
    assert min(firsts) >= ("a", 10)
    assert max(firsts) <= ("a", 40 - 24)
    whole = windows.read(("a", 12), 0, 24).frames
    assert len(whole) == 24
    assert np.array_equal(windows.read(("a", 12), 5, 9).frames, whole[5:9])


def test_the_draw_of_one_span_is_that_of_numpy_s_integers(tmp_path):
    windows = Windows(tmp_path, (Span("a", 10, 400),), 24)
    for step in range(20):
        draw = np.random.default_rng([3, step])
        assert windows.firsts(3, step, 2) == [("a", int(draw.integers(10, 400 - 24 + 1))) for _ in range(2)]


def test_windows_of_several_spans_are_all_alike(tmp_path):
    """Spans of 10, 0, 1 and 30 windows: each window comes with the same chance, none crosses a border."""
    spans = (Span("a", 5, 24), Span("b", 0, 9), Span("b", 20, 30), Span("c", 0, 39))
    windows = Windows(tmp_path, spans, 10)
    drawn = Counter(windows.firsts(0, 0, 41 * 200))
    possible = [(span.series, t) for span in spans for t in range(span.start, span.stop - 9)]
    assert len(possible) == 41
    assert set(drawn) == set(possible)
    assert max(abs(drawn[one] - 200) for one in possible) < 5 * 200**0.5


def test_a_window_longer_than_the_split(prepared, tmp_path):
    with pytest.raises(InputError, match="a window of 200 frames does not fit the 90 frames of its split"):
        list(train(dataclasses.replace(SMALL, window=200), prepared, tmp_path))


def test_the_schedule_warms_up_and_ends_at_zero():
    rates = [learning_rate(TrainSettings(steps=100, warm_up=10, learning_rate=1.0), step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == rates[9]
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_a_torn_history_is_cut_back(tmp_path):
    history = History(tmp_path / "history.jsonl")
    for step in (1, 2, 3):
        history.record(step=step, loss=0.5)
    with history.path.open("a") as file:
        file.write('{"step": 4, "lo')
    history.go_back(2)
    assert history.path.read_text() == '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.5}\n'


WRONG = [
    {"steps": 0},
    {"burn_in": 99, "window": 100},
    {"burn_in": -1},
    {"threads": 0},
    {"seed": -1},
    {"clip": 0.0},
    {"learning_rate": float("nan")},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="give at least 1|leave at least 2|give 0 or more|give a positive"):
        TrainSettings(**wrong)
