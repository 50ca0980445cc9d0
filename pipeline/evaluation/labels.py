"""Labels made of frames, scored beside those that are most frequent in the training frames."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.compared import Compared
from pipeline.dataset import Truth, forecast_of
from pipeline.evaluation.forecasts import refuse_gaps
from pipeline.evaluation.restorations import one_by_one, refuse_misfit
from pipeline.evaluation.result import Result
from pipeline.main_score import ERROR_RATE
from pipeline.progress import Progress
from pipeline.scores import Ratios, confusion, dice, recall, weighted_means, with_mean_dice
from pipeline.scoring import Place, Scores, ScoreSettings, mean_of_known, one_frame, places_of
from pipeline.splits import Span, by_series
from pipeline.storage import store
from pipeline.volume import InputError

HERE, OVERALL = "training_mode", "commonest"

Labels = Float[np.ndarray, "1 depth height width"]
"""Of each voxel its label, a whole number; NaN where there is none."""


def scored_labels(
    prepared: Path,
    prediction: Path,
    splits: Mapping[str, list[Span]],
    model: dict,
    *,
    score: ScoreSettings,
    masks: Mapping[str, Path],
) -> Generator[Progress, None, Result]:
    """Scores the labels that an `infer` stage made, of whole frames, levels and regions (see `label_scores`), beside
    the most frequent label of each voxel over the training frames (`training_mode`) and that of all their voxels
    (`commonest`).

    The result's `confusion` has of each of them how many voxels of the test frames whose truth bears the label of the
    row were given that of the column. The error rates of the validation frames have the model's where the prediction is
    of all their series.

    Args:
        prepared, prediction: The folders of the stages.
        splits: Periods, each within one run.
        model: The attributes of the model's checkpoint.
        score, masks: See `places_of`.

    Raises:
        InputError: The prediction is of other series, a frame has a label that is none of the classes, no test frame
            has a label, or scores of numbers are asked for.
    """
    if score.peak is not None:
        raise InputError(f"score.peak is {score.peak:g}, and the model makes labels, which have no PSNR; leave it out")
    (target,), classes = model["channels"]["makes"], model["description"]["model"]["classes"]
    names = by_series(span for own in splits.values() for span in own)
    truths = {name: Truth(prepared, name, [target]) for name in names}
    predictions = {name: forecast_of(prediction, name) for name in by_series(splits["test"])}
    for name, path in predictions.items():
        refuse_misfit(truths[name].volume, store.open_volume(path), name)

    yield Progress(0, 3, "labels of the training frames")
    beside = Beside(truths, predictions, classes, splits["train"])

    yield Progress(1, 3, "the validation frames")
    validation = {f"{name}.{ERROR_RATE.key}": value for name, value in beside.errors(splits["validation"]).items()}

    yield Progress(2, 3, "the test frames")
    compared, tested, taken = Compared(ERROR_RATE.key, with_mean_dice), [], {}
    for name, own in by_series(splits["test"]).items():
        places = places_of(truths[name].volume, score, masks)
        for number, frame, found in beside.frames(own):
            compared.add({forecast: scores_of(one, frame, places, classes) for forecast, one in found.items()})
            for forecast, one in found.items():
                taken[forecast] = taken.get(forecast, 0) + confusion(one, frame, classes)
            tested.append((name, number))
    if not taken["model"].any():
        raise InputError("no frame of the test split has a label to be scored on; choose other periods")
    more = {"confusion": {forecast: counts.tolist() for forecast, counts in taken.items()}}
    return Result(compared, None, {name: truths[name] for name in predictions}, tested, validation, more, HERE)


class Beside:
    """The labels that a model made, and those that it is compared with.

    Args:
        truths: Of each series, the channel of the labels.
        predictions: Of the series that are there the volume that was made.
        classes: How many labels there are.
        train: The spans whose most frequent labels are taken.
    """

    def __init__(self, truths: Mapping[str, Truth], predictions: Mapping[str, Path], classes: int, train: list[Span]):
        self._truths, self._predictions, self._classes = truths, predictions, classes
        self._usual = most_frequent((self._labels(span) for span in train), classes)

    def frames(self, spans: Iterable[Span]) -> Iterator[tuple[int, Labels, dict[str, Labels]]]:
        """Of each frame of some spans its number, its labels, and by name those to be compared with them; the model's
        where there is a prediction."""
        for span in spans:
            path, frames = self._predictions.get(span.series), self._labels(span)
            if path is None:
                yield from ((number, frame, self._usual) for number, frame in zip(span.frames, frames, strict=True))
                continue
            made = one_by_one(partial(store.read_frames, path, None), span)
            for number, frame, own in zip(span.frames, frames, made, strict=True):
                refuse_gaps(path, number, own, frame)
                yield number, frame, {"model": own.astype(np.float64), **self._usual}

    def errors(self, spans: list[Span]) -> dict[str, float]:
        """Of each that has made all frames of some spans its error rate, a mean over the frames."""
        found: dict[str, list[float]] = {}
        for _, frame, made in self.frames(spans):
            for name, one in made.items():
                found.setdefault(name, []).append(error_rate(one, frame))
        count = sum(len(span.frames) for span in spans)
        return {name: mean_of_known(np.array(own)) for name, own in found.items() if len(own) == count}

    def _labels(self, span: Span) -> Iterator[Labels]:
        return labels_of(self._truths[span.series], span, self._classes)


def scores_of(made: Labels, truth: Labels, places: Mapping[str, Place], classes: int) -> Scores:
    """The scores of one frame, part by part."""
    return Scores({part: label_scores(at.of(made), at.of(truth), classes) for part, at in places.items()})


def label_scores(made: Labels, truth: Labels, classes: int) -> Ratios:
    """Scores of labels of a part of one frame, to be added to those of others.

    `error_rate` is the share of the voxels with a truth that have another label, and `accuracy` the others'; over
    frames each is the mean of the frames' own. `dice_0`, `recall_0` and so on are of all frames together: a frame that
    hardly bears a label hardly counts for it.
    """
    wrong, labels = error_rate(made, truth), range(classes)
    rates = one_frame({ERROR_RATE.key: wrong, "accuracy": 1 - wrong})
    return Ratios({**rates.parts, **dice(made, truth, labels).parts, **recall(made, truth, labels).parts})


def error_rate(made: Labels, truth: Labels) -> float:
    """The share of the voxels with a truth that have another label; NaN where no voxel has one."""
    return weighted_means({"wrong": (made != truth).astype(np.float64)}, ~np.isnan(truth)).pooled()["wrong"]


def most_frequent(spans: Iterable[Iterator[Labels]], classes: int) -> dict[str, Labels]:
    """The most frequent labels of the frames of some spans, of equally frequent ones the least: of each voxel, and of
    all together, which a voxel without any label has too. It holds one count of each voxel and label."""
    counts = 0
    for frames in spans:
        for frame in frames:
            counts = counts + np.concatenate([frame == label for label in range(classes)])
    overall = counts.sum(axis=(1, 2, 3)).argmax()
    here = np.where(counts.any(axis=0), counts.argmax(axis=0), overall)[None].astype(np.float64)
    return {HERE: here, OVERALL: np.full_like(here, overall)}


def labels_of(truth: Truth, span: Span, classes: int) -> Iterator[Labels]:
    """The labels of the frames of a span: what normalising them has rounded is whole again.

    Raises:
        InputError: A label is none of the classes.
    """
    for number, frame in zip(span.frames, one_by_one(truth.frames, span), strict=True):
        labels = np.round(frame)
        if ((labels < 0) | (labels >= classes)).any():
            raise InputError(
                f"frame {number} of series {truth.series!r} has labels from {np.nanmin(labels):g} to "
                f"{np.nanmax(labels):g} and the model {classes} classes, 0 to {classes - 1}; train with classes for "
                "all of them, or choose other periods"
            )
        yield labels
