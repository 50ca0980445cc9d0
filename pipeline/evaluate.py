"""Stage `evaluate`: the forecast and its baselines, scored frame by frame on the test periods, in the data's units."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.baselines import Baseline, ExponentialAverage, Frame, OrExpected, Persistence, TrainingMean
from pipeline.climatology import Expected, climatology
from pipeline.compared import Compared
from pipeline.dataset import Truth, forecast_of, scored_frames, splits_of
from pipeline.hindcast import StoredForecast, hindcast
from pipeline.progress import Progress, Steps
from pipeline.scores import weighted_means
from pipeline.scoring import Scorer, ScoreSettings, channel_names, mean_of_known
from pipeline.spectra import Spectra
from pipeline.splits import Span, by_series
from pipeline.storage import arrays, store
from pipeline.volume import InputError, Settings

VERSION = 2

RATES = tuple(round(0.05 * k, 2) for k in range(1, 20))
ROLES = ("prediction", "prepared", "model")
CHOSEN, HINDSIGHT = "exponential_average", "best_exponential_average"


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Settings of an `evaluate` stage. Its inputs are `prediction`, `prepared` and `model`; others, of `ingest` stages
    and named freely, are masks: each is a region by that name, where its first frame is not zero.

    Attributes:
        rates: Rates tried for the exponential average.
        score: What is scored beside whole frames, see `pipeline.scoring.ScoreSettings`.
        confidence: Of the intervals of mean squared errors and of their differences.
    """

    rates: tuple[float, ...] = RATES
    score: ScoreSettings = field(default_factory=ScoreSettings)
    confidence: float = 0.95

    def __post_init__(self):
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise ValueError(f"rates are {self.rates}; give numbers between 0 and 1")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; give a number between 0 and 1")


