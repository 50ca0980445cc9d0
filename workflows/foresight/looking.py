"""Going from stage to stage of a workflow, with what is known of those before.

Numbers here were fitted to stages that were measured (DESIGN.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import xarray as xr

from cluster import Executor, own_usage
from pipeline.splits import Span
from workflows.foresight.kept import Kept
from workflows.foresight.machine import Rates, rates
from workflows.foresight.rehearsal import Line
from workflows.plan import PlannedStage

LIBRARIES = {
    "ingest": 20e6,
    "preprocess": 65e6,
    "train": 150e6,
    "infer": 90e6,
    "rollout": 90e6,
    "evaluate": 20e6,
    "report": 35e6,
    "gather": 20e6,
}
"""Bytes of the libraries that a stage brings, beyond those that whoever runs a recipe has imported."""

LEFT = 0.15
"""Of what a stage took beside its libraries: what stays with its process (freed, but in use by the C library)."""

RAY = 110e6
"""Bytes of a process that started or joined Ray."""

STARTING, LOADING = 6.0, 3.0
"""Seconds in which a worker starts, imports and loads compiled code; in which the process that runs the recipe imports
and loads that, with its first model."""

SCORED = 4e6
"""Bytes of frames a second that are scored: an order of magnitude, of one core."""


@dataclass
class Known:
    """What is known of a stage that others read.

    Attributes:
        volumes: What it has made, or will make, by series.
        spans: The periods of its splits.
        settings: Its own.
        prepared: Of a training: what it learns from.
        lines: Of a training: what it and its forecasts take.
    """

    volumes: Mapping[str, xr.Dataset] = field(default_factory=dict)
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    settings: Any = None
    prepared: str = ""
    lines: Mapping[str, Line] = field(default_factory=dict)


class Looking:
    """What is known so far.

    Args:
        planned: The stages, in order.
        executor: Where they will run.
        kept: What was measured before.

    Attributes:
        planned: By name.
        known: Of the stages that were looked at, by name.
    """

    def __init__(self, planned: Sequence[PlannedStage], executor: Executor, kept: Kept):
        self.planned = {stage.stage.name: stage for stage in planned}
        self.executor, self.kept = executor, kept
        self.known: dict[str, Known] = {}
        self._alone = self._base = own_usage().resident
        self._left, self._joined, self._loaded = 0.0, False, False

    @cached_property
    def rates(self) -> Rates:
        """How fast numbers move through a store."""
        return rates(self.kept)

    def host(self, kind: str, working: float, *, apart: bool = False) -> int:
        """Memory of the process of a stage: of the one that runs the recipe, with what stages before left in it, or of
        a worker of its own."""
        libraries = LIBRARIES[kind]
        if apart:
            self._base += 0 if self._joined else RAY
            self._joined = True
            return round(self._alone + libraries + working)
        taken = round(self._base + max(self._left, libraries) + working)
        self._left = max(self._left, libraries + LEFT * working)
        return taken

    def start(self, *, apart: bool) -> float:
        """Seconds before a stage that has a model works on its first frame."""
        seconds = STARTING if apart else 0.0 if self._loaded else LOADING
        self._loaded = self._loaded or not apart
        return seconds
