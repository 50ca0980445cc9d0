"""Stage `train`: one-step forecasts on windows of the training frames, the best chosen on the validation frames.

A step whose loss or gradient is not finite, or whose gradient is far beyond those before it (`training.guard`), is not
taken. Training goes back to the newest checkpoint that has at least one step between itself and the step that failed:
what fails at once was lost before. From there on the learning rate is multiplied by `backoff`, and other windows are
drawn. Other windows, since nearly the same weights would soon meet the same ones again, where it went wrong; if a
window itself is at fault the record names it. How often it went back is in the checkpoint and keys the draws, so that
a run that is killed, then or later, goes on to the same bits.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import nullcontext
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from pipeline.checkpoint import Checkpoint, to_arrays
from pipeline.dataset import Windows, splits_of
from pipeline.device import own_device, threads_kept
from pipeline.masks import data_channels, masks_of
from pipeline.mesh import Alone, Member, leads
from pipeline.model import Forecaster
from pipeline.progress import Progress, Steps
from pipeline.storage import arrays, store
from pipeline.training.average import Average
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.guard import Guard
from pipeline.training.history import History
from pipeline.training.least_squares import start_by_least_squares
from pipeline.training.objective import Objective
from pipeline.training.optimiser import make_optimiser, moments_of, restore_moments
from pipeline.training.schedule import learning_rate
from pipeline.training.settings import TrainSettings
from pipeline.training.validation import validation_error
from pipeline.volume import SPACE, InputError

VERSION = 6

LOCK_SECONDS = 60.0
"""How long the trainer of a killed driver may live on; two must not write one history."""


def train(settings: TrainSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `checkpoint.zarr` and `history.jsonl` into `output`, continuing from the last checkpoint found there.

    A run that was killed and continued makes the losses and weights of an uninterrupted one, to the bit on a CPU.

    Raises:
        InputError: Training diverged, and did so again `retries` times.
    """
    yield from train_as_member(Alone(), settings, inputs, output)


