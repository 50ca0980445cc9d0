"""Labels made of frames, scored beside the label that is most frequent among the training frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from pipeline.scoring import Scores, ScoreSettings, mean_of_known, one_frame, places_of
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
    predictions = {series: forecast_of(prediction, series) for series in by_series(splits["test"])}
    truths = {
        name: Truth(prepared, name, [target]) for name in by_series(span for own in splits.values() for span in own)
    }
    for series, path in predictions.items():
        refuse_misfit(truths[series].volume, store.open_volume(path), series)

    yield Progress(0, 3, "labels of the training frames")
    usual = most_frequent(truths, splits["train"], classes)

    def frames(span: Span) -> Iterator[tuple[int, Labels, dict[str, Labels]]]:
        """Of each frame of a span its number, its labels, and those that were made of it or stand for it."""
        path = predictions.get(span.series)
        made = one_by_one(partial(store.read_frames, path, None), span) if path else (None for _ in span.frames)
        for number, frame, own in zip(span.frames, labels_of(truths[span.series], span, classes), made, strict=True):
            found = {HERE: usual.here, OVERALL: usual.overall}
            if own is not None:
                refuse_gaps(path, number, own, frame)
                found = {"model": own.astype(np.float64)} | found
            yield number, frame, found

    yield Progress(1, 3, "the validation frames")
    validation: dict[str, list[float]] = {}
    for span in splits["validation"]:
        for _, frame, found in frames(span):
            for name, one in found.items():
                validation.setdefault(f"{name}.{ERROR_RATE.key}", []).append(error_rate(one, frame))
    if not {span.series for span in splits["validation"]} <= predictions.keys():
        validation.pop(f"model.{ERROR_RATE.key}", None)

    yield Progress(2, 3, "the test frames")
    compared, tested, taken = Compared(ERROR_RATE.key, with_mean_dice), [], {}
    for series, own in by_series(splits["test"]).items():
        places = places_of(truths[series].volume, score, masks)
        for span in own:
            for number, frame, found in frames(span):
                compared.add(
                    {
                        name: Scores(
                            {part: label_scores(at.of(one), at.of(frame), classes) for part, at in places.items()}
                        )
                        for name, one in found.items()
                    }
                )
                for name, one in found.items():
                    taken[name] = taken.get(name, 0) + confusion(one, frame, classes)
                tested.append((series, number))
    if not taken["model"].any():
        raise InputError("no frame of the test split has a label to be scored on; choose other periods")
    errors = {name: mean_of_known(np.array(own)) for name, own in validation.items()}
    more = {"confusion": {name: counts.tolist() for name, counts in taken.items()}}
    return Result(compared, None, {series: truths[series] for series in predictions}, tested, errors, more, HERE)


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


class Usual(NamedTuple):
    """The most frequent labels of training frames; of equally frequent ones the least.

    Attributes:
        here: Of each voxel; where it has no label in training, that of all.
        overall: Of all voxels together.
    """

    here: Labels
    overall: Labels


def most_frequent(truths: Mapping[str, Truth], spans: list[Span], classes: int) -> Usual:
    """The most frequent labels of some spans; it holds one count of each voxel and class."""
    counts = 0
    for span in spans:
        for frame in labels_of(truths[span.series], span, classes):
            counts = counts + np.concatenate([frame == label for label in range(classes)])
    overall = counts.sum(axis=(1, 2, 3)).argmax()
    here = np.where(counts.any(axis=0), counts.argmax(axis=0), overall)[None].astype(np.float64)
    return Usual(here, np.full_like(here, overall))


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
                f"{np.nanmax(labels):g} and the model {classes} classes, 0 to {classes - 1}; train it with classes "
                f"for all of them, or choose other periods"
            )
        yield labels
