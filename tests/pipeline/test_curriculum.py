"""A curriculum: which windows a step has, that a lesson is told and recorded, and what is refused."""

import dataclasses

import pytest

from pipeline.checkpoint import Checkpoint
from pipeline.training.curriculum import Cut, Lesson
from pipeline.training.settings import TrainSettings
from tests.pipeline.training_runs import TINY, left_by, records, stopped, trained
from tests.synthetic import write_recipe
from workflows.language.load import load

LESSONS = (Lesson(first_step=3, horizon=2), Lesson(first_step=5, window=10, burn_in=4, horizon=3))
TAUGHT = dataclasses.replace(TINY, steps=7, spike=1e6, spike_steps=3, curriculum=LESSONS)


def test_a_step_has_the_windows_of_its_lesson():
    own, second, third = Cut(8, 2, 1), Cut(8, 2, 2), Cut(10, 4, 3)
    assert [TAUGHT.cut(step) for step in range(1, 8)] == [own] * 2 + [second] * 2 + [third] * 3
    at_once = dataclasses.replace(TAUGHT, window=1, curriculum=(Lesson(first_step=1, window=9),))
    assert {at_once.cut(step) for step in range(1, 8)} == {Cut(9, 2, 1)}  # the stage's own is never used


def test_lessons_are_told_and_recorded_and_continued_to_the_bit(finished_run, tmp_path):
    prepared = finished_run["prepared"]
    told = trained(TAUGHT, prepared, tmp_path / "whole")
    lines = [(progress.done, progress.line) for progress in told if progress.line]
    assert lines == [
        (3, "from step 3 on: windows of 8 frames, burn_in 2, horizon 2"),
        (5, "from step 5 on: windows of 10 frames, burn_in 4, horizon 3"),
    ]
    assert [record for record in records(tmp_path / "whole") if "window" in record] == [
        {"step": 3, "window": 8, "burn_in": 2, "horizon": 2},
        {"step": 5, "window": 10, "burn_in": 4, "horizon": 3},
    ]
    assert len(Checkpoint.load(tmp_path / "whole" / "step-00000004.zarr").norms) == 0  # the next lesson has its own
    assert len(Checkpoint.load(tmp_path / "whole" / "checkpoint.zarr").norms) == 3
    stopped(TAUGHT, prepared, tmp_path / "broken", at=6)
    assert trained(TAUGHT, prepared, tmp_path / "broken")[0].done == 4
    assert left_by(tmp_path / "broken") == left_by(tmp_path / "whole")


def test_a_recipe_has_one(tmp_path):
    lessons = "model.curriculum=[{first_step: 5, horizon: 2}, {first_step: 9, window: 30, burn_in: 6}]"
    settings = load(write_recipe(tmp_path), [lessons]).stages["model"].settings
    assert settings.curriculum == (Lesson(first_step=5, horizon=2), Lesson(first_step=9, window=30, burn_in=6))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"horizon": 0}, "horizon is 0; give at least 1"),
        ({"horizon": 80}, "horizon is 80, window 100 and burn_in 20, but .* set horizon to at most 79, or window"),
        ({"horizon": 2, "recompute": 5}, "horizon is 2 and recompute 5: .* Set horizon to 1, or leave recompute out"),
        ({"horizon": 2, "time_parallel": 2}, "horizon is 2 and time_parallel 2: .* or set time_parallel to 1"),
        ({"curriculum": (Lesson(0),)}, "first_step of lesson 1 is 0; give at least 1"),
        (
            {"curriculum": (Lesson(5), Lesson(5))},
            "lesson 1 begins with step 5 and lesson 2 with step 5; let",
        ),
        ({"curriculum": (Lesson(5, window=20),)}, "from step 5 on, burn_in is 20 and window 20; leave at least 2"),
        ({"curriculum": (Lesson(5, horizon=2),), "recompute": 5}, "from step 5 on, horizon is 2 and recompute 5"),
        (
            {"curriculum": (Lesson(5, window=30),), "time_parallel": 30},
            "from step 5 on, time_parallel is 30 and window 30",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        TrainSettings(**wrong)
