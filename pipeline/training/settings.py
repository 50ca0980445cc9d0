"""Settings of the stage `train`, and what of them does not fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.network.settings import ModelSettings
from pipeline.training.curriculum import Cut, Lesson, refuse_order
from pipeline.training.least_squares import LeastSquares
from pipeline.volume import Settings

COUNTS = (
    "steps",
    "batch",
    "together",
    "validate_every",
    "checkpoint_every",
    "keep",
    "spike_steps",
    "threads",
    "data_parallel",
    "time_parallel",
)
"""Settings that are 1 at least."""

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Settings of a `train` stage: a model learns from the training frames. `checkpoint.zarr` has what did best on the
    validation frames, `history.jsonl` the losses.

    Attributes:
        model: What is trained.
        start: Fits how the first layer's states are read, in closed form, before the first step; the model is then
            looked at on the validation frames before that step too. Without it the model starts as an exponential
            average.
        steps: Training steps; `batch` windows each.
        batch: Windows of a step. Unless `together` says otherwise they go through the model one after another and
            their gradients are summed, so a step takes the memory of one window. The loss is the mean over all that is
            scored of them.
        together: Windows that go through the model at once; the memory of a step is that of so many. Faster for small
            frames and for `horizon`. As `threads`, it changes sums to the last bit, and nothing beyond.
        window: Frames of a window.
        burn_in: First frames of a window that fill the state and are not scored.
        horizon: The last frames of a window that are forecast without those between: the frames before them are read,
            the first of them is forecast from these, and each further one from the forecast before it. Gradients pass
            through all of it. All forecasts after `burn_in` are scored alike. 1, the default: every forecast is made
            from the true frame before.
        curriculum: Other windows, burn-ins and horizons from some steps on, the first first: short and easy ones to
            begin with. It depends on the step alone. Each lesson begins with no norms to compare those of its gradients
            with, see `spike`.
        learning_rate: Of AdamW, after `warm_up` steps; falls to zero along a cosine.
        warm_up: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW; not on the numbers of transitions (decays, diffusivities, frequencies, ...).
        clip: Largest norm of a gradient.
        ema: Decay a step of a running average of the weights, which then is the model that is validated and
            kept; 0.999 remembers about a thousand steps. 0, the default, is none.
        validate_every: Steps between looks at the validation frames.
        checkpoint_every: Steps between checkpoints.
        keep: How many checkpoints stay, the last ones. Each holds the best weights too, so these stay whatever is kept.
        spike: A gradient whose norm, before `clip`, is beyond so many times the median of the last `spike_steps` steps
            counts as diverged, once there were so many steps. Not looked at by default; a loss or a norm that is not
            finite always counts.
        spike_steps: See `spike`.
        retries: How often a training that diverged goes back to a checkpoint and draws other windows; then it gives up.
        backoff: What the learning rate is multiplied by each time, from there on.
        precision: `float32`, or `bfloat16` for the products with weights in the model (encoder, decoder, mixes and
            gates), by `torch.autocast`. The recurrence with its transforms, carries, weights, gradients and the loss
            stay float32, and so do validation and forecasts. Meant for GPUs, where it was not measured; on CPUs it
            brings little or nothing.
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
    start: LeastSquares | None = None
    steps: int = 150
    batch: int = 1
    together: int = 1
    window: int = 100
    burn_in: int = 20
    horizon: int = 1
    curriculum: tuple[Lesson, ...] = ()
    learning_rate: float = 3e-4
    warm_up: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.0
    validate_every: int = 50
    checkpoint_every: int = 20
    keep: int = 2
    spike: float | None = None
    spike_steps: int = 50
    retries: int = 3
    backoff: float = 0.5
    precision: str = "float32"
    seed: int = 0
    threads: int = 2
    recompute: int | None = None
    truncate: int | None = None
    data_parallel: int = 1
    time_parallel: int = 1

    def __post_init__(self):
        given = [name for name in ("recompute", "truncate") if getattr(self, name) is not None]
        for names, fits, remedy in (
            ((*COUNTS, *given), lambda value: value >= 1, "at least 1"),
            (("learning_rate", "clip"), lambda value: 0 < value < math.inf, "a positive number"),
            (("weight_decay", "warm_up", "seed", "retries"), lambda value: 0 <= value < math.inf, "0 or more"),
        ):
            for name in names:
                if not fits(getattr(self, name)):
                    raise ValueError(f"{name} is {getattr(self, name)}; give {remedy}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; give one of {', '.join(PRECISIONS)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}; give a decay from 0, no average, to below 1")
        if not 0 < self.backoff <= 1:
            raise ValueError(f"backoff is {self.backoff}; give a factor above 0, at most 1")
        if self.spike is not None and not 1 < self.spike < math.inf:
            raise ValueError(f"spike is {self.spike} times the median norm; give more than 1, or leave it out")
        refuse_order(self.curriculum)
        for first, cut in self.cuts.items():
            cut.refuse(f"from step {first} on, " if self.curriculum else "", self.recompute, self.time_parallel)
            if cut.horizon > 1 and self.model.task != "forecast":
                raise ValueError(
                    f"horizon is {cut.horizon} with task {self.model.task!r}, which has no later frames to make; leave "
                    "horizon out"
                )
        if self.model.bidirectional and (self.recompute is not None or self.time_parallel > 1):
            other = (
                f"recompute {self.recompute}" if self.recompute is not None else f"time_parallel {self.time_parallel}"
            )
            raise ValueError(
                f"bidirectional with {other}: a window that is read both ways is held whole by one worker. Shorten "
                "window and leave it out"
            )
        if self.time_parallel > 1 and not self.model.side_by_side:
            raise ValueError(
                f"time_parallel is {self.time_parallel} with mixer {self.model.mixer!r}, of which a part of a window "
                "waits for the part before it. Set time_parallel to 1; data_parallel divides windows over workers"
            )
        if self.together > 1:
            self._refuse_together()
        if self.data_parallel > self.batch:
            raise ValueError(
                f"data_parallel is {self.data_parallel} and batch {self.batch}, so some workers would have no window; "
                f"raise batch to at least {self.data_parallel} or lower data_parallel"
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

    def _refuse_together(self) -> None:
        """Refuses what windows that go through the model at once cannot have.

        Raises:
            ValueError: The message says which.
        """
        model = self.model
        others = {
            "mixer": (model.mixer, model.mixer != "convssm"),
            "task": (model.task, model.task != "forecast"),
            "selective": (model.selective, model.selective),
            "uneven": (model.uneven, model.uneven),
            "recompute": (self.recompute, self.recompute is not None),
            "time_parallel": (self.time_parallel, self.time_parallel > 1),
        }
        for name, (value, against) in others.items():
            if against:
                raise ValueError(
                    f"together is {self.together} and {name} {value}: only whole windows of even steps that are "
                    f"forecast go through the model at once. Set together to 1, or leave {name} out"
                )

    @property
    def workers(self) -> int:
        return self.data_parallel * self.time_parallel

    @property
    def cuts(self) -> dict[int, Cut]:
        """How windows are used, by the step from which on they are: the stage's own way, and that of each lesson."""
        own = Cut(self.window, self.burn_in, self.horizon)
        return {1: own} | {lesson.first_step: lesson.cut(own) for lesson in self.curriculum}

    def cut(self, step: int) -> Cut:
        """How windows are used in a step; steps count from 1."""
        cuts = self.cuts
        return cuts[max(first for first in cuts if first <= step)]

    def begins(self, step: int) -> bool:
        """Whether a lesson begins with a step."""
        return any(lesson.first_step == step for lesson in self.curriculum)
