"""Stage `evaluate`: the forecast and its baselines, scored frame by frame on the test periods, in the data's units."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from pipeline.baselines import Baseline, ExponentialAverage, Persistence, TrainingMean
from pipeline.dataset import Truth, forecast_of, scored_frames, splits_of
from pipeline.metrics import frame_errors, latitude_weights, over_frames
from pipeline.progress import Progress, Steps
from pipeline.splits import Span, by_series
from pipeline.storage import arrays, store
from pipeline.volume import InputError, Settings

VERSION = 1

RATES = tuple(round(0.05 * k, 2) for k in range(1, 20))
BLOCK = 16


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Settings of an `evaluate` stage. Its inputs are `prediction`, `prepared` and `model`.

    Attributes:
        rates: Rates tried for the exponential average.
    """

    rates: tuple[float, ...] = RATES

    def __post_init__(self):
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise ValueError(f"rates are {self.rates}; give numbers between 0 and 1")


def evaluate(settings: EvaluateSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `scores.json` (plain keys such as `model.mse`) and `scores_by_time.csv` into `output`.

    `exponential_average` has the rate that is best on the validation frames; `best_exponential_average` the one that is
    best on the test frames themselves, chosen in hindsight: no forecast, but the strictest opponent.
    """
    yield Progress(0, 3, "baselines on the validation frames")
    prepared, splits = inputs["prepared"], splits_of(inputs["prepared"])
    predictions = {series: forecast_of(inputs["prediction"], series) for series in by_series(splits["test"])}
    for series, prediction in predictions.items():
        refuse_misfit(Truth(prepared, series).volume, store.open_volume(prediction), series)
    tested = scored_frames(splits, "test")
    scored_frames(splits, "validation")  # refuses one without any

    chosen = score_baselines(prepared, splits["validation"], settings.rates)
    refuse_nothing("validation", chosen)
    rate = min(settings.rates, key=lambda r: over_frames(chosen[average_name(r)])["mse"])

    yield Progress(1, 3, "baselines on the test frames")
    scored = score_baselines(prepared, splits["test"], settings.rates)
    refuse_nothing("test", scored)
    hindsight = min(settings.rates, key=lambda r: over_frames(scored[average_name(r)])["mse"])

    yield Progress(2, 3, "the forecast on the test frames")
    errors = {
        "model": score_prediction(predictions, prepared, splits["test"]),
        "persistence": scored["persistence"],
        "training_mean": scored["training_mean"],
        "exponential_average": scored[average_name(rate)],
        "best_exponential_average": scored[average_name(hindsight)],
    }
    scores: dict[str, float | str] = {
        f"{name}.{metric}": value for name, frames in errors.items() for metric, value in over_frames(frames).items()
    }
    scores["exponential_average.rate"], scores["best_exponential_average.rate"] = rate, hindsight
    scores["validation.model.mse"] = arrays.read_attributes(inputs["model"] / "checkpoint.zarr")["best_error"]
    for name, frames in (
        ("persistence", chosen["persistence"]),
        ("training_mean", chosen["training_mean"]),
        ("exponential_average", chosen[average_name(rate)]),
    ):
        scores[f"validation.{name}.mse"] = over_frames(frames)["mse"]
    truths = {series: Truth(prepared, series) for series in predictions}
    scores["units"] = next(iter(truths.values())).units

    times = [str(truths[series].volume["time"].values[frame]) for series, frame in tested]
    table = {f"{n}.{metric}": v for n, frames in errors.items() for metric, v in frames.items()}
    if len(truths) > 1:
        table = {"series": [series for series, _ in tested]} | table
    pd.DataFrame(table, index=times).to_csv(output / "scores_by_time.csv", index_label="time")
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


def refuse_nothing(split: str, errors: dict[str, dict]) -> None:
    """Refuses a split without any value to be scored on."""
    if np.isnan(errors["persistence"]["mse"]).all():
        raise InputError(f"no frame of the {split} split has a value to be scored on; choose other periods")


def average_name(rate: float) -> str:
    return f"exponential_average_{rate}"


def score_baselines(prepared: Path, spans: list[Span], rates: Iterable[float]) -> dict[str, dict]:
    """Errors of every baseline on each frame that `scored_frames` tells of, each having seen the series from its first
    frame on."""
    records: dict[str, list] = {}
    for series, own in by_series(spans).items():
        truth = Truth(prepared, series)
        baselines: dict[str, Baseline] = {
            "persistence": Persistence(),
            "training_mean": TrainingMean(truth.expected),
        }
        baselines |= {average_name(rate): ExponentialAverage(rate) for rate in rates}
        weights, scored = weights_of(truth), {frame for span in own for frame in span.scored}
        for first in range(0, own[-1].stop, BLOCK):
            for number, frame in enumerate(truth.frames(first, min(first + BLOCK, own[-1].stop)), start=first):
                for name, baseline in baselines.items():
                    if number in scored:
                        forecast = known(baseline.forecast(), truth, number)
                        records.setdefault(name, []).append(frame_errors(forecast, frame, weights))
                    baseline.update(frame)
    return {name: columns(found) for name, found in records.items()}


def known(
    forecast: Float[np.ndarray, "channel depth height width"], truth: Truth, frame: int
) -> Float[np.ndarray, "channel depth height width"]:
    """A baseline's forecast; where it has met no value yet, the mean of the training frames."""
    missing = np.isnan(forecast)
    return np.where(missing, truth.expected(frame), forecast) if missing.any() else forecast


def score_prediction(predictions: dict[str, Path], prepared: Path, spans: list[Span]) -> dict[str, np.ndarray]:
    """Errors of the stored forecasts on each frame that `scored_frames` tells of. Element t - 1 of a forecast is for
    frame t."""
    records = []
    for series, own in by_series(spans).items():
        truth, prediction = Truth(prepared, series), predictions[series]
        weights = weights_of(truth)
        for span in own:
            for first in range(span.scored.start, span.stop, BLOCK):
                stop = min(first + BLOCK, span.stop)
                forecasts = store.read_frames(prediction, None, first - 1, stop - 1)
                frames = truth.frames(first, stop)
                if not (np.isfinite(forecasts) | np.isnan(frames)).all():
                    raise RuntimeError(
                        f"{prediction} has gaps in frames {first - 1}..{stop - 2}; they were never written"
                    )
                pairs = zip(forecasts, frames, strict=True)
                records += [frame_errors(forecast, frame, weights) for forecast, frame in pairs]
    return columns(records)


def weights_of(truth: Truth) -> np.ndarray | None:
    """Latitude weights of a volume, if it has latitudes."""
    latitude = truth.volume.coords.get("latitude")
    return None if latitude is None else latitude_weights(latitude.values)


def columns(records: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([record[name] for record in records]) for name in records[0]}
