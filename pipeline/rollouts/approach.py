"""The way to the starts: one pass over a series, in the order of time, for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from pipeline.baselines import Baseline, ExponentialAverage, Frame, Persistence
from pipeline.dataset import Truth
from pipeline.elapsed import elapsed
from pipeline.model import Forecaster
from pipeline.rolling import Standing
from pipeline.rollouts.kept import Kept, Underway
from pipeline.sequence import run_starts

PAUSE = 30.0
"""Seconds between notes of how far the pass is: who is killed does what came after again."""


class Approach:
    """Passes over one series.

    Whole chunks go through the models at once. In a chunk with starts the frames up to the last of them go through one
    at a time as well, from the carry that enters the chunk: what comes of a start does not depend on which other starts
    there are, to the bit. Memory is that of a chunk.

    Args:
        models: On their device.
        truth: The series.
        chunk: Frames of a chunk.
        rate: Of the exponential average; without one, no baselines are looked at.
        kept: Where the pass notes how far it is.
    """

    def __init__(self, models: Sequence[Forecaster], truth: Truth, *, chunk: int, rate: float | None, kept: Kept):
        self._models, self._truth, self._chunk, self._rate, self._kept = models, truth, chunk, rate, kept
        self._device = next(models[0].parameters()).device
        self._steps = [elapsed(truth.volume, model.unit) for model in models]
        self._begun = {0, *run_starts(truth.volume).tolist()}
        self._note = f"approach.{truth.series}"

    def arrivals(self, starts: Sequence[int]) -> Iterator[Underway]:
        """Where each model stands at each start, and what baselines forecast there; not a frame beyond it is read.

        Args:
            starts: Frames, in the order of time.
        """
        if not starts:
            return
        known, written = self._kept.read(self._note), time.monotonic()
        if known is None or known.lead > starts[0]:
            known = Underway(0, [], {})
        carries = [standing.carries for standing in known.standings] or [None] * len(self._models)
        baselines = self._baselines(known.baselines)
        for first in range(known.lead, starts[-1] + 1, self._chunk):
            stop = min(first + self._chunk, starts[-1] + 1)
            frames = self._truth.normal(first, stop)
            inside, each = {start for start in starts if start < stop}, carries
            starts = starts[len(inside) :]
            truths = self._truth.frames(first, stop) if baselines else [None] * len(frames)
            frames = torch.from_numpy(frames).to(self._device)
            for number, (frame, truth) in enumerate(zip(frames, truths, strict=True), start=first):
                if number in self._begun:
                    baselines = self._baselines({})
                for baseline in baselines.values():
                    baseline.update(truth)
                if number in inside:
                    standings = [Standing(frame, *own) for own in zip(each, self._at(number, 1), strict=True)]
                    yield Underway(0, standings, {name: one.forecast() for name, one in baselines.items()})
                    inside.remove(number)
                if inside:
                    each = self._read(frame[None], each, number)
            if starts:
                carries = self._read(frames, carries, first)
                if time.monotonic() - written >= PAUSE:
                    standings = [Standing(frames[-1], carry) for carry in carries]
                    forecasts = {name: one.forecast() for name, one in baselines.items()}
                    self._kept.write(self._note, Underway(stop, standings, forecasts))
                    written = time.monotonic()

    def end(self) -> None:
        """Forgets how far the pass is."""
        self._kept.remove(self._note)

    @torch.no_grad()
    def _read(self, frames: torch.Tensor, carries: list, first: int) -> list:
        """The carries that frames leave, whose first one has this number."""
        each = zip(self._models, carries, self._at(first, len(frames)), strict=True)
        return [model(frames, carry, steps)[1] for model, carry, steps in each]

    def _at(self, first: int, count: int) -> list[torch.Tensor | None]:
        """Of each model the steps to some frames."""
        return [
            None if own is None else torch.from_numpy(own[first : first + count]).to(self._device)
            for own in self._steps
        ]

    def _baselines(self, seen: dict[str, Frame]) -> dict[str, Baseline]:
        """Those that see the series; what they had forecast is all that they know of it."""
        if self._rate is None:
            return {}
        found = {"persistence": Persistence(), "exponential_average": ExponentialAverage(self._rate)}
        for name, forecast in seen.items():
            found[name].update(forecast)
        return found
