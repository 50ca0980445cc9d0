"""Stage `rollout`: forecasts of any horizon from any times of a series, scored by lead while they are made.

One pass over a series goes by all of its starts (`rollouts.approach`). From each start every member goes on alone, each
forecast read as the next frame. After a chunk of forecasts is written where they are kept, and scored where there are
frames to score them by, it is noted where the members stand: a run that was killed goes on from there, and so does one
whose horizon became longer (`rollouts.longer`), to the bits of one that was never interrupted. Nothing grows with the
horizon but the forecasts and scores on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.climatology import climatology
from pipeline.dataset import splits_of, within_runs
from pipeline.device import threads_kept
from pipeline.progress import Progress, Steps
from pipeline.rolling import Standing, roll
from pipeline.rollouts.approach import Approach
from pipeline.rollouts.by_lead import Referee, by_lead
from pipeline.rollouts.job import Job
from pipeline.rollouts.kept import Underway
from pipeline.rollouts.longer import take_over
from pipeline.rollouts.rate import best_rate
from pipeline.rollouts.settings import RolloutSettings
from pipeline.rollouts.starts import Start
from pipeline.scoring import Scorer
from pipeline.storage import store
from pipeline.volume import InputError

VERSION = 1

Frame = Float[Tensor, "channel depth height width"]
"""Of a forecast, normalised."""


def rollout(settings: RolloutSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes into `output` what `settings` ask for.

    - `rollout.zarr`: the forecasts in the data's units, a volume of each start and member (`Job.group`), with the times
      that they are for. `standing/` has where each ends, to go on from.
    - `scores.jsonl`: the scores of each forecast of a frame that there is, by series, start and lead.
    - `scores.json`, `scores_by_lead.csv`: means over the starts (`rollouts.by_lead`), where anything was scored.

    Raises:
        InputError: Settings, series and models do not go together, or a forecast is not finite.
    """
    with threads_kept(settings.threads):
        job = Job(settings, inputs, output)
        taken = take_over(job, VERSION)
        job.create()
        whole, done = (sum(map(count, job.all_starts)) for count in (job.reach, job.done))
        yield Progress(done, whole, line=taken)
        scored = any(start.last_scored(settings.horizon) for start in job.all_starts)
        rate = _rate(job) if scored else None
        referees = _referees(job) if scored else {}
        for series in job.starts:
            for count, note in _roll_series(job, series, rate, referees.get(series)):
                done += count
                yield Progress(done, whole, note)
        if scored:
            _write_scores(job, rate)
        if not settings.kept:
            job.kept.clear()
        yield Progress(whole, whole, f"{len(job.all_starts)} starts, {len(job.members)} members")


def _roll_series(job: Job, series: str, rate: float | None, referee: Referee | None) -> Iterator[tuple[int, str]]:
    """All forecasts of a series; yields how many more there are, and a note. Who scores them is given where any is."""
    settings, truth = job.settings, job.truths[series]
    todo = [start for start in job.starts[series] if job.done(start) < job.reach(start)]
    fresh = [start.frame for start in todo if not job.done(start)]
    models = job.members.models[:: settings.members]
    approach = Approach(models, truth, chunk=settings.chunk, rate=rate, kept=job.kept)
    arrivals = approach.arrivals(fresh)
    for start in todo:
        underway = job.kept.read(str(start))
        if underway is None:
            there = next(arrivals)
            underway = Underway(0, job.members.begin(start, there.standings), there.baselines)
        for count in _roll_out(job, start, underway, referee):
            yield count, f"from {start.time} of series {series}"
    approach.end()


def _roll_out(job: Job, start: Start, underway: Underway, referee: Referee | None) -> Iterator[int]:
    """Forecasts from one start, chunk after chunk; yields how many more there are."""
    settings, phases, reach = job.settings, job.phases(start), job.reach(start)
    normalisation = job.truths[start.series].normalisation
    members, standings = job.members.models, underway.standings
    rolls = [roll(model, standing) for model, standing in zip(members, standings, strict=True)]
    first = underway.lead // settings.chunk * settings.chunk
    chunk = _written(job, start, first, underway.lead)
    for lead in range(underway.lead + 1, reach + 1):
        forecasts, standings = _step(rolls)
        normal = np.stack([forecast.cpu().numpy() for forecast in forecasts])
        if not np.isfinite(normal).all():
            raise InputError(
                f"the forecast from {start.time} of series {start.series!r} is no number any more {lead} frames ahead: "
                f"the model does not stay finite so far. Set horizon to at most {lead - 1}, or train it to look further"
            )
        units = normalisation.to_units(normal, None if phases is None else np.repeat(phases[lead - 1], len(normal)))
        if start.scores(lead):
            scores = referee.scores(start.frame + lead, units, underway.baselines)
            job.record.add((start.series, start.frame, lead), scores)
        if settings.kept:
            chunk.append(units.astype(np.float32))
        if lead % settings.chunk == 0 or lead == reach:
            for member in range(len(members) if settings.kept else 0):
                job.write(start, member, first, np.stack([frames[member] for frames in chunk]))
            if settings.kept or lead < reach:
                job.kept.write(str(start), Underway(lead, standings, underway.baselines))
            else:
                job.kept.remove(str(start))
            yield lead - max(first, underway.lead)
            first, chunk = lead, []


@torch.no_grad()
def _step(rolls: list[Iterator[tuple[Frame, Standing]]]) -> tuple[list[Frame], list[Standing]]:
    """Every member one frame further."""
    forecasts, standings = zip(*(next(one) for one in rolls), strict=True)
    return list(forecasts), list(standings)


def _written(job: Job, start: Start, first: int, stop: int) -> list[np.ndarray]:
    """The forecasts [first, stop) that are written already of a chunk that is not whole, (member, ..) each."""
    if not job.settings.kept or first == stop:
        return []
    members = range(len(job.members))
    return list(np.stack([store.read_frames(job.path(start, m), None, first, stop) for m in members], axis=1))


def _rate(job: Job) -> float:
    """Of the exponential average."""
    if job.settings.rate is not None:
        return job.settings.rate
    return best_rate(job.prepared, within_runs(job.prepared, splits_of(job.prepared))["validation"])


def _referees(job: Job) -> dict[str, Referee]:
    """Who scores the forecasts of each series."""
    scored = [span for own in job.starts.values() for span in own[0].spans]
    cycle = climatology(job.prepared, {"train": splits_of(job.prepared)["train"], "validation": [], "test": scored})
    return {
        series: Referee(truth, Scorer(truth, job.settings.score), cycle.get(series), job.settings.chunk)
        for series, truth in job.truths.items()
    }


def _write_scores(job: Job, rate: float) -> None:
    settings = job.settings
    leads, table = by_lead(job.record, settings.names, settings.confidence, len(job.members))
    told = {
        "units": job.truths[settings.names[0]].units,
        "members": len(job.members),
        "confidence": settings.confidence,
        "exponential_average.rate": rate,
        "leads": leads,
    }
    table.to_csv(job.output / "scores_by_lead.csv", index=False)
    (job.output / "scores.json").write_text(json.dumps(told, indent=2) + "\n")
