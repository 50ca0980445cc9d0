"""What a report shows of a rollout: errors by lead, how much better the model is, and spread beside skill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.figures import COLOURS, picture
from pipeline.main_score import bracketed


def lead_section(folder: Path | None, labels: Mapping[str, str]) -> dict | None:
    """The page's part on a rollout: a picture, and numbers of its note; `None` where nothing was scored.

    Args:
        folder: Of a `rollout` stage.
        labels: Of forecasts, by name.
    """
    if folder is None or not (folder / "scores.json").exists():
        return None
    told = json.loads((folder / "scores.json").read_text())
    table = pd.read_csv(folder / "scores_by_lead.csv")
    starts = table[table["forecast"] == "model"].set_index("lead")["starts"]
    return {
        "picture": picture(lead_curves(table, told["units"], labels)),
        "members": told["members"],
        "confidence": f"{told['confidence']:.0%}",
        "most": int(starts.iloc[0]),
        "least": int(starts.iloc[-1]),
        "last": int(starts.index[-1]),
        "rate": told["exponential_average.rate"],
    }


def lead_curves(table: pd.DataFrame, units: str, labels: Mapping[str, str]) -> Figure:
    """Mean squared errors by lead with their intervals; the model's less each baseline's; of an ensemble spread and
    skill too.

    Args:
        table: That of `by_lead`.
        units: Of the data.
        labels: Of forecasts, by name; others bear their names.
    """
    by_forecast = {str(name): own.set_index("lead") for name, own in table.groupby("forecast")}
    panels = 3 if "spread" in table else 2
    figure = Figure(figsize=(4.4 * panels, 3.8), layout="constrained")
    errors, differences, *ensemble = figure.subplots(1, panels)
    for name, colour in COLOURS.items():
        if name in by_forecast:
            own, label = by_forecast[name], labels.get(name, name.replace("_", " "))
            _band(errors, own, "mse", colour, label)
            if name != "model":
                _band(differences, own, "difference", colour, label)
    differences.axhline(0, color="black", linewidth=0.8)
    errors.set(title=f"mean squared error{bracketed(units, 2)}")
    differences.set(title="of the model less that of each baseline")
    for axes in ensemble:
        model = by_forecast["model"]
        axes.plot(model.index, model["skill"], color=COLOURS["model"], marker=".", label="RMSE of the mean")
        axes.plot(model.index, model["spread"], color="black", marker=".", linestyle="--", label="spread")
        axes.set(title=f"spread and skill{bracketed(units, 1)}", ylim=(0, None))
        axes.legend(frameon=False)
    errors.legend(frameon=False, fontsize=8)
    for axes in figure.axes:
        axes.set(xlabel="lead (frames)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _band(axes: Axes, own: pd.DataFrame, name: str, colour: str, label: str) -> None:
    """A curve, and its interval as a band where there is one."""
    axes.plot(own.index, own[name], color=colour, marker=".", label=label)
    if f"{name}_low" in own:
        axes.fill_between(own.index, own[f"{name}_low"], own[f"{name}_high"], color=colour, alpha=0.15, linewidth=0)
