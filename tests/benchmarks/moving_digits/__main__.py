"""Moving digits, ours against a ConvLSTM of as many parameters, trained for as long: `python -m
tests.benchmarks.moving_digits`, part of `make bench`; prints and writes docs/moving_digits.md.

Settings are to be chosen with `--try`, which trains the same way and prints validation errors only; test sequences are
looked at here alone, once, at the end.
"""

from __future__ import annotations

import argparse
import json
import platform
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.rolling import Standing, roll
from pipeline.together import Together
from tests.benchmarks.moving_digits.contest import Contender, Frames, Scale, errors, train
from tests.benchmarks.moving_digits.conv_lstm import ConvLSTM
from tests.benchmarks.moving_digits.digits import digits_of
from tests.benchmarks.moving_digits.sequences import sequences
from tests.benchmarks.scan_speed import medians

PAGE, PICTURE = Path("docs/moving_digits.md"), Path("docs/moving_digits.png")
RESULTS = Path(__file__).parents[1] / "results" / "moving_digits.json"
SEEDS = {"train": 1, "validation": 2, "test": 3}
OURS = ModelSettings(
    reads="levels",
    ahead="gaps",
    transition="pointwise",
    channels=75,
    states=75,
    layers=5,
    patch=16,
    patch_taps=1,
    norm=True,
    gate_taps=3,
)
HIDDEN, PATCH = (69, 69), 8
RATES = {"ours": 2e-3, "ConvLSTM": 2e-3}


class Windows(NamedTuple):
    """Windows of a step of training.

    Attributes:
        batch: How many.
        frames, horizon: Frames of each, and the last of them, which are forecast.
    """

    batch: int
    frames: int
    horizon: int


class Task(NamedTuple):
    """What is forecast.

    Attributes:
        seen, ahead: Frames that are seen, and that are forecast.
        windows: Of training; steps take turns with them.
        seconds: Of training, for each model.
        sequences: That are scored.
        leads: That are printed.
    """

    seen: int
    ahead: int
    windows: tuple[Windows, ...]
    seconds: float
    sequences: int
    leads: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.seen} -> {self.ahead}"


TASKS = (
    Task(10, 10, (Windows(8, 20, 10),), 150.0, 200, tuple(range(1, 11))),
    Task(
        seen=100,
        ahead=400,
        windows=(*[Windows(4, 120, 20)] * 3, Windows(1, 500, 400)),
        seconds=180.0,
        sequences=32,
        leads=(1, 2, 5, 10, 20, 50, 100, 200, 300, 400),
    ),
)
"""In this order: the second training begins with the weights of the first, for both models."""


def contenders() -> list[Contender]:
    """Both models, untrained."""
    torch.manual_seed(0)
    ours = Forecaster(OURS, volume_channels=1, boundary=("reflect",) * 3, depth=1)
    rival = ConvLSTM(HIDDEN, PATCH)
    return [Contender("ours", ours, RATES["ours"]), Contender("ConvLSTM", rival, RATES["ConvLSTM"])]


def check(ours: Forecaster) -> None:
    """Ours gives the same in chunks as whole, window by window as all at once, and frame after frame ahead of what was
    seen as all frames at once."""
    frames = torch.rand(2, 40, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = ours(frames[0])[0]
        first, carries = ours(frames[0, :13])
        chunked = torch.cat([first, ours(frames[0, 13:], carries)[0]])
        together = Together(ours, (1, 64, 64)).forecasts(frames, 1)[0]
        ahead = Together(ours, (1, 64, 64)).forecasts(frames, 27)[0, 12:]
        rolled = [forecast for forecast, _ in islice(roll(ours, Standing(frames[0, 12], ours(frames[0, :12])[1])), 27)]
    for what, one, other in (
        ("chunks", chunked, whole),
        ("together", together, whole[:39]),
        ("ahead", torch.stack(rolled), ahead),
    ):
        error = ((one - other).norm() / other.norm()).item()
        assert error < 1e-5, f"{what}: off by {error:.1e}"


def step_times(found: list[Contender], frames: int = 200, batch: int = 1) -> dict[str, float]:
    """Median milliseconds of forward and backward pass of a step of one-step forecasts; they take turns."""
    windows = torch.randn(batch, frames + 1, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))

    def step(one: Contender) -> None:
        one.model.zero_grad()
        (one.forecasts(windows, 1) - windows[:, 1:]).square().mean().backward()

    return medians({one.name: lambda one=one: step(one) for one in found}, rounds=5)


def baselines(windows: Frames, task: Task, deviation: float) -> dict[str, np.ndarray]:
    """Errors by lead of the last frame seen, and of the mean frame of training."""
    ahead = windows[:, -task.ahead :]
    last = windows[:, task.seen - 1 : task.seen]
    by_lead = {"persistence": ahead - last, "mean of the training frames": ahead}
    return {name: (wrong.square().mean((0, 2, 3, 4, 5)) * deviation**2).numpy() for name, wrong in by_lead.items()}


def run(task: Task, found: list[Contender], splits: tuple[str, ...], share: float) -> list[dict]:
    """Trains both for a task and scores them on each of some splits; errors by lead."""
    digits = digits_of("train")
    scale = Scale.of(sequences(digits, 1000, 20, SEEDS["train"]))

    def windows(step: int) -> tuple[Frames, int]:
        """Each sequence is met once."""
        own = task.windows[step % len(task.windows)]
        drawn = sequences(digits, own.batch, own.frames, SEEDS["train"] + own.frames, first=step * own.batch)
        return scale.normal(drawn), own.horizon

    for one in found:
        one.begin()
    train(found, windows, share * task.seconds)
    return [score(task, found, split, scale) for split in splits]


def score(task: Task, found: list[Contender], split: str, scale: Scale) -> dict:
    """Errors by lead on the sequences of a split."""
    scored = scale.normal(sequences(digits_of(split), task.sequences, task.seen + task.ahead, SEEDS[split]))
    by_lead = {one.name: errors(one, scored, task.ahead, scale.deviation) for one in found}
    difference = by_lead["ours"] - by_lead["ConvLSTM"]
    means = {name: wrong.mean(0) for name, wrong in by_lead.items()} | baselines(scored, task, scale.deviation)
    return {
        "task": str(task),
        "split": split,
        "seconds": {one.name: one.spent for one in found},
        "steps": {one.name: one.steps for one in found},
        "mse": {name: wrong.tolist() for name, wrong in means.items()},
        "difference": difference.mean(0).tolist(),
        "standard_error": (difference.std(0, ddof=1) / len(difference) ** 0.5).tolist(),
        "lower": int((difference.mean(0) < 0).sum()),
    }


def table(result: dict) -> str:
    """The errors by lead, in thousandths of the square of full brightness."""
    task = next(task for task in TASKS if str(task) == result["task"])
    names = [*result["mse"]]
    steps = ", ".join(f"{name} {count}" for name, count in result["steps"].items())
    seconds = max(result["seconds"].values())
    means = ", ".join(f"{name} {1e3 * np.mean(values):.2f}" for name, values in result["mse"].items())
    lines = [
        f"**{task}**, {task.sequences} {result['split']} sequences, {seconds:.0f} s of training each (steps: {steps}); "
        f"means over the leads: {means}; ours lower at {result['lower']} of {task.ahead} leads",
        "",
        f"| lead | {' | '.join(names)} | ours - ConvLSTM (standard error) |",
        "| --- " * (len(names) + 2) + "|",
    ]
    for lead in task.leads:
        values = " | ".join(f"{1e3 * result['mse'][name][lead - 1]:.2f}" for name in names)
        difference, error = (1e3 * result[key][lead - 1] for key in ("difference", "standard_error"))
        lines.append(f"| {lead} | {values} | {difference:+.2f} ({error:.2f}) |")
    return "\n".join(lines)


def draw(results: list[dict]) -> Figure:
    """Errors by lead, one panel a task."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, result in zip(figure.subplots(1, len(results)), results, strict=True):
        for name, values in result["mse"].items():
            axes.plot(range(1, len(values) + 1), values, label=name)
        axes.set(title=f"{result['task']} frames", xlabel="lead (frames)", ylabel="mean squared error", ylim=(0, None))
    axes.legend()
    return figure


def publish(results: list[dict], times: dict[str, dict[str, float]], parameters: dict[str, int], share: float) -> None:
    """Writes the results, the picture and the measured part of the page."""
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    everything = {"machine": machine, "torch": torch.__version__, "share": share, "parameters": parameters}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(everything | {"step_ms": times, "results": results}, indent=1) + "\n")
    draw([one for one in results if one["split"] == "test"]).savefig(PICTURE, dpi=110)
    start, end = "<!-- measured -->\n", "<!-- end -->"
    before, _, rest = PAGE.read_text().partition(start)
    parts = [told(times, parameters), *(table(one) for one in results)]
    PAGE.write_text(before + start + "\n\n".join(parts) + "\n" + end + rest.partition(end)[2])


def told(times: dict[str, dict[str, float]], parameters: dict[str, int]) -> str:
    """Parameters and times of steps as a table."""
    lines = ["| | ours | ConvLSTM | ours / ConvLSTM |", "| --- | --- | --- | --- |"]
    rows = {"parameters": parameters} | {f"step at length 200, {key} (ms)": value for key, value in times.items()}
    for name, row in rows.items():
        lines.append(f"| {name} | {row['ours']:.0f} | {row['ConvLSTM']:.0f} | {row['ours'] / row['ConvLSTM']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--try", dest="trial", action="store_true", help="score validation sequences, write nothing")
    asked.add_argument("--share", type=float, default=1.0, help="of the time of training")
    asked = asked.parse_args()
    found = contenders()
    check(found[0].model)
    parameters = {one.name: one.parameters for one in found}
    times = {f"batch {batch}": step_times(found, batch=batch) for batch in (1, 8)}
    print(told(times, parameters), flush=True)
    results = []
    for task in TASKS:
        for result in run(task, found, ("validation",) if asked.trial else ("validation", "test"), asked.share):
            results.append(result)
            print(table(result), flush=True)
    if not asked.trial:
        publish(results, times, parameters, asked.share)


if __name__ == "__main__":
    main()
