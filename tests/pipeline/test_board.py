"""TensorBoard's curves are those of the history, without a step twice, however the run was stopped or went back."""

import dataclasses

import pytest

from pipeline.training import board
from tests.pipeline.training_runs import TINY, records, stopped, trained


def curves(folder):
    """What TensorBoard shows: of each name the steps and the numbers."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    shown = events.EventAccumulator(str(folder), {events.SCALARS: 0})
    shown.Reload()
    return {name: [(one.step, one.value) for one in shown.Scalars(name)] for name in shown.Tags()["scalars"]}


def test_a_run_that_was_stopped_shows_each_step_once(finished_run, tmp_path):
    pytest.importorskip("tensorboard")
    settings = dataclasses.replace(TINY, steps=8)
    stopped(settings, finished_run["prepared"], tmp_path / "run", at=6)
    trained(settings, finished_run["prepared"], tmp_path / "run")
    found = curves(tmp_path / "run" / "tensorboard")
    assert found.keys() == {"loss", "validation_mse", "learning_rate", "gradient_norm", "waited", "rollbacks"}
    for name in ("loss", "validation_mse"):
        known = [(record["step"], record[name]) for record in records(tmp_path / "run") if name in record]
        assert [step for step, _ in found[name]] == [step for step, _ in known]
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in known], rel=1e-6)
    for name in ("learning_rate", "gradient_norm", "waited", "rollbacks"):
        assert [step for step, _ in found[name]] == list(range(1, 9))


def test_going_back_takes_back_what_was_shown(tmp_path):
    pytest.importorskip("tensorboard")
    shown = board.Board(tmp_path)
    shown.go_on(0)
    for step in range(1, 7):
        shown.show(step, loss=1.0)
    shown.go_on(2)
    for step in range(3, 5):
        shown.show(step, loss=2.0)
    shown.close()
    assert curves(tmp_path)["loss"] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_nothing_is_written_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "find_spec", lambda _: None)
    shown = board.Board(tmp_path / "tensorboard")
    shown.go_on(0)
    shown.show(1, loss=1.0)
    shown.flush()
    shown.close()
    assert not (tmp_path / "tensorboard").exists()
