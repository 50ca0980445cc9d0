"""How a plan is shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cluster.cost import readable
from workflows.foresight.cost import Foreseen

WIDE = 110
"""Columns that the table wants at least."""


def show(foreseen: Sequence[Foreseen]) -> None:
    """A row a stage, and the whole."""
    console = Console(width=max(Console().width, WIDE))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for heading in ("chunks", "shards", "waves", "workers", "reads", "writes", "moves", "memory", "GPU", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in foreseen:
        table.add_row(one.name, *cells(one))
    console.print(table)
    for one in foreseen:
        if one.cost is not None and (one.cost.shape or one.cost.axis):
            told = "; ".join(filter(None, (one.cost.shape, one.cost.axis)))
            console.print(f"  {one.name}: {told}", style="dim", highlight=False, markup=False, soft_wrap=True)
    console.print(summary(foreseen), highlight=False, markup=False, soft_wrap=True)


def cells(one: Foreseen) -> list[str]:
    """What is told of a stage, column by column."""
    if one.cost is None:
        told = "finished, skipped" if one.finished else "not foreseen"
        return ["", "", "", "", "", "", "", "", "", told]
    cost = one.cost
    counts = [str(number or "") for number in (cost.chunks, cost.shards, cost.waves, cost.workers)]
    sizes = [readable(size) if size else "" for size in (cost.read, cost.written, cost.moved)]
    memory = readable(cost.host) + (f" x {cost.processes}" if cost.processes > 1 else "")
    return [*counts, *sizes, memory, readable(cost.device) if cost.device else "", duration(cost.seconds)]


def summary(foreseen: Sequence[Foreseen]) -> str:
    """The whole in a line."""
    costs = [one.cost for one in foreseen if one.cost is not None]
    skipped = sum(one.finished for one in foreseen)
    if skipped == len(foreseen):
        return "every stage is finished: nothing is left to do"
    if not costs:
        return "nothing is foreseen"
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    told = f"about {duration(sum(seconds))}" + ("" if len(seconds) == len(costs) else " and what is not known")
    parts = [
        f"{told} in all (a rough guess)",
        f"{readable(sum(cost.disk for cost in costs))} of disk at most",
        f"{readable(max(cost.host * cost.processes for cost in costs))} of memory at most",
    ]
    return "; ".join(parts) + (f"; {skipped} finished and skipped" if skipped else "")


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `6.5 h`."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
