"""The command `doctor`: what this machine, and a cluster, has of what is needed, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from workflows.doctor.finding import Check, Finding, State, results


def doctor(
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A Ray cluster to look at; by default one is started on this machine.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs, or will.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON, and nothing else.")] = False,
) -> None:
    """Check this machine and say what to do: versions, GPUs, CPUs, memory, disk, codecs, Ray; with --address also the
    nodes of a cluster. Exit code 1 if something failed."""
    found = results(checks(address, runs))
    if as_json:
        shown = in_json(found)
    else:
        from rich.console import Console

        console = Console()
        shown = in_table(found, console) if console.is_terminal else in_lines(found)
    if any(one.state is State.failed for one in shown):
        raise typer.Exit(1)


def checks(address: str | None, runs: Path) -> Iterator[Check]:
    """All checks, in the order in which one follows from another. Libraries are imported when a check needs them."""
    from workflows.doctor import cluster, machine, packages, storage

    def of_packages() -> Iterator[Finding]:
        import platform

        wanted = packages.asked()
        yield packages.python_version(platform.python_version(), wanted)
        yield from packages.packages(wanted, packages.installed)
        yield from packages.extras(wanted, packages.installed)

    yield Check("packages", of_packages)
    yield Check("gpu", lambda: packages.torch_and_gpus(packages.torch_here(), packages.gpus()), 60)
    yield Check("machine", machine.of_machine)
    yield Check("runs folder", lambda: storage.of_folder(runs), 60)
    yield Check("codecs", storage.codecs, 60)
    yield Check("compiler", storage.compiler, 120)
    yield Check("ray", lambda: cluster.of_cluster(address, runs), cluster.SECONDS + 30)


def in_json(found: Iterator[Finding]) -> list[Finding]:
    """All findings as one list of JSON."""
    import json
    from dataclasses import asdict

    shown = list(found)
    typer.echo(json.dumps([asdict(one) for one in shown], indent=1))
    return shown


def in_lines(found: Iterator[Finding]) -> list[Finding]:
    """A line for each finding as soon as it is known, and one for what to do."""
    shown = []
    for one in found:
        typer.echo(f"{one.state:8}{one.name}: {one.found}")
        if one.remedy:
            typer.echo(f"{'':8}-> {one.remedy}")
        shown.append(one)
    typer.echo(summary(shown))
    return shown


def in_table(found: Iterator[Finding], console) -> list[Finding]:
    """A table that grows with each finding."""
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading, options in (
        ("", {}),
        ("check", {"no_wrap": True}),
        ("found", {"ratio": 3}),
        ("what to do", {"ratio": 2}),
    ):
        table.add_column(heading, **options)
    shown = []
    with Live(table, console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for one in found:
            table.add_row(Text(*SIGNS[one.state]), *(Text(text) for text in (one.name, one.found, one.remedy)))
            live.refresh()
            shown.append(one)
    console.print(summary(shown), markup=False, highlight=False)
    return shown


SIGNS = {State.ok: ("ok", "green"), State.warning: ("warning", "yellow"), State.failed: ("failed", "bold red")}
"""What a state is shown as, and in which style."""


def summary(found: list[Finding]) -> str:
    """How many of each."""
    counts = {state: sum(one.state is state for one in found) for state in State}
    return f"{counts[State.ok]} ok, {counts[State.warning]} warnings, {counts[State.failed]} failed"
