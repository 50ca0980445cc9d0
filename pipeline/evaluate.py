"""Stage `evaluate`: what a model made and its baselines, scored frame by frame on the test periods, in their units."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.baselines import RATES
from pipeline.dataset import splits_of, within_runs
from pipeline.evaluation.forecasts import scored_forecasts
from pipeline.evaluation.gaussian import GaussianWidths
from pipeline.evaluation.labels import scored_labels
from pipeline.evaluation.restorations import scored_restorations
from pipeline.progress import Progress, Steps
from pipeline.scoring import ScoreSettings
from pipeline.storage import arrays
from pipeline.volume import InputError, Settings

VERSION = 3

ROLES = ("prediction", "prepared", "model")


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Settings of an `evaluate` stage: the prediction and its baselines, scored on the test frames, as `scores.json`.
    Inputs of `ingest` stages, named freely, are masks: each is a region by that name, where its first frame is not
    zero.

    Attributes:
        rates: Rates tried for the exponential average; of forecasts.
        gaussian: Widths tried for a Gaussian filter in space and time; of models that take noise away. By default there
            is no such filter.
        score: What is scored beside whole frames.
        confidence: Of the intervals of mean squared errors, or of labels error rates, and of their differences.
    """

    rates: tuple[float, ...] = RATES
    gaussian: GaussianWidths | None = None
    score: ScoreSettings = field(default_factory=ScoreSettings)
    confidence: float = 0.95

    def __post_init__(self):
        if not self.rates or not all(0 < rate < 1 for rate in self.rates):
            raise ValueError(f"rates are {self.rates}; give numbers between 0 and 1")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; give a number between 0 and 1")


def evaluate(settings: EvaluateSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `scores.json`, `scores_by_time.csv` and, but of labels, `spectra.csv` into `output`.

    `scores.json` has plain keys such as `model.mse` for whole frames, all channels together. Beside these are `parts`
    (of each channel, level and region the scores of each forecast) and, with their `confidence`, `intervals` of the
    mean squared errors and `differences` of the model's less each baseline's, by part (`all` is the whole). Scores that
    no frame has are left out, and intervals of fewer than two frames. Frames of several periods follow each other as if
    they were one, so that blocks of the bootstrap may reach over a border.

    Of the baselines of forecasts `climatology` is there where a yearly cycle is known (see `pipeline.climatology`).
    `exponential_average` has the rate that is best on the validation frames; `best_exponential_average` the one that is
    best on the test frames themselves, chosen in hindsight: no forecast, but the strictest opponent.

    Frames that were made of the same frames are compared with the mean of the training frames; where noise was taken
    away also with what was read (`input`) and with Gaussian filters of it, `gaussian` with the widths that are best on
    the validation frames, `best_gaussian` with those that are in hindsight.

    Labels have an `error_rate`, which intervals and differences then are of, and Dice: see
    `pipeline.evaluation.labels`. They have no spectra.

    `scores_by_time.csv` has whole frames one by one. `spectra.csv` (see `Spectra`) has the mean power spectra of truth,
    model and another (persistence, the input or the mean), each less `Truth.expected`, the mean of the training frames,
    whose own spectrum would hide the rest. There are no rows where every test frame lacks a value.
    """
    prepared, model = inputs["prepared"], arrays.read_attributes(inputs["model"] / "checkpoint.zarr")
    splits = within_runs(prepared, splits_of(prepared))
    beside = {
        "score": settings.score,
        "masks": {name: folder / "raw.zarr" for name, folder in inputs.items() if name not in ROLES},
    }
    described = model["description"]["model"]
    if described["task"] == "forecast":
        scored = scored_forecasts(prepared, inputs["prediction"], splits, rates=settings.rates, **beside)
    elif settings.gaussian is not None and described["task"] != "denoise":
        raise InputError(
            "gaussian is for models of task 'denoise', and this one maps to other channels; leave gaussian out"
        )
    elif described["classes"] is None:
        scored = scored_restorations(
            prepared, inputs["prediction"], splits, model, gaussian=settings.gaussian, **beside
        )
    else:
        scored = scored_labels(prepared, inputs["prediction"], splits, model, **beside)
    result = yield from scored
    result.validation["model.mse" if described["classes"] is None else "model.cross_entropy"] = model["best_error"]
    yield Progress(3, 3, result.write(output, settings.confidence))
