"""Compares mixers on winds and moving digits; writes docs/comparison.md, its pictures and results/comparison.json.

    python -m tests.benchmarks.comparison WINDS.cdf [--folder FOLDER]

WINDS.cdf is monthly_navy_winds.cdf of the Debian package ferret-datasets. What was done in a folder is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.compare import drawn
from tests.benchmarks.machine import machine
from tests.benchmarks.moving_digits.archive import write as write_digits

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "comparison.json"
PAGE = Path("docs/comparison.md")
START, END = "<!-- measured: {} -->\n", "<!-- end: {} -->"

MIXERS = (
    "convssm",
    "frame-convolution",
    "causal-convolution",
    "convlstm",
    "convs5",
    "s4d",
    "linear-attention",
    "attention",
)
RATES = "0.001,0.003,0.01,0.03"
SEEDS = "0,1,2"


def compared(name: str, folder: Path) -> dict:
    """Runs a comparison, or goes on with it; what its last stage found."""
    command = [sys.executable, "-m", "workflows.cli", "compare", f"{name}.yaml", "--executor", "local"]
    command += ["--mixers", ",".join(MIXERS), "--seeds", SEEDS, "--equal", "both", "--rates", RATES]
    subprocess.run(command, cwd=folder, check=True)
    (found,) = (folder / "runs" / f"{name}-compare").glob("compared-*/compared.json")
    return json.loads(found.read_text())


def table(found: dict) -> list[str]:
    """A row a model, the best on the test frames first; then the baselines."""
    rows = [
        "| model | parameters | steps | s a step | ms a frame | carry, KiB | validation | test | test less convssm |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, own in sorted(found["models"].items(), key=lambda pair: pair[1]["test"]["mean"]["mean"]):
        less = "" if name == MIXERS[0] else interval(own["test"]["less_first"])
        rows.append(
            f"| {name} ({own['note']}) | {own['parameters']} | {own['steps']} | {own['seconds_a_step']:.3g} | "
            f"{1e3 * own['seconds_a_frame']:.1f} | {own['carry_bytes'] / 1024:.0f} | "
            f"{interval(own['validation']['mean'])} | {interval(own['test']['mean'])} | {less} |"
        )
    rows += [f"| {name.replace('_', ' ')} |||||||{value:.4g}||" for name, value in found["baselines"].items()]
    return rows


def verdict(found: dict) -> str:
    """Which model's mean test error is the smallest, and on which side of the first one's all others are."""
    models, first = found["models"], MIXERS[0]
    best = min(models, key=lambda name: models[name]["test"]["mean"]["mean"])
    sides: dict[str, list[str]] = {"above": [], "below": [], "not told apart from": []}
    for name, own in models.items():
        if name != first:
            less = own["test"]["less_first"]
            sides["above" if less["low"] > 0 else "below" if less["high"] < 0 else "not told apart from"].append(name)
    told = "; ".join(f"{side} {first}: {', '.join(names) or 'none'}" for side, names in sides.items())
    return f"Smallest mean test error: **{best}**. By the intervals of the last column, {told}."


def interval(found: dict) -> str:
    """A mean and the ends of its interval."""
    return f"{found['mean']:.4g} ({found['low']:.4g} to {found['high']:.4g})"


def write(results: dict) -> None:
    """Puts the tables between their markers, and the pictures beside the page."""
    text = PAGE.read_text() if PAGE.exists() else "# Mixers side by side\n\n"
    for name, found in results["compared"].items():
        lines = [*table(found), "", verdict(found), "", f"![Validation errors of {name}](comparison_{name}.png)", ""]
        lines.append(
            "Commit {commit}; {processor}, two threads; Python {python}, torch {torch}.".format(**results["machine"])
        )
        before, _, rest = text.partition(START.format(name))
        text = before + START.format(name) + "\n".join(lines) + "\n" + END.format(name)
        text += rest.partition(END.format(name))[2]
        drawn(found).savefig(PAGE.with_name(f"comparison_{name}.png"), dpi=110)
    PAGE.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("winds", type=Path, help="monthly_navy_winds.cdf")
    parser.add_argument("--folder", type=Path, help="where runs lie, to be continued; by default a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(asked.winds, folder / "monthly_navy_winds.cdf")
        write_digits(folder / "moving_digits")
        for name in ("winds", "digits"):
            shutil.copy(HERE / f"{name}.yaml", folder)
        results = {"machine": machine(), "compared": {name: compared(name, folder) for name in ("winds", "digits")}}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write(results)


if __name__ == "__main__":
    main()