def train_as_member(member: Member, settings: TrainSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """`train` as one of `settings.workers` workers that do it together, each in a process of its own.

    All take the same steps with the same weights; the first alone writes. The same mesh makes the same bits.
    """
    asked, found = (settings.data_parallel, settings.time_parallel), (member.data_size, member.time_size)
    if asked != found:
        raise ValueError(
            f"settings of {asked[0]} x {asked[1]} workers for a mesh of {found[0]} x {found[1]}; they differ"
        )
    lock = FileLock(output / ".lock", timeout=LOCK_SECONDS) if leads(member) else nullcontext()
    with lock, threads_kept(settings.threads):
        yield from Training(settings, inputs["prepared"], output, member).run()


class Training:
    """One run of training: the model, its optimiser and what it has reached."""

    def __init__(self, settings: TrainSettings, source: Path, output: Path, member: Member):
        self.settings, self.output, self.member = settings, output, member
        self.path = source / "prepared.zarr"
        self.statistics, self.learned_from = arrays.read_arrays(source / "statistics.zarr")
        self.splits = splits_of(source)
        self.series = store.open_volume(self.path, self.splits["train"][0].series)
        self.windows = Windows(self.path, tuple(self.splits["train"]), settings.window)
        self.device = own_device()

        self.model = self.untrained().to(self.device)
        frame = data_channels(self.series) * math.prod(self.series.sizes[axis] for axis in SPACE)
        self.objective = Objective(settings, self.model, self.windows, frame, member)
        self.optimiser = make_optimiser(self.model, settings.weight_decay)
        self.average = Average(settings.ema, self.model) if settings.ema else None
        self.guard = Guard(settings.spike, settings.spike_steps)
        self.step, self.best_error = 0, math.inf
        self.best = to_arrays(self.model.state_dict())
        self.rollbacks: tuple[dict, ...] = ()
        self.history = History(output / "history.jsonl")
        self.checkpoints = Checkpoints(output, settings.keep)

    def untrained(self) -> Forecaster:
        """The model that training begins with, drawn from the seed; with `start` fitted to the training frames."""
        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = Forecaster(
                settings.model,
                volume_channels=data_channels(self.series),
                boundary=tuple(self.series.attrs["boundary"]),
                depth=self.series.sizes["depth"],
                masks=masks_of(self.series),
            )
        if settings.start is not None:
            spans, cut = self.splits["train"], {"window": settings.window, "burn_in": settings.burn_in}
            start_by_least_squares(model, settings.start, self.path, spans, **cut, seed=settings.seed)
        return model

    def run(self) -> Steps:
        settings = self.settings
        newest, told = self.checkpoints.newest() if leads(self.member) else (None, "")
        reached = self.agreed(newest)
        if reached is not None:
            self.restore(reached)
        note = f"continuing after step {self.step}" if reached else "starting"
        yield Progress(self.step, settings.steps, note, line=told)
        if leads(self.member):
            self.checkpoints.prune(needed=self.step)
            self.history.go_back(self.step or -1, self.rollbacks)
            self.look_first()
        while self.step < settings.steps:
            loss, norm = self.look()
            wrong = self.guard.wrong(loss, norm)
            if wrong:
                line = self.go_back(wrong)
                yield Progress(self.step, settings.steps, f"going on after step {self.step}", line=line)
                continue
            self.take_step(norm)
            if leads(self.member):
                self.keep(loss)
            yield Progress(self.step, settings.steps, self.note(loss))
        if leads(self.member):
            self.snapshot().save(self.output / "checkpoint.zarr")

    def agreed(self, found: Checkpoint | None) -> Checkpoint | None:
        """The checkpoint that the first worker found, which is alone with the folder; the others read it too."""
        following = torch.tensor(0 if found is None else found.step + 1, device=self.device)
        step = self.member.total(following).item() - 1
        return Checkpoint.load(self.checkpoints.path(step)) if found is None and step >= 0 else found

    def look_first(self) -> None:
        """Looks at the validation frames before the first step, if the start was fitted: it may be the best."""
        if self.step == 0 and self.settings.start is not None:
            self.validate()

    def keep(self, loss: float) -> None:
        """Records a step; looks at the validation frames and writes a checkpoint when it is time."""
        settings = self.settings
        self.history.record(step=self.step, loss=loss)
        if self.step % settings.validate_every == 0 or self.step == settings.steps:
            self.validate()
        if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
            self.checkpoints.save(self.snapshot())

    def note(self, loss: float) -> str:
        return f"loss {loss:.4f}" + (f", validation {self.best_error:.4f}" if math.isfinite(self.best_error) else "")

    def firsts(self) -> list[tuple[str, int]]:
        """The windows of the next step."""
        return self.windows.firsts(self.settings.seed, self.step, self.settings.batch, draw=len(self.rollbacks))

    def look(self) -> tuple[float, float]:
        """The loss of the next step, and the norm of its gradient, which is then clipped; the same at all workers."""
        self.optimiser.zero_grad()
        loss = self.objective.loss(self.firsts())
        return loss, nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip).item()

    def take_step(self, norm: float) -> None:
        """One step of AdamW with the gradient that is there, whose norm was this before it was clipped."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.step()
        self.step += 1
        self.guard.passed(norm)
        if self.average is not None:
            self.average.take_in(self.step)

    def learning_rate(self) -> float:
        return learning_rate(self.settings, self.step, len(self.rollbacks))

    def validate(self) -> None:
        """Scores the model, or the one of averaged weights, on the validation frames; keeps the best.

        One worker does this, the others wait for it in the next step.
        """
        settings, model = self.settings, self.model
        if self.average is not None:
            model = Forecaster.from_description(self.model.description()).to(self.device)
            model.load_state_dict(self.average.weights())
        error = validation_error(
            model,
            self.path,
            self.splits["validation"],
            self.statistics["scale"],
            length=settings.recompute or math.ceil(settings.window / settings.time_parallel),
            device=self.device,
        )
        if error < self.best_error:
            self.best, self.best_error = to_arrays(model.state_dict()), error
        self.history.record(step=self.step, validation_mse=error)

    def go_back(self, wrong: str) -> str:
        """Goes back to the newest checkpoint of a step before the last, or to the beginning; returns what to say.

        Raises:
            InputError: It went back `retries` times already.
        """
        settings, failed, times = self.settings, self.step + 1, len(self.rollbacks)
        if times >= settings.retries:
            raise InputError(self.given_up(wrong))
        good, damaged = None, ""
        if leads(self.member):
            good, damaged = self.checkpoints.newest(before=self.step)
            good = good or self.beginning()
            windows = ", ".join(f"{series} from frame {first}" for series, first in self.firsts())
            record = {"step": good.step, "rollback": times + 1, "diverged_at": failed, "why": wrong, "windows": windows}
            good = dataclasses.replace(good, rollbacks=(*self.rollbacks, record))
            self.checkpoints.go_back(good)
            self.history.go_back(good.step or -1, good.rollbacks)
        self.restore(self.agreed(good))
        if leads(self.member):
            self.look_first()
        told = (
            f"step {failed} diverged: {wrong}; back to step {self.step}, the learning rate times {settings.backoff:g}, "
            f"other windows ({times + 1} of {settings.retries} times)"
        )
        return "; ".join(filter(None, [told, damaged]))

    def given_up(self, wrong: str) -> str:
        settings, before = self.settings, ""
        if self.rollbacks:
            steps = ", ".join(str(record["diverged_at"]) for record in self.rollbacks)
            before = f", after it had diverged at step {steps} and gone back with the learning rate times "
            before += f"{settings.backoff:g} each time"
        return (
            f"training diverged at step {self.step + 1}{before}: {wrong}, at a learning rate of "
            f"{self.learning_rate():.3g}; lower learning_rate ({settings.learning_rate:g}), raise warm_up "
            f"({settings.warm_up}), or allow more retries ({settings.retries})"
        )

    def beginning(self) -> Checkpoint:
        """Where nothing is learned yet."""
        weights = to_arrays(self.untrained().state_dict())
        return Checkpoint(
            0, self.model.description(), weights, {}, weights, self.statistics, math.inf, self.learned_from
        )

    def snapshot(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            description=self.model.description(),
            weights=to_arrays(self.model.state_dict()),
            optimiser=to_arrays(moments_of(self.optimiser, self.model)),
            best=self.best,
            statistics=self.statistics,
            best_error=self.best_error,
            learned_from=self.learned_from,
            average={} if self.average is None else to_arrays(self.average.means),
            norms=self.guard.norms,
            rollbacks=self.rollbacks,
        )

    def restore(self, reached: Checkpoint) -> None:
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in reached.weights.items()})
        restore_moments(self.optimiser, self.model, reached.optimiser, reached.step)
        if self.average is not None:
            self.average.restore(reached.average)
        self.guard.restore(reached.norms)
        self.step, self.best, self.best_error = reached.step, reached.best, reached.best_error
        self.rollbacks = reached.rollbacks
