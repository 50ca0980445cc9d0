"""The tables and the plot of docs/length.md."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.length_once import SIDE

PAGE = Path("docs/length.md")
START, END = "<!-- measured -->\n", "<!-- end -->"
STYLES = {
    "ours, all held": {"color": "#b3242b", "linestyle": "--"},
    "ours, chunks computed again": {"color": "#b3242b"},
    "ConvLSTM, all held": {"color": "#2b6cb0", "linestyle": "--"},
    "ConvLSTM, chunks computed again": {"color": "#2b6cb0"},
    "attention of voxels, fused": {"color": "#2f855a", "linestyle": ":"},
    "attention of 4 x 4 patches, fused": {"color": "#2f855a"},
    "attention of 4 x 4 patches, scores held": {"color": "#2f855a", "linestyle": "--"},
}

Steps = dict[int, dict]
"""Of one contender, by frames, what a step took; of the last, perhaps, why it ended there: `memory` or `time`."""


def write(results: dict) -> None:
    """Puts the tables between their markers, and the plot beside the page."""
    found = results["steps"]
    counts = {name.partition(",")[0]: own[min(own)].get("parameters", "?") for name, own in found.items()}
    lines = [
        "Peak memory of the process, GB:",
        "",
        *table(results, "peak", 1e9),
        "",
        "Seconds of processor time of the step, on one thread:",
        "",
        *table(results, "seconds", 1),
        "",
        f"Parameters: {', '.join(f'{name} {number}' for name, number in counts.items())}.",
        "",
        "Gradients, compared first, relative differences:",
        "",
        *(f"- {line}" for line in results["gradients"]),
        "",
        "Commit {commit}; {processor}, one thread; Python {python}, torch {torch}.".format(**results["machine"]),
    ]
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + "\n".join(lines) + "\n" + END + rest.partition(END)[2])
    draw(results).savefig(PAGE.with_suffix(".png"), dpi=130)


def table(results: dict, what: str, unit: float) -> list[str]:
    """A row a contender, a column a length."""
    lengths = lengths_of(results)
    rows = [
        f"| {name} | {' | '.join(cell(own, frames, what, unit, results) for frames in lengths)} |"
        for name, own in results["steps"].items()
    ]
    return [f"| frames | {' | '.join(map(str, lengths))} |", "| --- |" + " ---: |" * len(lengths), *rows]


def cell(own: Steps, frames: int, what: str, unit: float, results: dict) -> str:
    """A number; or what ended it, once."""
    if frames not in own:
        return ""
    ended = own[frames].get("ended")
    return f"{own[frames][what] / unit:.3g}" if ended is None else f"> {limits(results)[ended]}"


def lengths_of(results: dict) -> list[int]:
    return sorted({frames for own in results["steps"].values() for frames in own})


def limits(results: dict) -> dict[str, str]:
    return {"memory": f"{results['bytes'] / 1e9:.0f} GB", "time": f"{results['seconds']:.0f} s"}


def draw(results: dict) -> Figure:
    """Memory against length, both logarithmic; a mark where a contender ends tells why."""
    figure, lengths, limit = Figure(figsize=(9, 6.8), layout="constrained"), lengths_of(results), results["bytes"] / 1e9
    axes = figure.subplots()
    marks = {"memory": "X", "time": "s"}
    for name, own in results["steps"].items():
        reached = {frames: step["peak"] / 1e9 for frames, step in own.items() if "ended" not in step}
        if not reached:
            continue
        axes.plot(*zip(*reached.items(), strict=True), marker="o", markersize=4, label=name, **STYLES[name])
        ended = own[max(own)].get("ended")
        if ended is not None:
            last, colour = max(reached), STYLES[name]["color"]
            axes.plot(last, reached[last], marker=marks[ended], markersize=9, color=colour, linestyle="")
    for ended, words in limits(results).items():
        label = f"the next length takes more than {words}"
        axes.plot([], [], marker=marks[ended], markersize=9, color="#7a7a7a", linestyle="", label=label)
    axes.axhline(limit, color="black", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        ylim=(0.35, 1.3 * limit),
        xlabel=f"frames of {SIDE} x {SIDE} in the window",
        ylabel="peak memory of the process (GB)",
        title="One training step, forward and backward",
    )
    axes.set_xticks(lengths, map(str, lengths))
    axes.set_yticks([0.5, 1, 2, 4, limit], ["0.5", "1", "2", "4", f"{limit:.0f}"])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
