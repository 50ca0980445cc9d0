"""The record of scores: a line for each forecast, written as it comes, which a kill cannot spoil."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.scoring import Scores

Key = tuple[str, int, int]
"""A series, the frame that a forecast started from, and how many frames ahead it is."""


class Record:
    """Scores of forecasts by where they started and how far they reach, in a file of JSON lines.

    A line that a killed process left unfinished is cut off. A forecast that is scored again has the same scores, and
    the last line counts. Memory holds where the lines are, not what is in them.

    Args:
        path: The file; made where it is not there.
    """

    def __init__(self, path: Path):
        self._path, self._places = path, {}
        path.touch()
        with path.open("rb+") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._places[_key(line)] = whole
                whole += len(line)
            file.truncate(whole)

    def add(self, key: Key, scores: Mapping[str, Scores]) -> None:
        """Writes the scores of several forecasters, by name."""
        told = {name: own.as_json() for name, own in scores.items()}
        with self._path.open("ab") as file:
            place = file.tell()
            file.write(f"{json.dumps(key)}\t{json.dumps(told)}\n".encode())
        self._places[key] = place

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> list[Key]:
        return list(self._places)

    def read(self, key: Key) -> dict[str, Scores]:
        """What was written last."""
        with self._path.open("rb") as file:
            file.seek(self._places[key])
            _, _, told = file.readline().partition(b"\t")
        return {name: Scores.of_json(own) for name, own in json.loads(told).items()}


def _key(line: bytes) -> Key:
    series, frame, lead = json.loads(line.partition(b"\t")[0])
    return series, frame, lead
