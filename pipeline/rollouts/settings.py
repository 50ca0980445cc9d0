"""Settings of the stage `rollout`, and what of them does not fit together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.period import Time, told
from pipeline.scoring import ScoreSettings
from pipeline.volume import Settings

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class RolloutSettings(Settings):
    """Settings of a `rollout` stage: forecasts of any horizon, each read as the next frame, as `rollout.zarr`, and
    scored by lead. Inputs of `train` stages beside `model`, named freely, are further models.

    Attributes:
        series: The prepared series to forecast, one or several.
        horizon: How many frames are forecast from each start.
        start: The last frame that is seen, by its time; of a year or a day the last frame in it. Or a list of them. By
            default the last frame of each series.
        every: Instead of `start`: every so many frames of the scored period is a lead of 1; the first one always.
        seen: With `every`: how many frames of the scored period, or of each run in it, are seen before the first start.
        split: Only forecasts for frames of this split, `train`, `validation` or `test`, are scored. By default all for
            which there is a frame.
        first, last: Instead of `split`: only forecasts for this period are scored, both ends included.
        members: Forecasts by each model from each start.
        perturbation: What sets them apart: normal noise of this standard deviation, in normalised units, is added to
            each value of the last frame seen, each voxel's its own. All members are perturbed and none is a control:
            the fair CRPS and the ratio of spread to skill want members that can be exchanged.
        checkpoints: So many of the last checkpoints that each training kept are further models, beside its best.
        keep: Whether the forecasts themselves are written. By default they are, but where `every` chooses the starts.
        rate: Of the exponential average that is scored beside the model; by default the one that is best on the
            validation frames, one step ahead.
        score: What is scored beside whole frames.
        confidence: Of the intervals of scores.
        chunk: Frames read, or written, together. The last bits depend on it, as those of a model do.
        seed: Of the perturbations: each is keyed by it, the series, the start and the member.
        threads: CPU threads.
    """

    series: str | tuple[str, ...]
    horizon: int
    start: Time | tuple[Time, ...] | None = None
    every: int | None = None
    seen: int = 0
    split: str | None = None
    first: Time | None = None
    last: Time | None = None
    members: int = 1
    perturbation: float = 0.0
    checkpoints: int = 0
    keep: bool | None = None
    rate: float | None = None
    score: ScoreSettings = field(default_factory=ScoreSettings)
    confidence: float = 0.95
    chunk: int = 16
    seed: int = 0
    threads: int = 1

    def __post_init__(self):
        for name in ("horizon", "members", "chunk", "threads", *(["every"] if self.every is not None else [])):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        for name in ("checkpoints", "seed", "seen"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
        for name in ("rate", "confidence"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number between 0 and 1")
        for name in ("series", "start"):
            given = getattr(self, name)
            if isinstance(given, tuple) and (not given or len(set(given)) < len(given)):
                raise ValueError(f"{name} is {list(given)}; give at least one, and each once")
        self._refuse_periods()
        if not 0 <= self.perturbation < math.inf:
            raise ValueError(f"perturbation is {self.perturbation}; give a standard deviation, 0 or more")
        if (self.members > 1) != (self.perturbation > 0):
            mend = "give a perturbation" if self.members > 1 else "set members to 2 or more, or leave perturbation out"
            alike = "all would be alike" if self.members > 1 else "one disturbed forecast is no ensemble"
            raise ValueError(f"members is {self.members} and perturbation {self.perturbation}: {alike}; {mend}")

    def _refuse_periods(self) -> None:
        period = told(self.first, self.last) if (self.first, self.last) != (None, None) else None
        if self.split is not None and self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; give one of {', '.join(SPLITS)}")
        if self.split is not None and period is not None:
            raise ValueError(f"split is {self.split!r} and the period {period}; give one of them")
        if self.every is not None and self.start is not None:
            raise ValueError(f"every is {self.every} and start {self.start}; give one of them")
        if self.seen and self.every is None:
            raise ValueError(f"seen is {self.seen} and every is not given, which chooses the starts; give every too")
        if self.every is not None and self.split is None and period is None:
            raise ValueError(f"every is {self.every}, and of which frames is not said; give split, or first and last")

    @property
    def names(self) -> tuple[str, ...]:
        """The series, whether one or several are named."""
        return (self.series,) if isinstance(self.series, str) else self.series

    @property
    def kept(self) -> bool:
        """Whether forecasts are written."""
        return self.every is None if self.keep is None else self.keep
