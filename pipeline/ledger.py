"""The ledger: how many shards of each strand, from the first on, are finished for good."""

from __future__ import annotations

import json
import time
from pathlib import Path

from pipeline.storage.atomic import write_text

PAUSE = 0.5
"""Seconds between writes: a write waits for the disk, and who is killed does the shards since the last one again."""


class Ledger:
    """Survives its process; a shard counts when all before it count.

    Args:
        path: A JSON file.
        strands: The names of the strands.
    """

    def __init__(self, path: Path, strands: list[str]):
        self.path, self.strands = path, strands
        self._done = dict.fromkeys(strands, 0)
        if path.exists():
            self._done |= json.loads(path.read_text())
        self._early: set[tuple[str, int]] = set()
        self._written, self._next = dict(self._done), 0.0

    @property
    def exchange(self) -> str | None:
        """How carries passed when this work began: some ways differ in the last bits, so it stays."""
        path = self.path.with_name("exchange.txt")
        return path.read_text().strip() if path.exists() else None

    def keep_exchange(self, name: str) -> None:
        """Records it."""
        write_text(self.path.with_name("exchange.txt"), name + "\n")

    def done(self) -> list[int]:
        """Leading finished shards of each strand."""
        return [self._done[strand] for strand in self.strands]

    def commit(self, strand: int, index: int) -> None:
        """Records that a shard is written, and the carries that leave it; on the disk at once, or soon."""
        name = self.strands[strand]
        self._early.add((name, index))
        while (name, self._done[name]) in self._early:
            self._early.remove((name, self._done[name]))
            self._done[name] += 1
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Writes what was recorded."""
        if self._done != self._written:
            write_text(self.path, json.dumps(self._done) + "\n")
            self._written, self._next = dict(self._done), time.monotonic() + PAUSE
