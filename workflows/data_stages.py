"""The stages that make data: they compute with dask where the executor's work runs, and need no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import Executor
from pipeline import ingest, preprocess
from pipeline.progress import Steps
from pipeline.storage.fill import Means
from workflows.stage import StageKind


def by_blocks(function: Callable[[Any, dict[str, Path], Path, Means], Steps]) -> Callable[..., Steps]:
    """A stage whose dask arrays are computed where the executor's work runs, within its memory; the bits are the
    same."""

    def run(settings: Any, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
        with executor.dask_scheduler():
            yield from function(settings, inputs, output, Means(executor.memory))

    return run


def in_splits(settings: preprocess.PreprocessSettings) -> dict[tuple[str | int, ...], str]:
    """Where a `preprocess` stage names its series."""
    return {("splits", *place): series for place, series in settings.splits.names().items()}


KINDS = (
    StageKind(
        "ingest",
        ingest.IngestSettings,
        by_blocks(ingest.ingest),
        ingest.VERSION,
        roles={},
        files=("source",),
        resumes=True,
    ),
    StageKind(
        "preprocess",
        preprocess.PreprocessSettings,
        by_blocks(preprocess.preprocess),
        preprocess.VERSION,
        roles={},
        others=("ingest",),
        resumes=True,
        names_series=in_splits,
    ),
)
