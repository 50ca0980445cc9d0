"""The tables and the plots of docs/complexity.md."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import nnls

from ssm_ops.mixers.catalogue import MIXERS
from tests.benchmarks.complexity import theory
from tests.benchmarks.complexity.contenders import Contender, contenders
from tests.benchmarks.complexity.measure import FRAMES, SIDE

PAGE = Path("docs/complexity.md")
START, END = "<!-- measured -->\n", "<!-- end -->"

QUANTITIES = {
    "train_seconds": "training, seconds",
    "train_bytes": "training, bytes held",
    "step_seconds": "a frame, seconds",
    "carry_bytes": "carry, bytes",
}
SYMBOLS = {"frames": "T", "voxels": "N", "taps": "K"}
LARGEST = 3
"""Sizes that an exponent is fitted to; at smaller ones it is seen what calls cost."""

APART = 0.25
"""By how much an exponent may differ from theory's before the page marks it, and says why."""

FITS = 0.3
"""By how much, relative, a sum of powers may miss any of what was measured and still tell why."""

COLOURS = ("#b3242b", "#b7791f", "#2b6cb0", "#6b46c1", "#2f855a", "#0f766e", "#9d174d")
LINES = ("-", "--", ":", "-.")
MARKS = (".", "s", "^")
"""With `LINES`, twelve of a family."""

Points = Mapping[str, Mapping[str, float]]
"""By size, as text, what was measured."""


def write(results: dict) -> None:
    """Puts the tables between their markers, and the plots beside the page."""
    lines = []
    for what, heading in (("frames", "frames T"), ("voxels", "voxels N of a frame"), ("taps", "taps K along an axis")):
        lines += [f"### With the {heading}", "", *table(results, what), ""]
    lines += ["### Where measurement and theory part", "", *reasons(results), ""]
    lines += ["### Powers of a kernel", "", *kernels(results), ""]
    lines += ["### Memory that is given back", "", *given_back(results), ""]
    worst = max(results["modes"].values())
    lines += [
        f"In chunks and frame by frame all of them gave what they give whole, float64: at most {worst:.1e} off.",
        "",
        "Commit {commit}; {processor}, one thread; Python {python}, torch {torch}.".format(**results["machine"]),
    ]
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + "\n".join(lines) + "\n" + END + rest.partition(END)[2])
    drawn(results).savefig(PAGE.with_suffix(".png"), dpi=110)


def table(results: dict, what: str) -> list[str]:
    """A row a contender and number of axes: of each quantity the exponent that was measured, and theory's."""
    rows = [
        f"| model | axes | {' | '.join(f'{told} | theory' for told in QUANTITIES.values())} |",
        "| --- | ---: |" + " ---: | --- |" * len(QUANTITIES),
    ]
    for contender, axes, points in swept(results, what):
        cells = []
        for quantity in QUANTITIES:
            growth, found = theory.of(contender, axes, what, quantity), exponents(points, quantity)
            cells += [told(found, expected(points, growth)), growth.told]
        rows.append(f"| {contender.name} | {axes} | {' | '.join(cells)} |")
    return rows


def swept(results: dict, what: str) -> Iterable[tuple[Contender, int, Points]]:
    """The contenders of which a sweep was measured, on grids of 2 and 3 axes."""
    for contender in contenders():
        for axes in (2, 3):
            points = results["sweeps"].get(f"{contender.name}, {axes}-D", {}).get(what)
            if points:
                yield contender, axes, points


def exponents(points: Points, quantity: str) -> tuple[float, float] | None:
    """The slope of the logarithm over that of the size: of the line through the `LARGEST` sizes, and between the last
    two. `None` of what is nothing."""
    sizes = np.log([float(size) for size in points])[-LARGEST:]
    values = np.array([own[quantity] for own in points.values()])[-LARGEST:]
    if len(sizes) < 2 or values.min() <= 0:
        return None
    values = np.log(values)
    return float(np.polyfit(sizes, values, 1)[0]), float((values[-1] - values[-2]) / (sizes[-1] - sizes[-2]))


def expected(points: Points, growth: theory.Growth) -> float:
    """Theory's slope through the sizes that `exponents` takes, which a logarithm makes a little steeper."""
    sizes = np.array([float(size) for size in points])[-LARGEST:]
    return float(np.polyfit(np.log(sizes), np.log(growth.at(sizes)), 1)[0])


def told(found: tuple[float, float] | None, expected: float) -> str:
    """An exponent; in bold where it is apart from theory's, with the one between the two largest sizes."""
    if found is None:
        return "none"
    whole, last = found
    if abs(whole - expected) <= APART:
        return f"{whole:.2f}"
    return f"**{whole:.2f}** ({last:.2f})"


