"""Stage `pace`: how long a step of each of several trainings takes, and a frame of its model, measured in turns."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.device import threads_kept
from pipeline.mesh import Alone
from pipeline.progress import Progress, Steps
from pipeline.train import Training
from pipeline.training.settings import TrainSettings
from pipeline.volume import DATA, InputError, Settings

VERSION = 1


@dataclass(frozen=True)
class PaceSettings(Settings):
    """Settings of a `pace` stage: seconds that a training step and a forecast frame take, of each training, as
    `pace.json`. Nothing is kept of what is trained.

    Attributes:
        trainings: The settings of `train` stages, by names of your own.
        rounds: Steps of each that count, and frames; they go in turns, so that a slow spell of the machine is one for
            all.
    """

    trainings: dict[str, TrainSettings]
    rounds: int = 5

    def __post_init__(self):
        if not self.trainings:
            raise ValueError("trainings is empty; give at least one")
        if self.rounds < 1:
            raise ValueError(f"rounds is {self.rounds}; give at least 1")
        for name, training in self.trainings.items():
            if training.workers > 1:
                raise ValueError(
                    f"training {name!r} has {training.workers} workers, and paces are those of one; set data_parallel "
                    "and time_parallel to 1"
                )


def pace(settings: PaceSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `pace.json`: of each training `seconds_a_step` and `seconds_a_frame`, medians of the rounds, the latter of
    the model's forecast from one frame and a carry; `parameters`; and `carry_bytes`, all that a forecast goes on from.

    The first step and frame of each, which compile, do not count. With a curriculum steps are those of its first
    lesson.

    Raises:
        InputError: A training's model does not fit the data.
    """
    folder = output / "trained"
    with ExitStack() as open_still:
        threads = max(training.threads for training in settings.trainings.values())
        open_still.enter_context(threads_kept(threads))
        runners = {}
        for name, training in settings.trainings.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            try:
                own = Training(training, inputs["prepared"], folder / name, Alone())
            except InputError as error:
                raise InputError(f"training {name!r}: {error}") from error
            open_still.enter_context(closing(own.loader))
            open_still.enter_context(closing(own.board))
            runners[name] = own
        seconds: dict[str, list[list[float]]] = {name: [[], []] for name in runners}
        for number in range(settings.rounds + 1):
            for name, own in runners.items():
                for times, taken in zip(seconds[name], (_step(own), _frame(own)), strict=True):
                    times.append(taken)
                yield Progress(number, settings.rounds + 1, f"round {number + 1}, {name}")
    found = {}
    for name, own in runners.items():
        steps, frames = (statistics.median(times[1:]) for times in seconds[name])
        shape = tuple(own.series.sizes[axis] for axis in ("depth", "height", "width"))
        found[name] = {
            "seconds_a_step": steps,
            "seconds_a_frame": frames,
            "parameters": sum(weight.numel() for weight in own.model.parameters()),
            "carry_bytes": sum(own.model.carry_bytes(shape)),
        }
    shutil.rmtree(folder)
    (output / "pace.json").write_text(json.dumps(found, indent=2) + "\n")
    yield Progress(settings.rounds + 1, settings.rounds + 1, f"{len(found)} trainings")


def _step(training: Training) -> float:
    """Seconds of a step of training, without what is read: that is done ahead."""
    samples = list(training.loader.frames(training.step))
    begun = time.perf_counter()
    training.optimiser.zero_grad()
    training.objective.loss(samples, training.settings.cut(training.step + 1))
    norm = torch.nn.utils.clip_grad_norm_(training.model.parameters(), training.settings.clip).item()
    training.take_step(norm)
    return time.perf_counter() - begun


def _frame(training: Training) -> float:
    """Seconds of a forecast from one frame and the carries of the frames before it."""
    series, model = training.series, training.model
    shape = (1, model.volume_channels + model.masks, *(series.sizes[axis] for axis in series[DATA].dims[2:]))
    frame = torch.zeros(shape, device=training.device)
    with torch.no_grad():
        _, carries = model(frame)
        begun = time.perf_counter()
        model(frame, carries)[0].sum().item()
        return time.perf_counter() - begun
