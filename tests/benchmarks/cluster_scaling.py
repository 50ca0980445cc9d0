"""Scaling on paper: the walk over 8 to 1024 GPUs in simulated time, on constants measured here and assumed ones.

Run by `make scaling`. Compares the simulation with real walks of two workers here first. Writes results/scaling.json
and the tables of cluster/DESIGN.md.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

from cluster.actor import Tally
from cluster.cost import choose, moved, ring_time
from cluster.exchange import EXCHANGES
from cluster.layout import Layout, in_time
from cluster.ray_executor import RayExecutor, RayGroup
from tests.benchmarks.cluster_speed import CHANNELS, GRID, SHARD, SHARDS, states, volume
from tests.benchmarks.in_memory import InMemory
from tests.benchmarks.scaling_cases import ARCHIVES, TOLERANCE, WAVES, Archive, clusters, message, work
from tests.benchmarks.scaling_constants import ASSUMED, Measured, measure
from tests.benchmarks.scaling_page import borders, constants, efficiencies, write
from tests.benchmarks.simulated_owner import Load, Machine, Outcome
from tests.benchmarks.simulated_walk import simulate

HERE = Path(__file__).parent
GPUS = (8, 64, 256, 1024)
MOST_MESSAGES = 20_000
"""Of a simulated walk; the all-gather's number grows as the square of the workers, and is then left to the model."""

FACTOR = 1.5
"""Between the simulated and the real walk of two workers here, at most."""

ROUNDS, PARTS = 7, 4

STARTED = 0.8
"""From this efficiency on what limits a walk of `WAVES` waves is its start."""


def timed(group: RayGroup, layout: Layout, exchange: str) -> tuple[float, float]:
    """Seconds of a walk, and those that its workers were computing."""
    begun, computing = time.perf_counter(), 0.0
    for event in group.walk(layout, exchange):
        if isinstance(event, Tally):
            computing += event.report[0]["computing"]
    return time.perf_counter() - begun, computing