def evaluate(settings: EvaluateSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `scores.json`, `scores_by_time.csv` and `spectra.csv` into `output`.

    `scores.json` has plain keys such as `model.mse` for whole frames, all channels together. Beside these are `parts`
    (of each channel, level and region the scores of each forecast) and, with their `confidence`, `intervals` of the
    mean squared errors and `differences` of the model's less each baseline's, by part (`all` is the whole). Scores that
    no frame has are left out, and intervals of fewer than two frames. Frames of several periods follow each other as if
    they were one, so that blocks of the bootstrap may reach over a border.

    Of the baselines `climatology` is there where a yearly cycle is known (see `pipeline.climatology`).
    `exponential_average` has the rate that is best on the validation frames; `best_exponential_average` the one that is
    best on the test frames themselves, chosen in hindsight: no forecast, but the strictest opponent.

    `scores_by_time.csv` has whole frames one by one. `spectra.csv` (see `Spectra`) has the mean power spectra of truth,
    model and persistence, each less `Truth.expected`, the mean of the training frames, whose own spectrum would hide
    the rest. There are no rows where every test frame lacks a value.
    """
    yield Progress(0, 3, "baselines on the validation frames")
    prepared, splits = inputs["prepared"], splits_of(inputs["prepared"])
    predictions = {series: forecast_of(inputs["prediction"], series) for series in by_series(splits["test"])}
    truths = {series: Truth(prepared, series) for series in predictions}
    for series, prediction in predictions.items():
        refuse_misfit(truths[series].volume, store.open_volume(prediction), series)
    masks = {name: folder / "raw.zarr" for name, folder in inputs.items() if name not in ROLES}
    scorers = {series: Scorer(truth, settings.score, masks) for series, truth in truths.items()}
    tested = scored_frames(splits, "test")
    scored_frames(splits, "validation")  # refuses one without any

    cycle = climatology(prepared, splits)
    chosen = squared_errors(prepared, splits["validation"], cycle, settings.rates)
    refuse_nothing("validation", chosen)
    rate = min(settings.rates, key=lambda r: chosen[average_name(r)])

    yield Progress(1, 3, "baselines on the test frames")
    found = squared_errors(prepared, splits["test"], cycle, settings.rates)
    refuse_nothing("test", found)
    hindsight = min(settings.rates, key=lambda r: found[average_name(r)])

    yield Progress(2, 3, "the forecast on the test frames")
    compared = Compared()
    spectra = Spectra(channel_names(next(iter(truths.values())).volume))
    for series, own in by_series(splits["test"]).items():
        truth, prediction = truths[series], predictions[series]
        averages = {CHOSEN: ExponentialAverage(rate), HINDSIGHT: ExponentialAverage(hindsight)}
        forecasters = {"model": StoredForecast(prediction)} | opponents(truth, cycle.get(series), averages)
        for number, frame, forecasts in hindcast(truth, own, forecasters):
            refuse_gaps(prediction, number, forecasts["model"], frame)
            compared.add({name: scorers[series].score(number, one, frame) for name, one in forecasts.items()})
            departures = {"truth": frame, "model": forecasts["model"], "persistence": forecasts["persistence"]}
            spectra.add({name: one - truth.expected(number) for name, one in departures.items()})
    scores: dict[str, object] = dict(compared.whole())
    scores[f"{CHOSEN}.rate"], scores[f"{HINDSIGHT}.rate"] = rate, hindsight
    scores["validation.model.mse"] = arrays.read_attributes(inputs["model"] / "checkpoint.zarr")["best_error"]
    for name in [name for name in compared.forecasts if name not in ("model", HINDSIGHT)]:
        scores[f"validation.{name}.mse"] = chosen[average_name(rate) if name == CHOSEN else name]
    scores["units"] = next(iter(truths.values())).units
    scores["confidence"] = settings.confidence
    scores["intervals"] = compared.intervals(settings.confidence)
    scores["differences"] = compared.differences("model", settings.confidence)
    scores["parts"] = compared.parts()

    table = compared.by_time()
    table.index = pd.Index([str(truths[series].volume["time"].values[frame]) for series, frame in tested], name="time")
    if len(truths) > 1:
        table.insert(0, "series", [series for series, _ in tested])
    table.to_csv(output / "scores_by_time.csv")
    spectra.table().to_csv(output / "spectra.csv", index=False)
    (output / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    yield Progress(3, 3, f"model {scores['model.mse']:.4f}, persistence {scores['persistence.mse']:.4f}")


def refuse_misfit(truth: xr.Dataset, prediction: xr.Dataset, series: str) -> None:
    """The prediction must be of the test split's series, frame t's forecast bearing frame t's time."""
    predicted = prediction.attrs["series"]
    if predicted != series or not np.array_equal(prediction["time"].values[:-1], truth["time"].values[1:]):
        raise InputError(
            f"the prediction is of series {predicted!r}, the test split of series {series!r}; "
            f"set series to {series!r} in the infer stage"
        )


def refuse_nothing(split: str, errors: dict[str, float]) -> None:
    """Refuses a split without any value to be scored on."""
    if np.isnan(errors["persistence"]):
        raise InputError(f"no frame of the {split} split has a value to be scored on; choose other periods")


def refuse_gaps(prediction: Path, number: int, forecast: Frame, frame: Frame) -> None:
    """What the frame has, the stored forecast of it must have."""
    if not (np.isfinite(forecast) | np.isnan(frame)).all():
        raise RuntimeError(f"{prediction} has gaps in frame {number - 1}, which was never written as a whole")


def average_name(rate: float) -> str:
    return f"exponential_average_{rate}"


def opponents(truth: Truth, seasonal: Expected | None, averages: dict[str, ExponentialAverage]) -> dict[str, Baseline]:
    """The baselines, new, for one series; where one has met no value yet, it has the mean of the training frames."""
    found: dict[str, Baseline] = {
        "persistence": Persistence(),
        "training_mean": TrainingMean(lambda _: truth.normalisation.climatology),
    }
    if seasonal is not None:
        found["climatology"] = TrainingMean(seasonal)
    return {name: OrExpected(baseline, truth.expected) for name, baseline in (found | averages).items()}


def squared_errors(
    prepared: Path, spans: list[Span], cycle: dict[str, Expected], rates: Iterable[float]
) -> dict[str, float]:
    """The mean squared error of every baseline over the frames that `scored_frames` tells of, as `Scorer` has it; NaN
    where no frame has a value."""
    errors: dict[str, list[float]] = {}
    for series, own in by_series(spans).items():
        truth, averages = Truth(prepared, series), {average_name(rate): ExponentialAverage(rate) for rate in rates}
        for _, frame, forecasts in hindcast(truth, own, opponents(truth, cycle.get(series), averages)):
            for name, forecast in forecasts.items():
                errors.setdefault(name, []).append(squared_error(forecast, frame))
    return {name: mean_of_known(np.array(found)) for name, found in errors.items()}


def squared_error(forecast: Frame, frame: Frame) -> float:
    """The mean squared error of a frame over the voxels that have a value."""
    error = forecast - frame
    return weighted_means({"mse": error * error}, ~np.isnan(frame)).pooled()["mse"]
