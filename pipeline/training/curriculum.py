"""A curriculum: how long windows are, and how far ahead is forecast, from which training step on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.volume import Settings


@dataclass(frozen=True)
class Cut:
    """How windows are used.

    Attributes:
        window: Frames of a window.
        burn_in: First frames of it that are not scored.
        horizon: Last frames of it that are forecast by rolling out.
    """

    window: int
    burn_in: int
    horizon: int

    @property
    def scored(self) -> int:
        """Forecasts of a window that count."""
        return self.window - 1 - self.burn_in

    def __str__(self) -> str:
        return f"windows of {self.window} frames, burn_in {self.burn_in}, horizon {self.horizon}"

    def refuse(self, when: str, recompute: int | None, time_parallel: int) -> None:
        """Refuses what does not fit together; `when` is said first.

        Raises:
            ValueError: The message says which values, and how to mend it.
        """
        if self.horizon < 1:
            raise ValueError(f"{when}horizon is {self.horizon}; give at least 1")
        if not 0 <= self.burn_in < self.window - 1:
            raise ValueError(
                f"{when}burn_in is {self.burn_in} and window {self.window}; leave at least 2 frames of the window to "
                "score"
            )
        if self.burn_in >= self.window - self.horizon:
            raise ValueError(
                f"{when}horizon is {self.horizon}, window {self.window} and burn_in {self.burn_in}, but more than "
                f"burn_in frames must be read before the last {self.horizon}, which are rolled out; set horizon to at "
                f"most {self.window - self.burn_in - 1}, or window to at least {self.horizon + self.burn_in + 1}"
            )
        if time_parallel > self.window - 1:
            raise ValueError(
                f"{when}time_parallel is {time_parallel} and window {self.window}, of which {self.window - 1} frames "
                f"are forecast from; set time_parallel to at most {self.window - 1}"
            )
        if self.horizon > 1 and (recompute is not None or time_parallel > 1):
            other = f"time_parallel {time_parallel}" if time_parallel > 1 else f"recompute {recompute}"
            mend = "set time_parallel to 1" if time_parallel > 1 else "leave recompute out"
            raise ValueError(
                f"{when}horizon is {self.horizon} and {other}: a window that is rolled out is held whole by one "
                f"worker. Set horizon to 1, or {mend}"
            )


@dataclass(frozen=True)
class Lesson(Settings):
    """What is trained on from a step on, until the next lesson begins.

    Attributes:
        first_step: The step that it begins with; steps count from 1.
        window, burn_in, horizon: As in `TrainSettings`; what is left out is the stage's own.
    """

    first_step: int
    window: int | None = None
    burn_in: int | None = None
    horizon: int | None = None

    def cut(self, own: Cut) -> Cut:
        """How it uses windows, given the stage's own way."""
        given = {name: getattr(self, name) for name in asdict(own)}
        return replace(own, **{name: value for name, value in given.items() if value is not None})


def refuse_order(curriculum: Sequence[Lesson]) -> None:
    """Refuses lessons that do not begin one after another.

    Raises:
        ValueError: The message says which.
    """
    for number, lesson in enumerate(curriculum, start=1):
        if lesson.first_step < 1:
            raise ValueError(f"first_step of lesson {number} is {lesson.first_step}; give at least 1")
    for number, (one, other) in enumerate(itertools.pairwise(curriculum), start=1):
        if other.first_step <= one.first_step:
            raise ValueError(
                f"lesson {number} begins with step {one.first_step} and lesson {number + 1} with step "
                f"{other.first_step}; let each begin after the one before it"
            )
