"""What `chronovox verify-scan` prints: what was scanned, how far each way of cutting is off, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.certify import Scan
from ssm_ops import Certificate

WIDTH = 80
"""Where the output is no terminal."""


def heading(facts: dict[str, str]) -> None:
    """What is scanned with what, a line each."""
    for name, fact in facts.items():
        _say(f"{name + ':':12}{fact}")


def verdict(certificates: Iterable[tuple[Scan, Certificate]]) -> bool:
    """Prints the certificates as one table and a sentence; returns whether every scan is within its tolerance."""
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    table = Table("scan of", "way of cutting", box=SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("largest difference", justify="right")
    table.add_column("margin 1 - max|a|", justify="right")
    failures, tolerance = [], 0.0
    with console.status("the plain recurrence, step by step"):
        for scan, found in certificates:
            tolerance, name, margin = scan.tolerance, scan.name, f"{found.margin:#.3g}"
            for way, difference in found.differences.items():
                within = difference <= tolerance  # not so for NaN
                table.add_row(name, way, f"{difference:.1e}{'' if within else ' *'}", margin)
                name = margin = ""
                if not within:
                    failures.append(f"{scan.name}, {way}: {difference:.1e}")
            table.add_section()
    console.print(table)
    if not failures:
        _say(f"Within {tolerance:g} of the float64 recurrence, relative to the largest state, however it was cut.")
        return True
    _say(
        f"NOT the float64 recurrence: {'; '.join(failures)}, more than {tolerance:g} of the largest state. "
        "The scan is wrong for these data; do not trust its results, and please report these lines."
    )
    return False


def _say(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)
