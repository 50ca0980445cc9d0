"""Stage `train`: one-step forecasts on windows of the training frames, the best chosen on the validation frames."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor, nn

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Windows, splits_of
from pipeline.device import own_device, threads_kept
from pipeline.masks import data_channels, masks_of
from pipeline.mesh import Alone, Member, leads, share_of
from pipeline.model import Forecaster, ModelSettings
from pipeline.progress import Progress, Steps
from pipeline.splits import Span, by_series
from pipeline.storage import arrays, store
from pipeline.storage.atomic import write_text
from pipeline.through_time import Run, squares, squares_across
from pipeline.volume import SPACE, InputError, Settings

VERSION = 5

LOCK_SECONDS = 60.0
"""How long the trainer of a killed driver may live on; two must not write one history."""


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Settings of a `train` stage.

    Attributes:
        model: See `ModelSettings`.
        steps: Training steps; `batch` windows each.
        batch: Windows of a step. The loss is their mean.
        window: Frames of a window.
        burn_in: First frames of a window that fill the state and are not scored.
        learning_rate: Of AdamW, after `warm_up` steps; falls to zero along a cosine.
        warm_up: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW; not on the numbers of transitions (decays, diffusivities, frequencies, ...).
        clip: Largest norm of a gradient.
        validate_every: Steps between looks at the validation frames.
        checkpoint_every: Steps between checkpoints.
        seed: Of the initial weights and of the windows.
        threads: CPU threads. Sums depend on it to the last bit, so it is a setting and not a property of the machine.
        recompute: Frames of a chunk, for windows whose activations do not fit a worker's memory: the backward pass
            computes each chunk again from the carries that enter it. Gradients are the same to round-off. By default
            all is held.
        truncate: Chunks of `recompute` frames after which the gradient is cut, while the carries go on. An
            approximation, off by default.
        data_parallel: Workers between which the windows of a step are divided. As `threads`, this and the next change
            sums to the last bit, and nothing beyond.
        time_parallel: Workers between which each window is cut along time; the gradient is that of the whole window.
    """

    model: ModelSettings = field(default_factory=ModelSettings)
    steps: int = 150
    batch: int = 1
    window: int = 100
    burn_in: int = 20
    learning_rate: float = 3e-4
    warm_up: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    validate_every: int = 50
    checkpoint_every: int = 20
    seed: int = 0
    threads: int = 2
    recompute: int | None = None
    truncate: int | None = None
    data_parallel: int = 1
    time_parallel: int = 1

    def __post_init__(self):
        counts = ("steps", "batch", "validate_every", "checkpoint_every", "threads", "data_parallel", "time_parallel")
        for name in (*counts, *(name for name in ("recompute", "truncate") if getattr(self, name) is not None)):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give a positive number")
        for name in ("weight_decay", "warm_up", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not 0 <= self.burn_in < self.window - 1:
            raise ValueError(
                f"burn_in is {self.burn_in} and window {self.window}; leave at least 2 frames of the window to score"
            )
        if self.data_parallel > self.batch:
            raise ValueError(
                f"data_parallel is {self.data_parallel} and batch {self.batch}, so some workers would have no window; "
                f"raise batch to at least {self.data_parallel} or lower data_parallel"
            )
        if self.time_parallel > self.window - 1:
            raise ValueError(
                f"time_parallel is {self.time_parallel} and window {self.window}, of which {self.window - 1} frames "
                f"are forecast from; set time_parallel to at most {self.window - 1}"
            )
        if self.truncate is not None and self.recompute is None:
            raise ValueError(
                f"truncate is {self.truncate} chunks and recompute, the frames of a chunk, is not given; "
                "give recompute too"
            )
        if self.truncate is not None and self.time_parallel > 1:
            raise ValueError(
                f"truncate is {self.truncate} and time_parallel {self.time_parallel}: workers along time give the "
                "whole gradient. Leave truncate out, or set time_parallel to 1"
            )

    @property
    def workers(self) -> int:
        return self.data_parallel * self.time_parallel


def train(settings: TrainSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `checkpoint.zarr` and `history.jsonl` into `output`, continuing from the last checkpoint found there.

    A run that was killed and continued makes the losses and weights of an uninterrupted one, to the bit on a CPU.
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
        series = store.open_volume(self.path, self.splits["train"][0].series)
        self.windows = Windows(self.path, tuple(self.splits["train"]), settings.window)
        self.frame = data_channels(series) * math.prod(series.sizes[axis] for axis in SPACE)
        self.scored = (settings.window - 1 - settings.burn_in) * self.frame * settings.batch
        self.device = own_device()

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = Forecaster(
                settings.model,
                volume_channels=data_channels(series),
                boundary=tuple(series.attrs["boundary"]),
                depth=series.sizes["depth"],
                masks=masks_of(series),
            ).to(self.device)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.model, settings.weight_decay))
        self.step, self.best_error = 0, math.inf
        self.best = checkpoint.to_arrays(self.model.state_dict())
        self.history = History(output / "history.jsonl")

    def run(self) -> Steps:
        settings = self.settings
        reached = self.reached()
        if reached is not None:
            self.restore(reached)
        yield Progress(self.step, settings.steps, f"continuing after step {self.step}" if reached else "starting")
        if leads(self.member):
            self.history.continue_after(self.step if reached else -1)
        while self.step < settings.steps:
            loss = self.take_step()
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss is {loss} at step {self.step}; lower learning_rate ({settings.learning_rate})"
                )
            if leads(self.member):
                self.keep(loss)
            yield Progress(self.step, settings.steps, self.note(loss))
        if leads(self.member):
            self.snapshot().save(self.output / "checkpoint.zarr")

    def reached(self) -> Checkpoint | None:
        """The newest checkpoint, the one that the first worker finds once it is alone with the folder."""
        newest = checkpoint.latest(self.output) if leads(self.member) else None
        following = torch.tensor(0 if newest is None else newest.step + 1, device=self.device)
        step = self.member.total(following).item() - 1
        return checkpoint.of_step(self.output, step) if newest is None and step >= 0 else newest

    def keep(self, loss: float) -> None:
        """Records a step; looks at the validation frames and writes a checkpoint when it is time."""
        settings = self.settings
        self.history.record(step=self.step, loss=loss)
        if self.step % settings.validate_every == 0 or self.step == settings.steps:
            self.validate()
        if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
            checkpoint.save_step(self.output, self.snapshot())

    def note(self, loss: float) -> str:
        return f"loss {loss:.4f}" + (f", validation {self.best_error:.4f}" if math.isfinite(self.best_error) else "")

    def take_step(self) -> float:
        """One step of AdamW on the windows of this step; returns the loss in units of the normalised data squared, the
        mean over all voxels that have a value."""
        settings, member = self.settings, self.member
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, self.step)
        firsts = self.windows.firsts(settings.seed, self.step, settings.batch)
        self.optimiser.zero_grad()
        loss, valued = 0.0, 0
        for number in share_of(settings.batch, member.data_rank, member.data_size):
            squares, own = self.squares(firsts[number])
            share = squares / self.scored
            share.backward()
            loss, valued = loss + share.item(), valued + own
        loss = self.summed(loss, valued)
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        self.step += 1
        return loss

    def squares(self, window: tuple[str, int]) -> tuple[Float[Tensor, ""], int]:
        """This worker's part of the squared errors of a window, given by its series and first frame, and how many they
        are."""
        settings, member = self.settings, self.member
        if member.time_size == 1 and settings.recompute is None:
            frames = self.windows.read(window, 0, settings.window).to(self.device)
            forecasts, _ = self.model(frames)
            scored = frames[settings.burn_in + 1 :]
            return self.model.errors(forecasts[settings.burn_in : -1], scored).square().sum(), self.model.valued(scored)
        own = share_of(settings.window - 1, member.time_rank, member.time_size)
        frames = self.windows.read(window, max(own.start - 1, 0), own.stop + 1).to(self.device)
        run = Run.of_window(frames, self.model, first=own.start, burn_in=settings.burn_in)
        if member.time_size > 1:
            return squares_across(self.model, run, member.exchange, recompute=settings.recompute), run.valued()
        return squares(self.model, run, recompute=settings.recompute, truncate=settings.truncate), run.valued()

    def summed(self, loss: float, valued: int) -> float:
        """The loss of all workers; their gradients are summed in place. One message for all.

        Where values are missing, how many there are is known at the end alone: loss and gradients, which were divided
        by the number of all voxels, are then divided by the share that has a value.
        """
        gradients = [parameter.grad for parameter in self.model.parameters()]
        numbers = [loss, valued / self.scored] if self.model.masks else [loss]
        if self.member.data_size * self.member.time_size > 1:
            flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor(numbers)])
            sizes = [gradient.numel() for gradient in gradients]
            *totals, told = self.member.total(flat).split([*sizes, len(numbers)])
            for gradient, total in zip(gradients, totals, strict=True):
                gradient.copy_(total.view_as(gradient))
            numbers = told.tolist()
        loss, *shares = numbers
        for share in filter(None, shares):
            loss /= share
            for gradient in gradients:
                gradient.div_(share)
        return loss

    @torch.no_grad()
    def validate(self) -> None:
        """Scores the model on the validation frames, with the series' whole past as its memory; keeps the best.

        One worker does this, the others wait for it in the next step; it takes no more memory than a step does.
        """
        squares, valued = 0.0, 0
        for series, spans in by_series(self.splits["validation"]).items():
            own, count = self.validation_squares(series, spans)
            squares, valued = squares + own, valued + count
        if valued == 0:
            raise InputError("no frame of the validation split has a value to be scored on; choose other periods")
        error = squares / valued
        if error < self.best_error:
            self.best, self.best_error = checkpoint.to_arrays(self.model.state_dict()), error
        self.history.record(step=self.step, validation_mse=error)

    def validation_squares(self, series: str, spans: list[Span]) -> tuple[float, int]:
        """The squared errors, in the data's units squared, over some spans of a series, from its first frame on; and
        how many they are."""
        settings, squares, valued, carries = self.settings, 0.0, 0, None
        length = settings.recompute or math.ceil(settings.window / settings.time_parallel)
        stop, scale = spans[-1].stop, torch.from_numpy(self.statistics["scale"])
        for first in range(0, stop - 1, length):
            last = min(first + length, stop - 1)
            frames = torch.from_numpy(store.read_frames(self.path, series, first, last + 1))
            forecasts, carries = self.model(frames[:-1].to(self.device), carries)
            forecasts = forecasts.cpu()
            for span in spans:
                scored = slice(*(min(max(frame - 1 - first, 0), last - first) for frame in (span.start, span.stop)))
                came = frames[1:][scored]
                errors = self.model.errors(forecasts[scored], came).double() * scale
                squares, valued = squares + errors.square().sum().item(), valued + self.model.valued(came)
        return squares, valued

    def snapshot(self) -> Checkpoint:
        moments = {
            f"{name}.{key}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self.optimiser.state[parameter].items()
            if key != "step"  # the same for all, and the checkpoint's own
        }
        return Checkpoint(
            step=self.step,
            description=self.model.description(),
            weights=checkpoint.to_arrays(self.model.state_dict()),
            optimiser=checkpoint.to_arrays(moments),
            best=self.best,
            statistics=self.statistics,
            best_error=self.best_error,
            learned_from=self.learned_from,
        )

    def restore(self, reached: Checkpoint) -> None:
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in reached.weights.items()})
        for name, parameter in self.model.named_parameters():
            moments = {key: reached.optimiser[f"{name}.{key}"] for key in ("exp_avg", "exp_avg_sq")}
            self.optimiser.state[parameter] = {"step": torch.tensor(float(reached.step))} | {
                key: torch.from_numpy(array).to(self.device) for key, array in moments.items()
            }
        self.step, self.best, self.best_error = reached.step, reached.best, reached.best_error


class History:
    """Losses and validation errors as JSON lines, one record a line, written as they come."""

    def __init__(self, path: Path):
        self.path = path

    def record(self, **values: int | float) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def continue_after(self, step: int) -> None:
        """Drops what a killed run recorded after its last checkpoint."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(self.path, "".join(line + "\n" for line in kept))


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, then a cosine to zero; a function of the step alone."""
    warm = min(1.0, (step + 1) / max(settings.warm_up, 1))
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def parameter_groups(model: Forecaster, weight_decay: float) -> list[dict]:
    """Transitions and steps are time and length scales: shrinking their raw values towards zero means nothing."""
    named = [(".family." in name or name.endswith(".steps.bias"), p) for name, p in model.named_parameters()]
    scales = [p for is_scale, p in named if is_scale]
    matrices = [p for is_scale, p in named if not is_scale]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": scales, "weight_decay": 0.0}]