def here(measured: Measured, parts: int, slower: float = 1.0) -> tuple[Load, Machine]:
    """The volume of `cluster_speed` on this machine, whose workers scan `slower` times slower than one alone."""
    size, state = 4 * SHARD * CHANNELS * math.prod(GRID) // parts, states(volume(parts))
    rates = {name: rate / slower for name, rate in asdict(measured.scanned[CHANNELS // parts]).items()}
    rest = {"compose": measured.compose, "place": measured.copy, "hop": measured.message, "submit": measured.submit}
    return Load(size, state, state), Machine(**rates, **rest)


def against_real(group: RayGroup, measured: Measured, parts: int) -> list[dict]:
    """Two workers of one thread each, time cut: simulated seconds over real ones.

    They share this machine with each other and with whoever else is there, so the simulated ones scan as much slower
    than measured alone as the real ones did. What is compared is what the walk makes of it.
    """
    layout, rows = in_time([SHARDS] * parts, 2), []
    for exchange in EXCHANGES:
        alone, turns = simulate(layout, exchange, *here(measured, parts)), []
        for _ in range(ROUNDS):
            real, computing = timed(group, layout, exchange)
            slower = computing / (alone.doing["computing"] + alone.doing["placing"])
            turns.append((simulate(layout, exchange, *here(measured, parts, slower)).seconds / real, real, slower))
        ratio, real, slower = sorted(turns)[ROUNDS // 2]
        rows.append({"parts": parts, "exchange": exchange, "real": real, "ratio": ratio, "slower": slower})
        print(
            f"two workers here, {parts} parts, {exchange:10s} simulated / real {ratio:.2f} (limit {FACTOR:.1f}) "
            f"{'kept' if 1 / FACTOR <= ratio <= FACTOR else 'MISSED'}   {real:.3f} s, "
            f"scan {slower:.2f} times slower than one alone",
            flush=True,
        )
    return rows


@dataclass(frozen=True)
class Cell:
    """An exchange on a cluster.

    Attributes:
        efficiency: One worker's time for its share, over the time.
        simulated: Whether it was, or comes from the model.
        outcome: Of the simulation.
    """

    efficiency: float
    simulated: bool
    outcome: Outcome | None = None

    def __str__(self) -> str:
        return ("" if self.simulated else "~") + f"{100 * self.efficiency:.{0 if self.efficiency >= 0.1 else 1}f}"


@cache
def alone(load: Load, machine: Machine) -> float:
    """Seconds of one worker for its share."""
    return simulate(in_time([WAVES], 1), "chain", load, machine).seconds


def cell(exchange: str, workers: int, load: Load, machine: Machine) -> Cell:
    messages = workers * WAVES * (1 if exchange == "chain" else 4 if exchange == "tree" else workers // 2 + 2)
    if messages > MOST_MESSAGES and exchange == "all-gather":
        ring, busy = ring_time(exchange, workers, load.sent, message(machine)), work(load, machine)
        start = load.frames / machine.read
        return Cell(alone(load, machine) / (alone(load, machine) + start + (WAVES - 1) * max(0.0, ring - busy)), False)
    layout = in_time([WAVES * workers], workers)
    outcome = simulate(layout, exchange, load, machine)
    assert outcome.moved == moved(layout, exchange, [load.sent])
    return Cell(alone(load, machine) / outcome.seconds, True, outcome)


def limit(best: Cell, load: Load, machine: Machine) -> str:
    """What keeps the best exchange from more."""
    if best.efficiency >= STARTED:
        return "start"
    parts = {
        "latency": machine.hop.seconds + machine.submit.seconds,
        "network": load.sent / machine.hop.rate + load.sent / machine.submit.rate,
        "composing": load.sent / machine.compose,
    }
    return max(parts, key=parts.get)


def table_row(archive: Archive, tolerance: float, workers: int, machines: dict[str, Machine]) -> dict:
    load, row = archive.load(tolerance), {"archive": archive.name, "tolerance": tolerance, "workers": workers}
    for network, machine in machines.items():
        cells = {exchange: cell(exchange, workers, load, machine) for exchange in EXCHANGES}
        best = max(cells, key=lambda name: cells[name].efficiency)
        layout = in_time([WAVES * workers], workers)
        auto = choose(layout, [load.sent], message(machine), work=work(load, machine)).name
        row[network] = {
            "efficiency": {name: one.efficiency for name, one in cells.items()},
            "simulated": {name: one.simulated for name, one in cells.items()},
            "moved": {name: one.outcome.moved for name, one in cells.items() if one.outcome},
            "words": {name: str(one) for name, one in cells.items()},
            "auto": auto,
            "auto over best": cells[auto].efficiency / cells[best].efficiency,
            "limit": limit(cells[best], load, machine),
        }
    return row


def shared_store(machine: Machine) -> list[dict]:
    """The chain on a store of limited speed for all."""
    load, total = ARCHIVES[1].load(0.0), ASSUMED["Zarr, all workers"].value
    rows = []
    for workers in (8, 64, 256):
        found = cell("tree", workers, load, replace(machine, shared=total)).efficiency
        bound = min(1.0, total / workers / (machine.read + machine.write))
        rows.append({"workers": workers, "efficiency": found, "bound": bound})
    return rows


def main() -> None:
    executor, real = RayExecutor(workers=2), []
    try:
        with executor.group(partial(InMemory, volume(PARTS)), threads=1, most=2) as group:
            widths = (CHANNELS, CHANNELS // PARTS)
            measured = measure(group, frames=SHARD, channels=CHANNELS, grid=GRID, widths=widths)
            real += against_real(group, measured, PARTS)
        with executor.group(partial(InMemory, volume(1)), threads=1, most=2) as group:
            real += against_real(group, measured, 1)
    finally:
        executor.close()
    machines = clusters(measured)
    rows = []
    for tolerance in (0.0, TOLERANCE):
        for archive in ARCHIVES:
            for workers in GPUS if tolerance == 0 else GPUS[1:3]:
                rows.append(table_row(archive, tolerance, workers, machines))
                words = {network: rows[-1][network]["words"] for network in machines}
                print(archive.name, f"tolerance {tolerance:g}", workers, words, flush=True)
    shared = shared_store(machines["InfiniBand"])
    worst = min(row[network]["auto over best"] for row in rows for network in machines)
    print(f"auto: at worst {worst:.2f} of the best exchange's speed")
    result = {"measured": asdict(measured), "assumed": {name: asdict(one) for name, one in ASSUMED.items()}}
    result |= {
        "two workers here": real,
        "rows": rows,
        "shared store": shared,
        "auto at worst": worst,
    }
    (HERE / "results" / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
    ratios = [row["ratio"] for row in real]
    lines = [
        *constants(measured, CHANNELS),
        "",
        f"Simulated over real time of two workers here, six walks: {min(ratios):.2f} to {max(ratios):.2f}.",
        "",
        *borders(machines),
        "",
        f"Efficiency in percent, {WAVES} shards of each worker:",
        "",
        *efficiencies([row for row in rows if row["tolerance"] == 0], list(machines)),
        "",
        f"The same with frequency classes, `carry_tolerance` {TOLERANCE:g}:",
        "",
        *efficiencies([row for row in rows if row["tolerance"] > 0], list(machines)),
        "",
        f"`auto` reaches at least {worst:.0%} of the best exchange's speed in all these cases.",
        "",
        "| a store for all, climate, tree | " + " | ".join(f"{row['workers']} GPUs" for row in shared) + " |",
        "| --- |" + " ---: |" * len(shared),
        "| simulated | " + " | ".join(f"{row['efficiency']:.0%}" for row in shared) + " |",
        "| B / (P (r + w)) | " + " | ".join(f"{row['bound']:.0%}" for row in shared) + " |",
    ]
    write("\n".join(lines))


if __name__ == "__main__":
    main()
