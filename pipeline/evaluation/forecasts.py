"""One-step forecasts beside persistence, averages and climatologies, scored frame by frame on the test periods."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.baselines import Baseline, ExponentialAverage, Frame, OrExpected, Persistence, TrainingMean
from pipeline.climatology import Expected, climatology
from pipeline.compared import Compared
from pipeline.dataset import Truth, forecast_of, scored_frames
from pipeline.evaluation.result import Result
from pipeline.hindcast import StoredForecast, hindcast
from pipeline.progress import Progress
from pipeline.scores import weighted_means
from pipeline.scoring import Scorer, ScoreSettings, channel_names, mean_of_known
from pipeline.spectra import Spectra
from pipeline.splits import Span, by_series
from pipeline.storage import store
from pipeline.volume import InputError

CHOSEN, HINDSIGHT = "exponential_average", "best_exponential_average"


def scored_forecasts(
    prepared: Path,
    prediction: Path,
    splits: Mapping[str, list[Span]],
    *,
    rates: tuple[float, ...],
    score: ScoreSettings,
    masks: Mapping[str, Path],
) -> Generator[Progress, None, Result]:
    """Scores the forecasts of an `infer` stage. Baselines see each series, and each run of it, from its first frame on.

    Args:
        prepared, prediction: The folders of the stages.
        splits: Periods, each within one run.
        rates: Tried for the exponential average.
        score, masks: See `Scorer`.

    Raises:
        InputError: The prediction is of other series; or a split has no frame to be scored on.
    """
    yield Progress(0, 3, "baselines on the validation frames")
    predictions = {series: forecast_of(prediction, series) for series in by_series(splits["test"])}
    truths = {series: Truth(prepared, series) for series in predictions}
    for series, path in predictions.items():
        refuse_misfit(truths[series].volume, store.open_volume(path), series)
    scorers = {series: Scorer(truth, score, masks) for series, truth in truths.items()}
    tested = scored_frames(splits, "test")
    scored_frames(splits, "validation")  # refuses one without any

    cycle = climatology(prepared, splits)
    chosen = squared_errors(prepared, splits["validation"], cycle, rates)
    refuse_nothing("validation", chosen)
    rate = min(rates, key=lambda r: chosen[average_name(r)])

    yield Progress(1, 3, "baselines on the test frames")
    found = squared_errors(prepared, splits["test"], cycle, rates)
    refuse_nothing("test", found)
    hindsight = min(rates, key=lambda r: found[average_name(r)])

    yield Progress(2, 3, "the forecast on the test frames")
    compared = Compared()
    spectra = Spectra(channel_names(next(iter(truths.values())).volume))
    for series, own in by_series(splits["test"]).items():
        truth, path = truths[series], predictions[series]

        def forecasters(first: int, truth: Truth = truth, path: Path = path) -> dict[str, Baseline]:
            averages = {CHOSEN: ExponentialAverage(rate), HINDSIGHT: ExponentialAverage(hindsight)}
            beside = opponents(truth, cycle.get(truth.series), averages, first)
            return {"model": StoredForecast(path, first)} | beside

        for number, frame, forecasts in hindcast(truth, own, forecasters):
            refuse_gaps(path, number - 1, forecasts["model"], frame)
            compared.add({name: scorers[series].score(number, one, frame) for name, one in forecasts.items()})
            departures = {"truth": frame, "model": forecasts["model"], "persistence": forecasts["persistence"]}
            spectra.add({name: one - truth.expected(number) for name, one in departures.items()})
    names = [name for name in compared.forecasts if name not in ("model", HINDSIGHT)]
    validation = {f"{name}.mse": chosen[average_name(rate) if name == CHOSEN else name] for name in names}
    rates_of = {f"{CHOSEN}.rate": rate, f"{HINDSIGHT}.rate": hindsight}
    return Result(compared, spectra, truths, tested, validation, rates_of)


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


def refuse_gaps(prediction: Path, number: int, made: Frame, frame: Frame) -> None:
    """What the frame has, what was stored of it, under that number, must have."""
    if not (np.isfinite(made) | np.isnan(frame)).all():
        raise RuntimeError(f"{prediction} has gaps in frame {number}, which was never written as a whole")


def average_name(rate: float) -> str:
    return f"exponential_average_{rate}"


def opponents(
    truth: Truth, seasonal: Expected | None, averages: dict[str, ExponentialAverage], first: int
) -> dict[str, Baseline]:
    """The baselines, new, for a run of one series that begins at its frame `first`; where one has met no value yet, it
    has the mean of the training frames."""
    found: dict[str, Baseline] = {
        "persistence": Persistence(),
        "training_mean": TrainingMean(lambda _: truth.normalisation.climatology),
    }
    if seasonal is not None:
        found["climatology"] = TrainingMean(seasonal, first)
    return {name: OrExpected(baseline, truth.expected) for name, baseline in (found | averages).items()}


def squared_errors(
    prepared: Path, spans: list[Span], cycle: dict[str, Expected], rates: Iterable[float]
) -> dict[str, float]:
    """The mean squared error of every baseline over the frames that `scored_frames` tells of, as `Scorer` has it; NaN
    where no frame has a value."""
    errors: dict[str, list[float]] = {}
    for series, own in by_series(spans).items():
        truth = Truth(prepared, series)

        def forecasters(first: int, truth: Truth = truth) -> dict[str, Baseline]:
            averages = {average_name(rate): ExponentialAverage(rate) for rate in rates}
            return opponents(truth, cycle.get(truth.series), averages, first)

        for _, frame, forecasts in hindcast(truth, own, forecasters):
            for name, forecast in forecasts.items():
                errors.setdefault(name, []).append(squared_error(forecast, frame))
    return {name: mean_of_known(np.array(found)) for name, found in errors.items()}


def squared_error(forecast: Frame, frame: Frame) -> float:
    """The mean squared error of a frame over the voxels that have a value."""
    error = forecast - frame
    return weighted_means({"mse": error * error}, ~np.isnan(frame)).pooled()["mse"]
