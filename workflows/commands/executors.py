"""The executor that the options of a command ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from workflows.commands.options import Where

if TYPE_CHECKING:
    from cluster import Executor


def make_executor(where: Where, workers: int | None, address: str | None, memory: float | None = None) -> Executor:
    """The executor that the options ask for."""
    if where is Where.local:
        if address:
            raise typer.BadParameter("--address joins a Ray cluster; use it with --executor ray")
        from cluster.local import LocalExecutor

        return LocalExecutor(workers, memory=memory)
    from cluster.ray_executor import RayExecutor

    return RayExecutor(address, workers=workers, memory=memory)
