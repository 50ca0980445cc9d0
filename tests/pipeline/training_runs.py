"""Small trainings for tests, and what they leave."""

import json

from pipeline.checkpoint import GROUPS, Checkpoint
from pipeline.network.settings import ModelSettings
from pipeline.train import train
from pipeline.training.settings import TrainSettings

TINY = TrainSettings(
    model=ModelSettings(channels=2, states=2, layers=1),
    steps=14,
    window=8,
    burn_in=2,
    warm_up=2,
    learning_rate=3e-3,
    validate_every=4,
    checkpoint_every=4,
    threads=1,
)


def trained(settings, prepared, folder):
    """All that a training tells, in a folder that is made."""
    folder.mkdir(exist_ok=True)
    return list(train(settings, {"prepared": prepared}, folder))


def stopped(settings, prepared, folder, *, at):
    """A training that is dropped when it has told of its steps so many times."""
    folder.mkdir(exist_ok=True)
    run = train(settings, {"prepared": prepared}, folder)
    for _ in range(1 + at):
        next(run)
    run.close()


def left_by(folder):
    """The history, and every array and attribute of the last checkpoint, as bytes."""
    made = Checkpoint.load(folder / "checkpoint.zarr")
    arrays = {(group, name): a.tobytes() for group in GROUPS for name, a in getattr(made, group).items()}
    rest = (made.step, made.best_error, made.norms.tobytes(), made.rollbacks)
    return (folder / "history.jsonl").read_text(), arrays, rest


def records(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
