"""The stages that train and use models: what is computed (`pipeline`), and where it happens (`cluster`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cluster import Executor
from pipeline import compare, evaluate, gather, infer, pace, report, rollout, train
from pipeline.longer import take_over
from pipeline.progress import Progress, Steps
from pipeline.rollouts.settings import RolloutSettings
from pipeline.span import SpanJob
from pipeline.training.settings import TrainSettings
from pipeline.walk_back import write_carries_behind
from workflows.across import across_workers
from workflows.stage import Said, StageKind


def here(function: Callable[[Any, dict[str, Path], Path], Steps]) -> Callable[..., Steps]:
    """A stage that runs in the process that runs the workflow."""

    def run(settings: Any, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
        del executor
        yield from function(settings, inputs, output)

    return run


def on_a_mesh(settings: TrainSettings, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
    """The stage `train`: in one worker, on a GPU where the cluster has them, or in a team of as many as asked for."""
    if settings.workers == 1:
        yield from executor.stream(train.train, settings, inputs, output, threads=settings.threads)
        return
    yield from executor.team(
        train.train_as_member,
        settings,
        inputs,
        output,
        data=settings.data_parallel,
        time=settings.time_parallel,
        threads=settings.threads,
        folder=output,
    )


def across_time(
    settings: infer.InferSettings, inputs: dict[str, Path], output: Path, executor: Executor
) -> Iterator[Said]:
    """The stage `infer`: shards of time over the workers, each committed when it is written."""
    job = infer.InferJob(settings, inputs, output)
    told = job.promises()
    told += filter(None, [take_over(job)])
    job.prepare()
    for line in told:
        yield Progress(sum(job.ledger.done()), sum(job.lengths), line=line)
    if job.model.settings.bidirectional:
        where = (job.checkpoint, job.prepared, job.strands, job.behind, job.threads)
        yield from executor.stream(write_carries_behind, *where, threads=job.threads)
    yield from across_workers(job, executor, exchange="auto" if job.side_by_side else "chain")


def across_span(
    settings: infer.InferSettings, inputs: dict[str, Path], output: Path, executor: Executor, first: str, last: str
) -> Iterator[Said]:
    """A span of what the stage `infer` made, again."""
    job = SpanJob(infer.InferJob(settings, inputs, output), first, last)

    def steps() -> Iterator[Said]:
        yield Progress(sum(job.ledger.done()), sum(job.lengths), line=job.told())
        yield from across_workers(job, executor, exchange="chain")  # the bits of one worker

    return steps()


def in_a_worker(settings: RolloutSettings, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
    """The stage `rollout`: in one worker, on a GPU where the cluster has them."""
    yield from executor.stream(rollout.rollout, settings, inputs, output, threads=settings.threads)


def beside_each_other(settings: pace.PaceSettings, inputs: dict[str, Path], output: Path, executor: Executor) -> Steps:
    """The stage `pace`: in one worker, as trainings are."""
    threads = max(training.threads for training in settings.trainings.values())
    yield from executor.stream(pace.pace, settings, inputs, output, threads=threads)


def named(settings: infer.InferSettings | RolloutSettings) -> dict[tuple[str | int, ...], str]:
    """Where a stage that forecasts names its series: one, or the members of a list."""
    one = isinstance(settings.series, str)
    return {("series",) if one else ("series", number): name for number, name in enumerate(settings.names)}


KINDS = (
    StageKind(
        "train",
        TrainSettings,
        on_a_mesh,
        train.VERSION,
        roles={"prepared": "preprocess"},
        resumes=True,
        distributed=True,
    ),
    StageKind(
        "infer",
        infer.InferSettings,
        across_time,
        infer.VERSION,
        roles={"prepared": "preprocess", "model": "train"},
        names_series=named,
        resumes=True,
        again=across_span,
        distributed=True,
    ),
    StageKind(
        "rollout",
        RolloutSettings,
        in_a_worker,
        rollout.VERSION,
        roles={"prepared": "preprocess", "model": "train"},
        others=("train",),  # further models
        names_series=named,
        resumes=True,
        distributed=True,
    ),
    StageKind(
        "evaluate",
        evaluate.EvaluateSettings,
        here(evaluate.evaluate),
        evaluate.VERSION,
        roles={"prediction": "infer", "prepared": "preprocess", "model": "train"},
        others=("ingest",),  # masks
    ),
    StageKind(
        "gather",
        gather.GatherSettings,
        here(gather.gather),
        gather.VERSION,
        roles={},
        others=("evaluate",),
        gathers=True,
    ),
    StageKind(
        "pace",
        pace.PaceSettings,
        beside_each_other,
        pace.VERSION,
        roles={"prepared": "preprocess"},
        distributed=True,
    ),
    StageKind(
        "compare",
        compare.CompareSettings,
        here(compare.compare),
        compare.VERSION,
        roles={"pace": "pace"},
        others=("train", "evaluate"),
        gathers=True,
    ),
    StageKind(
        "report",
        report.ReportSettings,
        here(report.report),
        report.VERSION,
        roles={"scores": "evaluate", "prediction": "infer", "prepared": "preprocess", "model": "train"},
        optional={"rollout": "rollout"},
    ),
)
