"""The commands that run a recipe as a job of a Ray cluster, and look after it by the name of its run."""

from __future__ import annotations

import difflib
import json as as_json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands.options import Changes, Memory, Recipe, Workers

if TYPE_CHECKING:
    from cluster.jobs import Job, Jobs

BEGIN_SECONDS = 60.0
"""How long `submit` waits for the first stage of a run, which says that its recipe and its files are in order."""

BEGUN = (": started", ", skipped")
"""How lines end that tell of a stage, see `workflows.display.PlainDisplay`."""

NOW_SECONDS = 60.0
"""How long a run may take that is to end at once, before Ray is asked to end it."""

END_SECONDS = 40.0
"""How long a driver may take to end after its run has, or after Ray was asked to end it, and its actors after that."""

CANCEL = "cancel"

MISSING = "no file or folder"
"""What is said of a file that a recipe names, see `pipeline.archive.locate`."""

ENTRY = "Running entrypoint for job"
"""What Ray writes into the log of a job before the job does."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The run: its name.", show_default=False)]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        help="The dashboard of the cluster, as in http://127.0.0.1:8265.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def submit(
    recipe: Recipe,
    address: Address = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the run; by default the name of the recipe.", show_default=False),
    ] = None,
    runs: Annotated[
        Path,
        typer.Option(
            help="The folder that holds the runs, as the cluster sees it; a relative path starts where you are."
        ),
    ] = Path("runs"),
    workers: Workers = None,
    memory: Memory = None,
    changes: Changes = None,
    installed: Annotated[
        bool,
        typer.Option(
            "--installed", help="Run the Chronovox that the cluster's image has; by default this one comes along."
        ),
    ] = False,
) -> None:
    """Run a recipe as a job of a Ray cluster. Recipe and code come along; archives that the recipe names must lie where
    the cluster sees them under the same path, or at a URL. Comes back when the run has begun."""
    from workflows.commands.packing import pack
    from workflows.language.load import load
    from workflows.language.settings import elsewhere
    from workflows.mistakes import RecipeError, is_word
    from workflows.run import RunRefused

    if name is not None and not is_word(name):
        raise RecipeError(f"is {name!r}; give a word of letters, digits, _ and -", where="--name")
    with elsewhere():
        workflow = load(recipe, changes or ())
    workflow = replace(workflow, name=name or workflow.name)
    jobs, runs = _jobs(address), Path(os.path.abspath(runs))
    jobs.refuse_other_versions()
    latest = jobs.latest(workflow.name)
    if latest and latest.live:
        raise RunRefused(
            f"a run {latest.run} is {latest.state} at {jobs.url} since {_when(latest.began)}; wait for it, end it with "
            f"`chronovox cancel {latest.run}`, or give this one another --name"
        )
    options = ["--runs", str(runs), "--address", "auto"]
    options += ["--workers", str(workers)] if workers else []
    options += ["--memory", f"{memory / 1e6!r}MB"] if memory else []
    with TemporaryDirectory(prefix="chronovox-") as folder:
        inside = pack(workflow, Path(folder), code=not installed)
        job = jobs.submit(workflow.name, [*_chronovox("run"), inside, *options], Path(folder), runs=str(runs))
    job, said = _begun(jobs, job)
    if job.state in ("failed", "stopped"):
        typer.echo(said or job.message, err=True)
        if MISSING in said:
            typer.echo("(archives do not come along: the cluster must see them where the recipe says)", err=True)
        raise typer.Exit(job.code or 1)
    typer.echo(f"{job.run}: {job.state}, in {runs / job.run} on the cluster")
    typer.echo(f"chronovox status {job.run}, logs {job.run} -f, cancel {job.run}: each with --address {jobs.url}")


def status(name: Name, address: Address = None, json: Json = False) -> None:
    """Show how a run stands that was submitted: its state, since when, how far it came (where its folder is to be seen
    from here), and what it said last."""
    jobs = _jobs(address)
    job = _of_run(jobs, name)
    said, reached = _own_lines(jobs.log(job).splitlines()), _reached(Path(job.runs) / name)
    if json:
        typer.echo(as_json.dumps(_as_dict(job) | reached | {"said": next(iter(said[-1:]), None)}))
        return
    end = f", ended {_when(job.ended)} after {_long(job)}" if job.ended else f" since {_when(job.began)}, {_long(job)}"
    typer.echo(f"{name}: {job.state}{end}")
    typer.echo(f"  job   {job.id} at {jobs.url}")
    typer.echo(f"  runs  {job.runs}/{name}")
    if reached:
        typer.echo(f"  at    {reached['stage']}, {reached['done']} of {reached['total']}")
    for line in said[-5:] if job.state == "failed" else said[-1:]:
        typer.echo(f"  said  {line}")


def logs(
    name: Name,
    address: Address = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print what a run says that was submitted."""
    jobs = _jobs(address)
    job = _of_run(jobs, name)
    for piece in jobs.follow(job) if follow else [jobs.log(job)]:
        typer.echo(piece, nl=False)


