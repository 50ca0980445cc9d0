"""The command that starts a cluster on this machine for trying things out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

app = typer.Typer(help="A cluster on this machine, for trying things out.", no_args_is_help=True)


@app.callback()
def cluster() -> None:
    pass


@app.command()
def up(
    cpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU slots; by default one a core. A worker takes as many as it has threads; more slots than cores "
            "share the cores.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start a Ray cluster on this machine, with a dashboard on 127.0.0.1, until Ctrl-C or SIGTERM; then all of it is
    gone. Other Rays of the machine are left alone."""
    from cluster.connection import cluster_for_jobs
    from cluster.resources import own_cores

    cpus = cpus or own_cores()
    try:
        with _interrupted() as again, cluster_for_jobs(cpus) as started:
            again()  # Ray has set a handler of its own
            typer.echo(f"a cluster of {cpus} CPU slots, until Ctrl-C; in another terminal:")
            if started.fresh:
                typer.echo(f"  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={started.token}")
            else:
                typer.echo(f"  (its token is that of {started.token})")
            typer.echo(f"  chronovox submit RECIPE --address {started.dashboard}")
            typer.echo(f"  chronovox run RECIPE --address {started.address}")
            threading.Event().wait()
    except KeyboardInterrupt:
        typer.echo("the cluster is gone")


@contextmanager
def _interrupted() -> Iterator[Callable[[], None]]:
    """The first Ctrl-C or SIGTERM is a `KeyboardInterrupt`, others count for nothing. Yields what sets the handlers."""
    asked = threading.Event()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(*_: object) -> None:
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt

    def handle() -> None:
        for one in before:
            signal.signal(one, interrupt)

    handle()
    try:
        yield handle
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
