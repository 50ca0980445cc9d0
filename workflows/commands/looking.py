"""The command that shows stores on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.options import OpenBrowser, Port


def view(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...",
            help="A store that Chronovox wrote, or the folder of a run (its forecast and what it is of); several on "
            "one grid are shown beside each other, as in input, truth, prediction.",
            show_default=False,
        ),
    ],
    series: Annotated[str, typer.Option(help="The series, where a store has several.", show_default=False)] = "",
    port: Port = 0,
    open_browser: OpenBrowser = False,
) -> None:
    """Look at volumes in a browser: time, slices, channels, differences, the numbers of a voxel through time. The page
    is served to this machine alone, by a link with a token; Ctrl-C ends it."""
    import gc

    gc.disable()  # nothing of what is imported is garbage, and looking for some takes a seventh of the time
    from pipeline.storage.glimpse import Recent
    from workflows.pages.view.choose import choose
    from workflows.pages.view.together import Together
    from workflows.pages.view.volume import Volume

    recent = Recent()
    together = Together([Volume(chosen, recent) for chosen in choose(stores, series)])
    from workflows.pages.serve import serve
    from workflows.pages.view.page import Page

    gc.freeze()
    gc.enable()
    title = ", ".join(volume.label for volume in together.volumes)
    serve(lambda document: Page(together, document), f"{title} - Chronovox", port=port, open_browser=open_browser)