def reasons(results: dict) -> list[str]:
    """A row for all that is in bold, with the reason."""
    rows = ["| model | axes | what | measured | theory | why |", "| --- | ---: | --- | ---: | --- | --- |"]
    for what, symbol in SYMBOLS.items():
        for contender, axes, points in swept(results, what):
            for quantity, words in QUANTITIES.items():
                growth, found = theory.of(contender, axes, what, quantity), exponents(points, quantity)
                if found is None or abs(found[0] - expected(points, growth)) <= APART:
                    continue
                why = theory.reason(contender, axes, what, quantity) or parts(points, quantity, symbol, growth)
                measured = f"{symbol}^{found[0]:.2f}"
                rows.append(f"| {contender.name} | {axes} | {words} | {measured} | {growth.told} | {why} |")
    return rows


def parts(points: Points, quantity: str, symbol: str, growth: theory.Growth) -> str:
    """How much of it does not grow, and how well a sum of that and theory's growth tells what was measured; beside a
    power that is not whole there is a linear part, too. This tells why something grows less than theory says."""
    sizes = np.array([float(size) for size in points])
    values = np.array([own[quantity] for own in points.values()])
    linear = [] if growth.exponent.is_integer() else [sizes]
    summands = [np.ones_like(sizes), *linear, growth.at(sizes)]
    relative = np.stack(summands, 1) / values[:, None]
    sums = relative * nnls(relative, np.ones_like(values))[0]
    off = np.abs(sums.sum(1) - 1).max()
    shares = 100 * sums / sums.sum(1, keepdims=True)
    steeper = exponents(points, quantity)[0] > expected(points, growth)
    if steeper or off > FITS or shares[0, 0] < 10:
        return "not known"
    told = [f"{shares[0, 0]:.0f} to {shares[-1, 0]:.0f} % do not grow"]
    if linear:
        told.append(f"{shares[0, 1]:.0f} to {shares[-1, 1]:.0f} % grow with {symbol}")
    return f"of it {', '.join(told)}: with theory's part this is at most {100 * off:.0f} % off"


def kernels(results: dict) -> list[str]:
    """How A^k grows in pixel space, and does not in frequency space."""
    rows = ["| axes | steps k | taps of A^k | ms | numbers of a^k on 16^axes | ms |", "| ---: " * 6 + "|"]
    for axes, found in results["kernels"].items():
        for steps, own in found.items():
            rows.append(
                f"| {axes} | {steps} | {own['pixel_taps']} | {1e3 * own['pixel_seconds']:.2f} | "
                f"{own['spectral_numbers']} | {1e3 * own['spectral_seconds']:.2f} |"
            )
    return rows


def given_back(results: dict) -> list[str]:
    """What it costs that memory is given back to the system and taken anew at every step."""
    rows = [
        "| what | sizes | growth, kept | growth, given back | time at the larger size, given back / kept |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kept, back in zip(results["memory"]["kept"], results["memory"]["given back"], strict=True):
        sizes = f"{SYMBOLS[kept['grows']]} = {kept['sizes'][0]}, {kept['sizes'][1]}"
        ratio = back["seconds"][1] / kept["seconds"][1]
        rows.append(f"| {kept['what']} | {sizes} | {slope(kept):.2f} | {slope(back):.2f} | {ratio:.1f} |")
    return rows


def slope(measured: Mapping) -> float:
    """Of the logarithm of seconds over that of the size, between two sizes."""
    sizes, seconds = (np.log(measured[what]) for what in ("sizes", "seconds"))
    return float((seconds[1] - seconds[0]) / (sizes[1] - sizes[0]))


def drawn(results: dict) -> Figure:
    """On images: all four quantities over frames and over voxels, a colour a family."""
    figure = Figure(figsize=(15, 9.5), layout="constrained")
    panels = figure.subplots(2, 4)
    families = list(dict.fromkeys(member.family for member in MIXERS.values()))
    colours = dict(zip(families, itertools.cycle(COLOURS), strict=False))
    for row, what in zip(panels, ("frames", "voxels"), strict=True):
        styles = {family: itertools.product(MARKS, LINES) for family in families}
        sizes = set()
        for contender, axes, points in swept(results, what):
            if axes != 2:
                continue
            family = MIXERS[contender.mixer].family
            mark, line = next(styles[family])
            style = {"color": colours[family], "linestyle": line, "marker": mark, "markersize": 3, "linewidth": 1.1}
            over = [int(size) for size in points]
            sizes.update(over)
            for panel, quantity in zip(row, QUANTITIES, strict=True):
                label = contender.name if panel is panels[0, 0] else None
                panel.plot(over, [own[quantity] for own in points.values()], label=label, **style)
        for panel, words in zip(row, QUANTITIES.values(), strict=True):
            panel.set(xscale="log", yscale="log", title=words, xlabel=f"{what} {SYMBOLS[what]}")
            panel.set_xticks(sorted(sizes), [f"{size}" for size in sorted(sizes)], fontsize=8)
            panel.minorticks_off()
    side = SIDE["frames"][2]
    figure.suptitle(f"Images: {side} x {side} voxels where frames grow, {FRAMES} frames where voxels do")
    figure.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure
