"""Stage `train`: forecasts on windows of the training frames, the best of one step chosen on the validation frames.

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
import time
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from pipeline.checkpoint import Checkpoint, to_arrays
from pipeline.dataset import Windows, splits_of, within_runs
from pipeline.device import own_device, threads_kept
from pipeline.elapsed import elapsed, median_step
from pipeline.mesh import Alone, Member, leads
from pipeline.model import Forecaster
from pipeline.progress import Progress, Steps
from pipeline.roles import Roles, names_of
from pipeline.storage import arrays, store
from pipeline.training.average import Average
from pipeline.training.board import Board
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.guard import Diverged, Guard
from pipeline.training.history import History
from pipeline.training.least_squares import start_by_least_squares
from pipeline.training.loader import WAITING, Loader, Part
from pipeline.training.objective import Objective
from pipeline.training.optimiser import make_optimiser, moments_of, restore_moments
from pipeline.training.schedule import learning_rate
from pipeline.training.settings import TrainSettings
from pipeline.training.timing import Timing
from pipeline.training.validation import validation_error
from pipeline.volume import DATA, SPACE, InputError

VERSION = 8

LOCK_SECONDS = 60.0
"""How long the trainer of a killed driver may live on; two must not write one history."""


def train(settings: TrainSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `checkpoint.zarr`, `history.jsonl` and `timing.jsonl` into `output`, and `tensorboard/` where that package
    is installed, continuing from the last checkpoint found there.

    A run that was killed and continued makes the losses and weights of an uninterrupted one, to the bit on a CPU.

    Raises:
        Diverged: Training diverged, and did so again `retries` times.
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
        self.splits = within_runs(source, splits_of(source))
        self.series = store.open_volume(self.path, self.splits["train"][0].series)
        self.roles = Roles.of(self.series, settings.model)
        self.channels = {} if settings.model.task == "forecast" else self.roles.as_names(names_of(self.series))
        self.unit = median_step(self.series) if settings.model.uneven else None
        spans, lengths = tuple(self.splits["train"]), sorted({cut.window for cut in settings.cuts.values()})
        steps = {span.series: elapsed(store.open_volume(self.path, span.series), self.unit) for span in spans}
        self.windows = {length: Windows(self.path, spans, length, steps) for length in lengths}
        self.device = own_device()

        self.model = self.untrained().to(self.device)
        grid = tuple(self.series.sizes[axis] for axis in SPACE)
        self.model.grid(grid)  # refuses patches that do not fit
        made = 1 if settings.model.classes else len(self.roles.makes)
        self.objective = Objective(settings, self.model, self.roles, made * math.prod(grid), member)
        self.loader = Loader(self.windows[max(lengths)], self.parts, settings.steps)
        self.optimiser = make_optimiser(self.model, settings.weight_decay)
        self.average = Average(settings.ema, self.model) if settings.ema else None
        self.guard = Guard(settings.spike, settings.spike_steps)
        self.step, self.best_error = 0, math.inf
        self.best = to_arrays(self.model.state_dict())
        self.rollbacks: tuple[dict, ...] = ()
        self.history, self.timing = History(output / "history.jsonl"), Timing(output / "timing.jsonl")
        self.board = Board(output / "tensorboard")
        self.checkpoints = Checkpoints(output, settings.keep)

    def untrained(self) -> Forecaster:
        """The model that training begins with, drawn from the seed; with `start` fitted to the training frames."""
        settings = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = Forecaster(
                settings.model,
                volume_channels=len(self.roles.reads),
                boundary=tuple(self.series.attrs["boundary"]),
                depth=self.series.sizes["depth"],
                masks=self.roles.masks,
                outputs=len(self.roles.makes),
                unit=self.unit,
                labels=self.labels() if settings.model.classes else None,
            )
        if settings.start is not None:
            spans, cut = self.splits["train"], {"window": settings.window, "burn_in": settings.burn_in}
            start_by_least_squares(model, settings.start, self.path, spans, **cut, seed=settings.seed)
        return model

    def labels(self) -> tuple[float, float]:
        """The numbers (a, b) by which a normalised target is the label a * target + b.

        Raises:
            InputError: Labels were normalised voxel by voxel, or by phases of the year.
        """
        made = self.roles.made[0]
        scale, offset = (self.statistics[name][made].ravel() for name in ("scale", "mean"))
        if scale.size > 1 or offset.size > 1 or "cycle" in self.statistics:
            raise InputError(
                f"the labels of channel {self.roles.makes[0]!r} were normalised voxel by voxel and are no labels any "
                "more; prepare them with normalise: {mean: channel, scale: channel} and no anomalies"
            )
        return float(scale[0]), float(offset[0])

    def run(self) -> Steps:
        newest, told = self.checkpoints.newest() if leads(self.member) else (None, "")
        reached = self.agreed(newest)
        if reached is not None:
            self.restore(reached)
        going_on = f"continuing after step {self.step}" if reached else ""
        line = "; ".join(filter(None, (going_on, told)))
        yield Progress(self.step, self.settings.steps, going_on or "starting", line=line)
        if leads(self.member):
            self.checkpoints.prune(needed=self.step)
            self.history.go_back(self.step or -1, self.rollbacks)
            self.timing.go_back(self.step or -1)
            self.board.go_on(self.step)
            self.look_first()
        with closing(self.loader), closing(self.board):
            yield from self.steps()
        if leads(self.member):
            self.snapshot().save(self.output / "checkpoint.zarr")

    def steps(self) -> Steps:
        """Takes all steps that are left."""
        settings, since, frames = self.settings, time.perf_counter(), 0
        while self.step < settings.steps:
            begun, waited = time.perf_counter(), self.loader.waited
            loss, norm = self.look()
            wrong = self.guard.wrong(loss, norm)
            if wrong:
                line = self.go_back(wrong)
                yield Progress(self.step, settings.steps, f"going on after step {self.step}", line=line)
                continue
            self.take_step(norm)
            if leads(self.member):
                waited = self.loader.waited - waited
                self.timing.record(self.step, time.perf_counter() - begun, waited)
                self.board.show(self.step, gradient_norm=norm, waited=waited, **self.rates())
                self.keep(loss)
            frames += settings.batch * settings.cut(self.step).window
            yield Progress(
                self.step,
                settings.steps,
                self.note(loss),
                line=self.lesson(),
                frames=frames,
                size=frames * self.frame_bytes,
                shares=self.shares(time.perf_counter() - since),
            )

    @property
    def frame_bytes(self) -> int:
        """Of a prepared frame."""
        return self.series[DATA].nbytes // self.series.sizes["time"]

    def shares(self, seconds: float) -> dict[str, float]:
        """Seconds by activity, of all; what was not waited was computed, by the first worker."""
        known = self.loader.seconds
        return known | {"computing": seconds - known.get(WAITING, 0.0), "all": seconds}

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
        if settings.begins(self.step):
            self.history.record(step=self.step, **asdict(settings.cut(self.step)))
        self.history.record(step=self.step, loss=loss)
        self.board.show(self.step, loss=loss)
        if self.step % settings.validate_every == 0 or self.step == settings.steps:
            self.validate()
        if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
            self.board.flush()
            self.checkpoints.save(self.snapshot())

    def note(self, loss: float) -> str:
        best = f", validation {self.best_error:.4f}" if math.isfinite(self.best_error) else ""
        return f"loss {loss:.4f}{best}, {self.timing.share():.0%} of the time waiting for windows"

    def lesson(self) -> str:
        """What is told of a lesson that began with the last step; empty if none did."""
        settings = self.settings
        return f"from step {self.step} on: {settings.cut(self.step)}" if settings.begins(self.step) else ""

    def firsts(self, step: int) -> list[tuple[str, int]]:
        """The windows of the step after so many."""
        settings, windows = self.settings, self.windows[self.settings.cut(step + 1).window]
        return windows.firsts(settings.seed, step, settings.batch, draw=len(self.rollbacks))

    def parts(self, step: int) -> list[Part]:
        """What this worker reads for the step after so many."""
        return self.objective.parts(self.firsts(step), self.settings.cut(step + 1))

    def look(self) -> tuple[float, float]:
        """The loss of the next step, and the norm of its gradient, which is then clipped; the same at all workers."""
        self.optimiser.zero_grad()
        loss = self.objective.loss(self.loader.frames(self.step), self.settings.cut(self.step + 1))
        return loss, nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip).item()

    def take_step(self, norm: float) -> None:
        """One step of AdamW with the gradient that is there, whose norm was this before it was clipped."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.step()
        self.step += 1
        self.guard.passed(norm)
        if self.settings.begins(self.step + 1):
            self.guard.forget()
        if self.average is not None:
            self.average.take_in(self.step)

    def learning_rate(self) -> float:
        return learning_rate(self.settings, self.step, len(self.rollbacks))

    def rates(self) -> dict[str, float]:
        """What the last step was taken with: the learning rate, and how often training had gone back."""
        return {"learning_rate": self.optimiser.param_groups[0]["lr"], "rollbacks": float(len(self.rollbacks))}

    def validate(self) -> None:
        """Scores the model, or the one of averaged weights, on the validation frames; keeps the best.

        One worker does this, the others wait for it in the next step.
        """
        settings, model = self.settings, self.model
        longest = math.ceil(max(self.windows) / settings.time_parallel)
        if self.average is not None:
            model = Forecaster.from_description(self.model.description()).to(self.device)
            model.load_state_dict(self.average.weights())
        error = validation_error(
            model,
            self.roles,
            self.path,
            self.splits["validation"],
            self.statistics["scale"][list(self.roles.made[: len(self.roles.makes)])],
            length=settings.recompute or longest,
            device=self.device,
        )
        if error < self.best_error:
            self.best, self.best_error = to_arrays(model.state_dict()), error
        self.history.record(step=self.step, validation_mse=error)
        self.board.show(self.step, validation_mse=error)

    def go_back(self, wrong: str) -> str:
        """Goes back to the newest checkpoint of a step before the last, or to the beginning; returns what to say.

        Raises:
            Diverged: It went back `retries` times already.
        """
        settings, failed, times = self.settings, self.step + 1, len(self.rollbacks)
        if times >= settings.retries:
            raise Diverged(self.given_up(wrong))
        good, damaged = None, ""
        if leads(self.member):
            good, damaged = self.checkpoints.newest(before=self.step)
            good = good or self.beginning()
            windows = ", ".join(f"{series} from frame {first}" for series, first in self.firsts(self.step))
            record = {"step": good.step, "rollback": times + 1, "diverged_at": failed, "why": wrong, "windows": windows}
            good = dataclasses.replace(good, rollbacks=(*self.rollbacks, record))
            self.checkpoints.go_back(good)
            self.history.go_back(good.step or -1, good.rollbacks)
            self.timing.go_back(good.step)
            self.board.go_on(good.step)
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
            channels=self.channels,
        )

    def restore(self, reached: Checkpoint) -> None:
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in reached.weights.items()})
        restore_moments(self.optimiser, self.model, reached.optimiser, reached.step)
        if self.average is not None:
            self.average.restore(reached.average)
        self.guard.restore(reached.norms)
        self.step, self.best, self.best_error = reached.step, reached.best, reached.best_error
        self.rollbacks = reached.rollbacks
