"""Settings of the stage `train`, and what of them does not fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.model import ModelSettings
from pipeline.training.least_squares import LeastSquares
from pipeline.volume import Settings

COUNTS = (
    "steps",
    "batch",
    "validate_every",
    "checkpoint_every",
    "keep",
    "spike_steps",
    "threads",
    "data_parallel",
    "time_parallel",
)
"""Settings that are 1 at least."""


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Settings of a `train` stage.

    Attributes:
        model: See `ModelSettings`.
        start: Fits how the first layer's states are read, in closed form, before the first step
            (`least_squares.LeastSquares`); the model is then looked at on the validation frames before that step too.
            Without it the model starts as an exponential average.
        steps: Training steps; `batch` windows each.
        batch: Windows of a step. The loss is their mean.
        window: Frames of a window.
        burn_in: First frames of a window that fill the state and are not scored.
        learning_rate: Of AdamW, after `warm_up` steps; falls to zero along a cosine.
        warm_up: Steps over which the learning rate rises from zero.
        weight_decay: Of AdamW; not on the numbers of transitions (decays, diffusivities, frequencies, ...).
        clip: Largest norm of a gradient.
        ema: Decay a step of an average of the weights (`average.Average`), which then is the model that is validated
            and kept; 0.999 remembers about a thousand steps. 0, the default, is none.
        validate_every: Steps between looks at the validation frames.
        checkpoint_every: Steps between checkpoints.
        keep: How many checkpoints stay, the last ones. Each holds the best weights too, so these stay whatever is kept.
        spike: A gradient whose norm, before `clip`, is beyond so many times the median of the last `spike_steps` steps
            counts as diverged, once there were so many steps. Not looked at by default; a loss or a norm that is not
            finite always counts.
        spike_steps: See `spike`.
        retries: How often a training that diverged goes back to a checkpoint, see `pipeline.train`; then it gives up.
        backoff: What the learning rate is multiplied by each time, from there on.
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
    window: int = 100
    burn_in: int = 20
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
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}; give a decay from 0, no average, to below 1")
        if not 0 < self.backoff <= 1:
            raise ValueError(f"backoff is {self.backoff}; give a factor above 0, at most 1")
        if self.spike is not None and not 1 < self.spike < math.inf:
            raise ValueError(f"spike is {self.spike} times the median norm; give more than 1, or leave it out")
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
