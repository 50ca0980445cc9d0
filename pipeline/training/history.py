"""Losses, validation errors and rollbacks as JSON lines, one record a line, written as they come."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.storage.atomic import write_text


class History:
    """The history of the steps that made the weights: what was undone is not in it, but that it was undone is.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.path = path

    def record(self, **values: int | float) -> None:
        """Adds a record."""
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def go_back(self, step: int, rollbacks: tuple[dict, ...] = ()) -> None:
        """Drops what was recorded after a step, and makes its rollbacks those of the checkpoint of that step.

        A killed run recorded steps that its last checkpoint does not hold; one that was killed while it went back may
        have recorded a rollback too few.
        """
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        kept = [r for r in found if (r["rollback"] <= len(rollbacks) if "rollback" in r else r["step"] <= step)]
        known = max((r["rollback"] for r in kept if "rollback" in r), default=0)
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in (*kept, *rollbacks[known:])))
