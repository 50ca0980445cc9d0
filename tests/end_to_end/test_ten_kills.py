"""A training killed ten times at random moments, with all that it can do switched on: the losses and the weights of one
that nothing interrupted, to the bit."""

import json
import random
import time

import pytest

from pipeline.checkpoint import GROUPS, Checkpoint
from tests.end_to_end.test_kill import finish, kill_when, start
from tests.synthetic import write_recipe

STEPS, KILLS = 60, 10
LESSONS = "{first_step: 11, horizon: 3}, {first_step: 36, window: 20, burn_in: 5, horizon: 5}"
CHOSEN = {
    "window": 14, "burn_in": 3, "batch": 2, "curriculum": f"[{LESSONS}]", "ema": 0.9, "validate_every": 9,
    "learning_rate": 0.003, "warm_up": 5, "spike": 1.8, "spike_steps": 5, "retries": 20, "backoff": 0.9, "threads": 1,
}  # fmt: skip
OPTIONS = [
    "--executor",
    "local",
    *(part for key, value in CHOSEN.items() for part in ("--set", f"model.{key}={value}")),
]


def folder(runs):
    (found,) = runs.glob("blobs/model-*")
    return found


def reached(runs):
    """The last step in the history."""
    for path in runs.glob("blobs/model-*/history.jsonl"):
        whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
        return max((json.loads(line)["step"] for line in whole), default=0)
    return 0


def left_by(runs):
    """The history, and all of the last checkpoint."""
    made = Checkpoint.load(folder(runs) / "checkpoint.zarr")
    arrays = {(group, name): a.tobytes() for group in GROUPS for name, a in getattr(made, group).items()}
    return (folder(runs) / "history.jsonl").read_text(), arrays, made.norms.tobytes(), made.best_error, made.rollbacks


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_ten_times(tmp_path):
    recipe = write_recipe(tmp_path, steps=STEPS, checkpoint_every=7)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(recipe, whole, *OPTIONS)
    history = [json.loads(line) for line in (folder(whole) / "history.jsonl").read_text().splitlines()]
    assert [record["horizon"] for record in history if "horizon" in record] == [3, 5]
    assert any("rollback" in record for record in history)
    assert any("validation_mse" in record for record in history)

    draw = random.Random(0)
    for target in sorted(draw.sample(range(1, STEPS), KILLS)):
        late = draw.uniform(0, 0.1)  # in the middle of a step, or of a checkpoint
        process = start(recipe, broken, *OPTIONS)
        kill_when(process, lambda target=target, late=late: reached(broken) >= target and time.sleep(late) is None)
        assert not (folder(broken) / "SUCCESS").exists()
        print(f"killed {late * 1000:.0f} ms after step {target}, at step {reached(broken)}")
    finish(recipe, broken, *OPTIONS)
    assert json.loads((folder(broken) / "manifest.json").read_text())["continued_from"] > 0
    assert left_by(broken) == left_by(whole)
