"""What was scored, and the files that tell it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.compared import Compared
from pipeline.dataset import Truth
from pipeline.spectra import Spectra


@dataclass(frozen=True)
class Result:
    """Scores of the test frames, of the model and of what it is compared with.

    Attributes:
        compared: Frame by frame.
        spectra: Of truth, model and another; `None` of what has none.
        truths: The series that were tested.
        tested: The frames, as series and number.
        validation: Errors of the validation frames, by plain keys as `model.mse`.
        more: What else is told, by plain keys, as what baselines were given.
        rival: The baseline that is told of beside the model when all is done.
    """

    compared: Compared
    spectra: Spectra | None
    truths: dict[str, Truth]
    tested: list[tuple[str, int]]
    validation: dict[str, float]
    more: dict[str, object] = field(default_factory=dict)
    rival: str = "persistence"

    def write(self, output: Path, confidence: float) -> str:
        """Writes `scores.json`, `scores_by_time.csv` and, where there are spectra, `spectra.csv`; returns the errors in
        words."""
        compared = self.compared
        scores: dict[str, object] = dict(compared.whole()) | self.more
        scores |= {f"validation.{name}": value for name, value in self.validation.items()}
        scores["units"] = next(iter(self.truths.values())).units
        scores["confidence"] = confidence
        scores["intervals"] = compared.intervals(confidence)
        scores["differences"] = compared.differences("model", confidence)
        scores["parts"] = compared.parts()

        table = compared.by_time()
        times = [str(self.truths[series].volume["time"].values[frame]) for series, frame in self.tested]
        table.index = pd.Index(times, name="time")
        if len(self.truths) > 1:
            table.insert(0, "series", [series for series, _ in self.tested])
        table.to_csv(output / "scores_by_time.csv")
        if self.spectra is not None:
            self.spectra.table().to_csv(output / "spectra.csv", index=False)
        (output / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
        model, rival = (scores[f"{name}.{compared.main}"] for name in ("model", self.rival))
        return f"model {model:.4f}, {self.rival.replace('_', ' ')} {rival:.4f}"