def list_runs(address: Address = None, json: Json = False) -> None:
    """List the runs that were submitted to a cluster, the latest first."""
    jobs = _jobs(address)
    found = jobs.all()
    if json:
        typer.echo(as_json.dumps([_as_dict(job) for job in found]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "state", "since", "took", "folder", box=None, pad_edge=False)
    for job in found:
        table.add_row(job.run, job.state, _when(job.began), _long(job), f"{job.runs}/{job.run}")
    Console(soft_wrap=True).print(table if found else f"no run was submitted to {jobs.url}")


def cancel_job(name: str, address: str, *, now: bool, wait: float) -> None:
    """Ends a run that was submitted, and comes back when its actors are gone.

    A second job beside it leaves the request in the run's folder, which only the cluster may see. Ray itself is asked
    to end the run where that fails, if it is to end at once, or if it has not begun.
    """
    from workflows.run import RunRefused

    jobs = _jobs(address)
    job = _of_run(jobs, name)
    if not job.live:
        raise RunRefused(f"{name} is over, {job.state} since {_when(job.ended)}; there is nothing to cancel")
    typer.echo(f"{name}: to end {'at once' if now else 'at its next safe point'}")
    limit = min(wait, NOW_SECONDS) if now else wait
    command = [*_chronovox(CANCEL), name, "--runs", job.runs, "--wait", str(limit), *(["--now"] if now else [])]
    helper = jobs.await_end(jobs.submit_beside(job, command, kind=CANCEL), limit + END_SECONDS)
    said = _own_lines(jobs.log(helper).splitlines())
    job = jobs.await_end(job, END_SECONDS if helper.state == "succeeded" else 0)
    if job.live and helper.state != "succeeded" and not now:
        raise RunRefused(f"{' '.join(said[-1:]) or helper.message}; --now ends it at once")
    if job.live:
        typer.echo(f"{name}: asking Ray to end it ({' '.join(said[-1:]) or helper.message})")
        jobs.stop(job)
        job = jobs.await_end(job, END_SECONDS)
    if job.live or not jobs.await_free(job, END_SECONDS):
        raise RunRefused(f"{name} is {job.state}, and not all that it held was given back; look at {jobs.url}")
    typer.echo(f"{name}: {job.state} after {_long(job)}; its actors are gone and their devices are free")


def _chronovox(command: str) -> list[str]:
    return ["python", "-m", "workflows.cli", command]


def _jobs(address: str | None) -> Jobs:
    if address is None:
        raise typer.BadParameter("give --address URL, the dashboard of a cluster, or set RAY_API_SERVER_ADDRESS")
    from cluster.jobs import Jobs

    return Jobs(address)


def _of_run(jobs: Jobs, name: str) -> Job:
    from workflows.run import RunRefused

    found = jobs.latest(name)
    if found is None:
        known = list(dict.fromkeys(job.run for job in jobs.all()))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"runs there are: {', '.join(known[:20]) or 'none'}"
        raise RunRefused(f"no run {name!r} was submitted to {jobs.url}; {hint}")
    return found


def _begun(jobs: Jobs, job: Job) -> tuple[Job, str]:
    """The job when its first stage has begun or it has ended, or as it is after a while; and what it said."""
    deadline = time.monotonic() + BEGIN_SECONDS
    while True:
        job = jobs.look(job.id)
        said = _own_lines(jobs.log(job).splitlines()) if job.state != "pending" else []
        if not job.live or any(line.endswith(BEGUN) for line in said) or time.monotonic() >= deadline:
            return job, "\n".join(said)
        time.sleep(0.5)


def _reached(folder: Path) -> dict[str, str | int]:
    """How far the event log of a run tells that it came, where its folder is to be seen from here."""
    from workflows.journal import NAME, last_run

    events = last_run(folder / NAME) if (folder / NAME).exists() else []
    last = next((event for event in reversed(events) if event["event"] == "progress"), {})
    return {key: last[key] for key in ("stage", "done", "total") if key in last}


def _own_lines(lines: Iterable[str]) -> list[str]:
    """The lines of a log that are the run's, not Ray's."""

    def after_entry() -> Iterator[str]:
        begun = False
        for line in lines:
            if begun and line.strip():
                yield line
            begun = begun or line.startswith(ENTRY)

    return list(after_entry())


def _when(moment: datetime) -> str:
    """Where the user is."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _long(job: Job) -> str:
    whole = (job.ended or datetime.now(UTC)) - job.began
    return str(timedelta(seconds=round(whole.total_seconds())))


def _as_dict(job: Job) -> dict[str, str | int | None]:
    return {
        "run": job.run,
        "state": job.state,
        "began": job.began.isoformat(timespec="seconds"),
        "ended": job.ended.isoformat(timespec="seconds") if job.ended else None,
        "folder": f"{job.runs}/{job.run}",
        "id": job.id,
        "exit_code": job.code,
    }
