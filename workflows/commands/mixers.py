"""The command that lists the mixers: the sequence models that a recipe chooses from, and what each of them can do."""

from __future__ import annotations

import inspect
import json as as_json
from typing import Annotated

import typer


def mixers(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them, to be told whole.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, one object a mixer.")] = False,
) -> None:
    """List the sequence models that a recipe can choose, `mixer: NAME` in a training's model, with their modes.

    Each runs whole, chunk by chunk with a carry, and frame by frame, with the same result. WHOLE tells whether a run of
    frames goes at once or in a loop over time; SHARDS, whether workers compute the parts of a series side by side or in
    turn, each with the carry of the part before it; STEPS, whether the time between frames may be any or is always 1.
    """
    from ssm_ops.mixers.catalogue import MIXERS, no_mixer

    if name is not None and name not in MIXERS:
        from pipeline.volume import InputError

        raise InputError(no_mixer(name))
    found = {
        key: {
            "family": member.family,
            "about": member.about,
            "whole": "at once" if member.kind.parallel else "in a loop",
            "shards": "side by side" if member.kind.side_by_side else "in turn",
            "steps": "any" if member.kind.uneven else "1",
            "told": list(member.takes),
            "initial": list(member.initials),
        }
        for key, member in MIXERS.items()
        if name in (key, None)
    }
    if json:
        typer.echo(as_json.dumps(found, indent=2))
        return
    if name is not None:
        typer.echo(f"{name}, {MIXERS[name].family}: {MIXERS[name].about}\n")
        typer.echo(inspect.getdoc(MIXERS[name].kind))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("mixer", "family", "whole", "shards", "steps"):
        table.add_column(heading, no_wrap=True)
    table.add_column("can be told")
    for key, member in found.items():
        told = [f"initial ({', '.join(member['initial'])})" if what == "initial" else what for what in member["told"]]
        row = (key, *(member[what] for what in ("family", "whole", "shards", "steps")), ", ".join(told))
        table.add_row(*row)
    Console(width=max(Console().width, WIDE)).print(table, highlight=False)


WIDE = 120
"""Columns that the table wants at least."""
