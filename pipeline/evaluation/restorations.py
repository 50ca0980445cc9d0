"""Frames made of the same frames, without their noise or in other channels, scored beside what needs no learning."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from pipeline.compared import Compared
from pipeline.dataset import Truth, forecast_of
from pipeline.evaluation.forecasts import refuse_gaps
from pipeline.evaluation.gaussian import GaussianWidths, Width, filtered
from pipeline.evaluation.result import Result
from pipeline.progress import Progress
from pipeline.scores import weighted_means
from pipeline.scoring import Scorer, ScoreSettings, channel_names, mean_of_known
from pipeline.sequence import run_starts
from pipeline.spectra import Spectra
from pipeline.splits import Span, by_series
from pipeline.storage import store
from pipeline.volume import InputError

CHOSEN, HINDSIGHT = "gaussian", "best_gaussian"

BLOCK = 16
"""Frames read at a time."""

Frame = Float[np.ndarray, "channel depth height width"]
Frames = Float[np.ndarray, "time channel depth height width"]


def scored_restorations(
    prepared: Path,
    prediction: Path,
    splits: Mapping[str, list[Span]],
    model: dict,
    *,
    gaussian: GaussianWidths | None,
    score: ScoreSettings,
    masks: Mapping[str, Path],
) -> Generator[Progress, None, Result]:
    """Scores what an `infer` stage made, beside the mean of the training frames; where noise was taken away, beside
    what was read as well (`input`), and beside Gaussian filters of it.

    `gaussian` has in each channel the widths that are best on the validation frames; `best_gaussian` those that are
    best on the test frames themselves, chosen in hindsight.

    Args:
        prepared, prediction: The folders of the stages.
        splits: Periods, each within one run.
        model: The attributes of the model's checkpoint.
        gaussian: The widths that are tried, where noise was taken away; by default no such filter.
        score, masks: See `Scorer`.

    Raises:
        InputError: The prediction is of other series; or a filter is asked for and cannot be had.
    """
    reads, makes = model["channels"]["reads"], model["channels"]["makes"]
    denoises = model["description"]["model"]["task"] == "denoise"
    predictions = {series: forecast_of(prediction, series) for series in by_series(splits["test"])}
    truths = {series: Truth(prepared, series, makes) for series in predictions}
    for series, path in predictions.items():
        refuse_misfit(truths[series].volume, store.open_volume(path), series)
    beside = Beside(prepared, reads if denoises else None, makes)

    yield Progress(0, 3, "filters on the validation frames")
    validation = {f"{name}.mse": beside.error(splits["validation"], name) for name in beside.plain}
    filters: dict[str, list[Width]] = {}
    if gaussian is not None:
        filters[CHOSEN], validation[f"{CHOSEN}.mse"] = beside.best(splits["validation"], gaussian)
        yield Progress(1, 3, "filters on the test frames")
        filters[HINDSIGHT], _ = beside.best(splits["test"], gaussian)

    yield Progress(2, 3, "the model on the test frames")
    compared, spectra = Compared(), Spectra(channel_names(next(iter(truths.values())).volume))
    tested = []
    for series, own in by_series(splits["test"]).items():
        truth, scorer = truths[series], Scorer(truths[series], score, masks)
        for span in own:
            made = {"model": one_by_one(partial(store.read_frames, predictions[series], None), span)}
            made |= {name: beside.made(span, name) for name in beside.plain}
            made |= {name: beside.smoothed(span, widths) for name, widths in filters.items()}
            for number, frame in zip(span.frames, one_by_one(truth.frames, span), strict=True):
                found = {name: next(frames).astype(np.float64) for name, frames in made.items()}
                refuse_gaps(predictions[series], number, found["model"], frame)
                compared.add({name: scorer.score(number, one, frame) for name, one in found.items()})
                fields = {"truth": frame, "model": found["model"], beside.rival: found[beside.rival]}
                spectra.add({name: one - truth.expected(number) for name, one in fields.items()})
                tested.append((series, number))
    told = {f"{name}.widths": dict(zip(makes, map(list, own), strict=True)) for name, own in filters.items()}
    return Result(compared, spectra, truths, tested, validation, told, beside.rival)


class Beside:
    """What a model that makes frames of the same frames is compared with.

    Args:
        prepared: The folder of the `preprocess` stage.
        reads: The channels of which noise is to be taken away; `None` where the model maps to others.
        makes: The channels that are made.

    Attributes:
        plain: Names of what has no settings: the mean of the training frames, and of channels with noise these
            themselves.
        rival: The one of them that is told of.
    """

    def __init__(self, prepared: Path, reads: list[str] | None, makes: list[str]):
        self._prepared, self._reads, self._makes = prepared, reads, makes
        self.plain = ["training_mean", *([] if reads is None else ["input"])]
        self.rival = self.plain[-1]

    def made(self, span: Span, name: str) -> Iterator[Frame]:
        """The frames of a span as one of `plain` has them."""
        if name == "input":
            return one_by_one(self._inputs(span).frames, span)
        mean = self._targets(span).normalisation.climatology
        return (mean for _ in span.frames)

    def smoothed(self, span: Span, widths: list[Width]) -> Iterator[Frame]:
        """The frames of a span with a filter of its own for each channel."""
        inputs = self._inputs(span)
        run = run_of(inputs.volume, span)
        each = {width: filtered(inputs, span, run, width) for width in set(widths)}
        for _ in span.frames:
            frames = {width: next(one) for width, one in each.items()}
            yield np.stack([frames[width][channel] for channel, width in enumerate(widths)])

    def best(self, spans: list[Span], gaussian: GaussianWidths) -> tuple[list[Width], float]:
        """The widths with the smallest error in each channel, and their mean squared error over all channels."""
        count = len(self._makes)
        errors = {
            width: self._errors(spans, lambda s, w=width: self.smoothed(s, [w] * count)) for width in gaussian.widths
        }
        widths = [min(gaussian.widths, key=lambda width, c=channel: errors[width][c]) for channel in range(count)]
        return widths, float(np.mean([errors[width][channel] for channel, width in enumerate(widths)]))

    def error(self, spans: list[Span], name: str) -> float:
        """The mean squared error of one of `plain` over all channels."""
        return float(np.mean(self._errors(spans, lambda span: self.made(span, name))))

    def _errors(self, spans: list[Span], made: Callable[[Span], Iterator[Frame]]) -> Float[np.ndarray, "channel"]:
        """The mean squared error of each channel over the frames of some spans, those without any value left out."""
        found = []
        for span in spans:
            for one, frame in zip(made(span), one_by_one(self._targets(span).frames, span), strict=True):
                error = one - frame
                found.append(weighted_means({"mse": error * error}, ~np.isnan(frame)).per_channel()["mse"])
        return np.array([mean_of_known(own) for own in np.array(found).T])

    def _inputs(self, span: Span) -> Truth:
        return Truth(self._prepared, span.series, self._reads)

    def _targets(self, span: Span) -> Truth:
        return Truth(self._prepared, span.series, self._makes)


def run_of(volume: xr.Dataset, span: Span) -> Span:
    """The whole run that a span lies in."""
    later = [start for start in run_starts(volume).tolist() if start > span.start]
    return Span(span.series, span.first, min([volume.sizes["time"], *later]), span.first)


def one_by_one(read: Callable[[int, int], Frames], span: Span) -> Iterator[Frame]:
    """The frames of a span, given who reads the frames [start, stop)."""
    for first in range(span.start, span.stop, BLOCK):
        yield from read(first, min(first + BLOCK, span.stop))


def refuse_misfit(truth: xr.Dataset, prediction: xr.Dataset, series: str) -> None:
    """The prediction must be of the test split's series, frame by frame."""
    predicted = prediction.attrs["series"]
    if predicted != series or not np.array_equal(prediction["time"].values, truth["time"].values):
        raise InputError(
            f"the prediction is of series {predicted!r}, the test split of series {series!r}; "
            f"set series to {series!r} in the infer stage"
        )
