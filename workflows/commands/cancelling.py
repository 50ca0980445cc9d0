"""The command `cancel`: asks a run to end, and waits until it has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.jobs import Address, cancel_job


def cancel(
    run: Annotated[str, typer.Argument(metavar="NAME", help="The run: its name.", show_default=False)],
    runs: Annotated[
        Path | None, typer.Option(help="The folder that holds the runs; by default runs.", show_default=False)
    ] = None,
    address: Address = None,
    now: Annotated[bool, typer.Option("--now", help="At once; by default when something was committed next.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end, at most.")] = 3600.0,
) -> None:
    """End a run, at its next safe point or at once. Comes back when its workers are gone; `run` continues it. With
    --address, or where the variable is set and no --runs is given, a run that was submitted."""
    if runs is None and address is not None:
        cancel_job(run, address, now=now, wait=wait)
        return
    from workflows.run import RunRefused
    from workflows.stopping import await_end, is_running, request_stop

    runs = runs or Path("runs")
    folder = runs / run
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in runs.glob("*") if path.is_dir())) or "none"
        raise RunRefused(f"{folder} is not there; runs in {runs} are: {known}")
    if not is_running(folder):
        raise RunRefused(f"no process works on {folder}; there is nothing to cancel")
    request_stop(folder, now)
    typer.echo(f"{run}: asked to end {'at once' if now else 'at its next safe point'}")
    if not await_end(folder, wait):
        raise RunRefused(
            f"{run} has not ended within {wait:.0f} s; the request stands"
            + ("" if now else ", and --now ends it before something more is committed")
        )
    typer.echo(f"{run}: {how_it_ended(folder)}")


def how_it_ended(folder: Path) -> str:
    """What the log says of the end of a run that nobody works on."""
    from workflows.journal import NAME, last_run

    events = last_run(folder / NAME)
    last = next((event for event in reversed(events) if event.get("stage")), {})
    reached = next((event for event in reversed(events) if event["event"] == "progress"), {})
    where = f" in stage {last['stage']}, {reached['done']} of {reached['total']}" if reached and last else ""
    end = events[-1]
    if end["event"] != "ended":
        return f"its process died{where}; what was committed stands, and the same command continues"
    if end["how"] == "finished":
        return "it had finished before it was asked"
    if end["how"] == "failed":
        return f"it failed{where}: {end.get('why', '')}"
    return f"{end['how']}{where}; its workers are gone and their devices are free. The same command continues"
