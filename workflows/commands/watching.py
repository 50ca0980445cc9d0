"""The command that shows a run on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import OpenBrowser, Port


def board(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run: its folder, or its name.", show_default=False)],
    runs: Annotated[Path, typer.Option(help="The folder that holds the runs.")] = Path("runs"),
    port: Port = 0,
    open_browser: OpenBrowser = False,
) -> None:
    """Watch a run in a browser: what is done, by whom, how long it takes yet; a finished run is played back. The page
    is served to this machine alone, by a link with a token; Ctrl-C ends it."""
    from workflows.pages.board.page import Page
    from workflows.pages.serve import serve

    watched = to_watch(run, runs)
    title = f"{watched.folder.name} - Chronovox"
    serve(lambda document: Page(watched, document), title, port=port, open_browser=open_browser)


def to_watch(run: str, runs: Path):
    """The run that is meant.

    Raises:
        InputError: It is not there, or has no event log.
    """
    from pipeline.volume import InputError
    from workflows.journal import NAME
    from workflows.pages.board.watched import Watched

    folder = next((path for path in (runs / run, Path(run)) if path.is_dir()), None)
    if folder is None:
        known = ", ".join(sorted(path.name for path in runs.glob("*") if path.is_dir())) or "none"
        raise InputError(f"neither {runs / run} nor {run} is a folder; runs in {runs} are: {known}")
    watched = Watched(folder.resolve())
    watched.look()
    if not watched.executions:
        if watched.running:
            raise InputError(f"{folder} has begun, and nothing is told of it yet; try again in a moment")
        raise InputError(
            f"{folder} has no event log ({NAME}), which every run writes; run it again with "
            "this version: what is finished is skipped"
        )
    return watched
