"""A run in Python: what its stages made, as xarray and pandas objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from pipeline.storage import arrays, store
from pipeline.volume import InputError
from workflows.journal import NAME, last_run
from workflows.plan import REPORT, SUCCESS

STORES = ("raw.zarr", "prepared.zarr", "prediction.zarr", "rollout.zarr")
"""What stages call the volumes that they make."""


def open_run(path: str | Path) -> Run:
    """Opens a run: `open_run("runs/climate_forecast")["forecast"].open()` is the forecast, lazily.

    Args:
        path: The folder of the run, `runs/NAME`.

    Raises:
        InputError: It is no run.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not there; give the folder of a run, as in runs/climate_forecast")
    if not (folder / NAME).exists():
        raise InputError(f"{folder} has no {NAME}, which every run writes; give the folder of a run, runs/NAME")
    return Run(folder)


class Run(Mapping[str, "Result"]):
    """The stages of the last time that a run was run, by name: `run["forecast"]` is a `Result`, `list(run)` has all
    names. Notebooks show it as a table.

    Args:
        folder: Its folder.
    """

    def __init__(self, folder: Path):
        self.folder, self.name = folder, folder.name

    @cached_property
    def events(self) -> pd.DataFrame:
        """The event log of that time: a row an event, in order."""
        return pd.DataFrame(self.log)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """The same as it is stored (`workflows.events`), from the last beginning on."""
        return last_run(self.folder / NAME)

    @cached_property
    def _results(self) -> dict[str, Result]:
        began = next(event for event in self.log if event["event"] == "began")
        return {one["name"]: Result(one["name"], one["kind"], self.folder / one["folder"]) for one in began["stages"]}

    @property
    def report(self) -> Path | None:
        """The page that tells of it, where it was written: when a run ended."""
        path = self.folder / REPORT
        return path if path.exists() else None

    def __getitem__(self, name: str) -> Result:
        if name not in self._results:
            raise KeyError(f"no stage {name!r}; the stages of {self.name} are {', '.join(self._results)}")
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def table(self) -> pd.DataFrame:
        """A row a stage: kind, whether it is finished, seconds, and the most memory of a process (bytes)."""
        rows = {name: {"kind": one.kind, "finished": one.finished} | one.taken for name, one in self.items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def __repr__(self) -> str:
        return f"{self.name} ({self.folder})\n{self.table().to_string(na_rep='')}"

    def _repr_html_(self) -> str:
        return f"<b>{escape(self.name)}</b> {escape(str(self.folder))}{self.table().to_html(na_rep='', border=0)}"


@dataclass(frozen=True)
class Result:
    """What one stage made.

    Attributes:
        name: Of the stage.
        kind: Of the stage, `infer`.
        folder: Its folder.
    """

    name: str
    kind: str
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether the stage came to its end."""
        return (self.folder / SUCCESS).exists()

    @property
    def manifest(self) -> dict[str, Any]:
        """Settings, inputs, versions, what it took; empty of a stage that is not finished."""
        path = self.folder / "manifest.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def taken(self) -> dict[str, Any]:
        """Its `seconds`, and the `peak` of memory of a process in bytes; `None` where that is not known."""
        return {name: self.manifest.get(name) for name in ("seconds", "peak")}

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the volumes in its store; none where the store is one volume."""
        return tuple(arrays.groups(self._store()))

    def open(self, series: str | None = None) -> xr.Dataset:
        """A volume that it made, lazily: `data` (time, channel, depth, height, width) with its coordinates.

        Args:
            series: Which one, where there are several.

        Raises:
            InputError: It made none, or several and none or another one was named.
        """
        path, known = self._store(), self.series
        if known and series is None and len(known) == 1:
            series = known[0]
        if (series is None) == bool(known) or (known and series not in known):
            there = ", ".join(known) if known else "one volume without a name"
            raise InputError(f"series {series!r} of stage {self.name}: there are {there}; name one of these")
        return store.open_volume(path, series, chunked=True)

    @property
    def scores(self) -> dict[str, Any]:
        """The scores of an `evaluate`, `rollout` or `gather` stage, as its JSON file has them.

        Raises:
            InputError: It has none.
        """
        found = next((path for name in ("scores.json", "summary.json") if (path := self.folder / name).exists()), None)
        if found is None:
            raise InputError(f"stage {self.name} of kind {self.kind} has no scores; an evaluate stage has")
        return json.loads(found.read_text())

    def _store(self) -> Path:
        found = next((path for name in STORES if (path := self.folder / name).exists()), None)
        if found is None:
            raise InputError(f"stage {self.name} of kind {self.kind} has no volumes in {self.folder}")
        return found
