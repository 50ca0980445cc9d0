"""Scores by lead: of the model and of the baselines beside it, over all starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from pipeline.baselines import Frame
from pipeline.climatology import Expected
from pipeline.compared import Compared
from pipeline.dataset import Truth
from pipeline.rollouts.record import Record
from pipeline.scores import Ratios, ensemble_scores, spread_and_skill
from pipeline.scoring import WHOLE, Scorer, Scores, channel_names, one_frame

OF_ENSEMBLES = ("crps", "crps_fair", "variance")


class Referee:
    """Scores what is forecast of one series, beside the baselines.

    Args:
        truth: The series.
        scorer: Of it.
        seasonal: What is expected by the time of year, where that is known.
        chunk: Frames read together; those of a few chunks are at hand.
    """

    def __init__(self, truth: Truth, scorer: Scorer, seasonal: Expected | None, chunk: int):
        self._truth, self._scorer, self._seasonal, self._chunk = truth, scorer, seasonal, chunk
        self._channels = channel_names(truth.volume)
        self._read: dict[int, Float[np.ndarray, "time channel depth height width"]] = {}

    def scores(
        self,
        number: int,
        members: Float[np.ndarray, "member channel depth height width"],
        baselines: Mapping[str, Frame],
    ) -> dict[str, Scores]:
        """Scores of the forecasts of a frame: `model`, the mean of the members, and the baselines.

        Args:
            number: The frame.
            members: In the data's units.
            baselines: What those forecast that have seen the series; NaN where they have met no value, which is then
                what is expected of the frame.
        """
        frame, expected = self._frame(number), self._truth.expected(number)
        opponents = {"training_mean": self._truth.normalisation.climatology, **baselines}
        if self._seasonal is not None:
            opponents["climatology"] = self._seasonal(number)
        forecasts = {"model": members.mean(axis=0)}
        for name, own in sorted(opponents.items()):  # a store does not keep their order
            forecasts[name] = np.where(np.isnan(own), expected, own)
        found = {name: self._scorer.score(number, forecast, frame) for name, forecast in forecasts.items()}
        if len(members) > 1:
            found["model"] = self._with_ensemble(found["model"], ensemble_scores(members, frame))
        return found

    def _with_ensemble(self, scores: Scores, found: Ratios) -> Scores:
        """The scores of the mean, of the whole and of channels, with those of the ensemble."""
        whole, channels = found.pooled(), found.per_channel()
        own = {WHOLE: {name: whole[name] for name in OF_ENSEMBLES}}
        for place, channel in enumerate(self._channels):
            own[f"channel {channel}"] = {name: float(channels[name][place]) for name in OF_ENSEMBLES}
        parts = {
            part: Ratios({**ratios.parts, **one_frame(own[part]).parts}) if part in own else ratios
            for part, ratios in scores.parts.items()
        }
        return replace(scores, parts=parts)

    def _frame(self, number: int) -> Frame:
        block = number // self._chunk
        if block not in self._read:
            if len(self._read) == AT_HAND:
                del self._read[next(iter(self._read))]
            first, stop = block * self._chunk, min((block + 1) * self._chunk, self._truth.volume.sizes["time"])
            self._read[block] = self._truth.frames(first, stop)
        return self._read[block][number - block * self._chunk]


AT_HAND = 4
"""Chunks of frames."""


def by_lead(record: Record, series: Sequence[str], confidence: float, members: int) -> tuple[dict, pd.DataFrame]:
    """All scores by lead, and a table of those of whole frames: a row of each lead and forecast.

    Of several series the starts follow each other as if they were one, in the order given. Beside a forecast's own
    scores, with the interval of its mean squared error over the starts, a baseline's row has `model_skill` (1 - MSE of
    the model / its own) and `difference`, the model's mean squared error less its own, with its interval: below zero
    the model is better. Intervals want two starts or more.

    Args:
        record: What was scored.
        series: Their order.
        confidence: Of the intervals.
        members: Of the ensemble.
    """
    ordered = sorted(record.keys(), key=lambda key: (key[2], series.index(key[0]), key[1]))
    leads: dict[int, list] = {}
    for key in ordered:
        leads.setdefault(key[2], []).append(key)
    found, rows = {}, []
    for lead, keys in leads.items():
        compared = Compared()
        for key in keys:
            compared.add(record.read(key))
        whole = compared.whole()
        told = {
            "starts": len(keys),
            "scores": {name: of_one(name, whole) for name in compared.forecasts},
            "intervals": compared.intervals(confidence),
            "differences": compared.differences("model", confidence),
            "parts": compared.parts(),
        }
        if members > 1:
            add_spread(told["scores"]["model"], members)
        found[str(lead)] = told
        rows += [{"lead": lead, "forecast": name, **row} for name, row in rows_of(told).items()]
    return found, pd.DataFrame(rows)


def of_one(name: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Of scores such as `model.mse` those of one forecast."""
    return {key.removeprefix(f"{name}."): value for key, value in scores.items() if key.startswith(f"{name}.")}


def add_spread(scores: dict[str, float], members: int) -> None:
    """Adds spread, skill and their ratio to the scores of an ensemble that have its variance."""
    if "variance" in scores:
        variance, mse = (np.array([scores[name]]) for name in ("variance", "mse"))
        scores |= {name: float(value) for name, (value,) in spread_and_skill(variance, mse, members).items()}


def rows_of(told: Mapping) -> dict[str, dict]:
    """The table's rows of one lead, by forecast."""
    found, model = {}, told["scores"]["model"]
    intervals, differences = (told[name].get(WHOLE, {}) for name in ("intervals", "differences"))
    for name, scores in told["scores"].items():
        row = {"starts": told["starts"], **scores}
        if name in intervals:
            row |= {f"mse_{end}": intervals[name][end] for end in ("low", "high")}
        if name != "model" and "mse" in scores and "mse" in model:
            row |= {"model_skill": 1 - model["mse"] / scores["mse"] if scores["mse"] else np.nan}
            row["difference"] = model["mse"] - scores["mse"]
        if name in differences:
            row |= {f"difference_{end}": differences[name][end] for end in ("low", "high")}
        found[name] = row
    return found
