"""The tables of the scaling model in cluster/DESIGN.md."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from cluster.cost import readable
from cluster.exchange import EXCHANGES
from tests.benchmarks.scaling_cases import ARCHIVES, message, work
from tests.benchmarks.scaling_constants import ASSUMED, Measured
from tests.benchmarks.simulated_owner import Machine

PAGE = Path("cluster/DESIGN.md")
START, END = "<!-- scaling -->\n", "<!-- end of scaling -->"


def constants(measured: Measured, channels: int) -> list[str]:
    here = measured.scanned[channels]
    hop, submit = measured.hop, measured.submit
    told = {
        "scan in one pass, 1 thread": f"{here.through / 1e9:.2f} GB/s of frames",
        "scan in two halves": f"{here.keep / 1e9:.2f} and {here.finish / 1e9:.2f} GB/s",
        "a carry composed by numpy": f"{measured.compose / 1e9:.2f} GB/s",
        "memory copied by numpy": f"{measured.copy / 1e9:.2f} GB/s",
        "a message of Ray and its answer": f"{1e3 * hop.seconds:.2f} ms + bytes / {hop.rate / 1e9:.2f} GB/s",
        "of it the sender": f"{1e3 * submit.seconds:.2f} ms + bytes / {submit.rate / 1e9:.2f} GB/s",
    }
    lines = ["| measured here | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in told.items())]
    lines += ["", "| assumed | | from |", "| --- | ---: | --- |"]
    return lines + [f"| {name} | {one.value:.3g} {one.unit} | {one.source} |" for name, one in ASSUMED.items()]


def borders(machines: dict[str, Machine]) -> list[str]:
    """Up to how many workers carries go round while a wave is worked on, and the frames that hide a hop."""
    networks = {
        "Ray": message(machines["Ray"]),
        "Ethernet": replace(message(machines["InfiniBand"]), rate=ASSUMED["Ethernet"].value),
        "InfiniBand": message(machines["InfiniBand"]),
        "NVLink": replace(message(machines["InfiniBand"]), rate=ASSUMED["NVLink"].value),
    }
    lines = [
        "| archive | frame | carry | frames a shard | work | "
        + " | ".join(f"{n}: P\\*" for n in networks)
        + " | "
        + " | ".join(f"{n}: L, chain of 64" for n in networks)
        + " |",
        "| --- |" + " ---: |" * (4 + 2 * len(networks)),
    ]
    for archive in ARCHIVES:
        load = archive.load(0.0)
        busy = work(load, machines["Ray"])
        per_frame = busy / archive.frames
        reach = [f"{busy / hop.time(load.sent):.3g}" for hop in networks.values()]
        frames = [f"{math.ceil(64 * hop.time(load.sent) / 1.1 / per_frame)}" for hop in networks.values()]
        lines.append(
            f"| {archive.name} | {readable(archive.frame)} | {readable(load.sent)} | {archive.frames} | "
            f"{1e3 * busy:.0f} ms | " + " | ".join(reach + frames) + " |"
        )
    return lines


def efficiencies(rows: list[dict], networks: list[str]) -> list[str]:
    head = "".join(f" {network}: chain | tree | all-gather | auto | limit |" for network in networks)
    lines = [f"| archive | GPUs |{head}", "| --- | ---: |" + " ---: | ---: | ---: | --- | --- |" * len(networks)]
    for row in rows:
        words = f"| {row['archive']} | {row['workers']} |"
        for network in networks:
            found = row[network]
            words += "".join(f" {found['words'][name]} |" for name in EXCHANGES)
            words += f" {found['auto']} | {found['limit']} |"
        lines.append(words)
    return lines


def write(text: str) -> None:
    """Puts the tables between their markers."""
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + text + "\n" + rest[rest.index(END) :])
