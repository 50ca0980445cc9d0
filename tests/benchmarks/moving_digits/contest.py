"""Two models trained side by side: the same loss, optimiser, windows and wall time, in one process, taking turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pipeline.model import Forecaster
from pipeline.together import Together
from pipeline.training.optimiser import make_optimiser
from tests.benchmarks.moving_digits.conv_lstm import ConvLSTM

Frames = Float[Tensor, "window time 1 1 height width"]
WEIGHT_DECAY, CLIP, WARM_UP = 0.01, 1.0, 20


class Scale(NamedTuple):
    """What frames are less the mean frame of training, in units of one standard deviation of training."""

    mean: Float[Tensor, "height width"]
    deviation: float

    @staticmethod
    def of(frames: UInt8[np.ndarray, "sequence time height width"]) -> Scale:
        mean = frames.mean((0, 1), dtype=np.float64) / 255
        square = np.square(frames / np.float32(255)).mean(dtype=np.float64)
        return Scale(torch.from_numpy(mean).float(), math.sqrt(square - np.square(mean).mean()))

    def normal(self, frames: UInt8[np.ndarray, "sequence time height width"]) -> Frames:
        return ((torch.from_numpy(frames).float() / 255 - self.mean) / self.deviation)[:, :, None, None]


@dataclass
class Contender:
    """A model in training.

    Attributes:
        name: Whose figures are printed.
        model: `Forecaster` or `ConvLSTM`.
        learning_rate: The highest.
        spent: Seconds of its steps.
        steps: How many it took.
    """

    name: str
    model: Forecaster | ConvLSTM
    learning_rate: float
    spent: float = 0.0
    steps: int = 0
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self):
        self.begin()

    def begin(self) -> None:
        """Begins another training with the weights as they are."""
        self.spent, self.steps = 0.0, 0
        if isinstance(self.model, Forecaster):
            self.optimiser = make_optimiser(self.model, WEIGHT_DECAY)
        else:
            self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=WEIGHT_DECAY)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def forecasts(self, windows: Frames, horizon: int) -> Float[Tensor, "window made 1 1 height width"]:
        """Forecasts of all frames but the first, of the last `horizon` by feeding forecasts back."""
        if isinstance(self.model, Forecaster):
            return Together(self.model, tuple(windows.shape[3:])).forecasts(windows, horizon)
        return self.model.forecasts(windows[:, :, :, 0].transpose(0, 1), horizon).transpose(0, 1).unsqueeze(3)

    def take_step(self, windows: Frames, horizon: int, seconds: float) -> None:
        """One step of AdamW towards forecasts of the last `horizon` frames; its rate is a cosine in the time spent."""
        start = time.perf_counter()
        rate = self.learning_rate * min(1.0, (self.steps + 1) / WARM_UP)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * min(1.0, self.spent / seconds)))
        self.optimiser.zero_grad()
        loss(self.forecasts(windows, horizon), windows, horizon).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        self.steps, self.spent = self.steps + 1, self.spent + time.perf_counter() - start


def loss(made: Tensor, windows: Frames, horizon: int) -> Float[Tensor, ""]:
    """The mean squared error of the last `horizon` frames."""
    return (made[:, -horizon:] - windows[:, -horizon:]).square().mean()


def train(contenders: list[Contender], windows: Callable[[int], tuple[Frames, int]], seconds: float) -> None:
    """Trains each for as many seconds of wall time. Who has spent least takes the next step, so a slow minute of the
    machine slows all; the n-th step of each has the same `windows`, of which it says how many last frames are forecast.
    """
    while min(one.spent for one in contenders) < seconds:
        one = min(contenders, key=lambda contender: contender.spent)
        one.take_step(*windows(one.steps), seconds)


@torch.no_grad()
def errors(
    contender: Contender, windows: Frames, horizon: int, deviation: float, at_once: int = 16
) -> Float[np.ndarray, "sequence lead"]:
    """The mean squared error of each sequence at each lead, in units of brightness squared (from 0 to 1)."""
    found = []
    for some in windows.split(at_once):
        wrong = contender.forecasts(some, horizon)[:, -horizon:] - some[:, -horizon:]
        found.append(wrong.double().square().mean((2, 3, 4, 5)) * deviation**2)
    return torch.cat(found).numpy()
