"""Which stores are shown: those that are named, or those in the folder of a stage or a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.arrays import groups, is_store
from pipeline.volume import AXES, DATA, InputError
from workflows.journal import NAME as LOG
from workflows.journal import last_run

RAW, PREPARED, PREDICTION = "raw.zarr", "prepared.zarr", "prediction.zarr"


@dataclass(frozen=True)
class Chosen:
    """A volume to be shown.

    Attributes:
        store: The Zarr store.
        series: The group in it; empty where the store is the volume.
        label: What it is called on the page; no two are alike.
    """

    store: Path
    series: str
    label: str

    @property
    def path(self) -> Path:
        return self.store / self.series


def choose(paths: Sequence[Path], series: str = "") -> list[Chosen]:
    """The volumes to be shown, in the order in which they are named.

    A folder of a stage is its store. A folder of a run is its forecast, and before it the prepared series that it is
    of; without a forecast the prepared series, without these the raw one. Where settings were changed in between, all
    of them as the run was run last.

    Args:
        series: Which one, of stores that hold several.

    Raises:
        InputError: There is no store, or several where one is meant; it holds no volume, not the series, or several
            and none is named.
    """
    stores = [(store, asked) for path in paths for store, asked in _stores(path, series)]
    known = {store: _series_in(store) for store, _ in stores}
    if series and not any(series in names for names in known.values()):
        raise InputError(f"no series {series!r}: {'; '.join(_told(store, names) for store, names in known.items())}")
    found = [(store, _one_of(store, known[store], asked)) for store, asked in stores]
    return [Chosen(*one, label) for one, label in zip(found, _labels(found), strict=True)]


def _stores(path: Path, series: str) -> list[tuple[Path, str]]:
    """The stores that a path means, and which series is meant of each; empty for the only one."""
    if not path.exists():
        raise InputError(f"no file or folder {path.resolve()}; give a Zarr store of Chronovox, or the folder of a run")
    if is_store(path):
        return [(path, series)]
    own = [path / name for name in (RAW, PREPARED, PREDICTION) if is_store(path / name)]
    if own:
        return [(own[0], series)]
    predictions, prepared, raw = (_of_last(path, name) for name in (PREDICTION, PREPARED, RAW))
    if predictions:
        prediction = _only(predictions, path)
        truth, of = _made_of(prediction)
        return [*([(truth, series or of)] if truth else []), (prediction, series or of)]
    if not prepared and not raw:
        raise InputError(
            f"{path} is no Zarr store, and neither it nor a folder in it has a {RAW}, {PREPARED} or {PREDICTION}; "
            "`chronovox ingest` makes a store of an archive"
        )
    return [(_only(prepared or raw, path), series)]


def _of_last(run: Path, name: str) -> list[Path]:
    """The stores of this name in the folders of a run; of several, those of its last execution, where its log tells."""
    found, log = sorted(run.glob(f"*/{name}")), run / LOG
    if len(found) < 2 or not log.exists():
        return found
    stages = next((event["stages"] for event in last_run(log) if event["event"] == "began"), [])
    folders = {stage["folder"] for stage in stages}
    return [store for store in found if store.parent.name in folders] or found


def _only(found: list[Path], path: Path) -> Path:
    if len(found) > 1:
        raise InputError(f"{path} has {len(found)} stores {found[0].name}; give one of {', '.join(map(str, found))}")
    return found[0]


def _made_of(prediction: Path) -> tuple[Path | None, str]:
    """The prepared store that a forecast was made of, and the series where it is of one; as its stage's manifest
    tells, which is not there before the stage is finished."""
    try:
        manifest = json.loads((prediction.parent / "manifest.json").read_text())
        prepared = prediction.parent.parent / manifest["inputs"]["prepared"] / PREPARED
        of = manifest["settings"]["series"]
    except (OSError, ValueError, KeyError):
        return None, ""
    return prepared if is_store(prepared) else None, of if isinstance(of, str) else ""


def _series_in(store: Path) -> list[str]:
    """The series of a store; one of the name "" where it is a volume itself."""
    names = [""] if is_store(store / DATA) else [name for name in _groups(store) if is_store(store / name / DATA)]
    volumes = [name for name in names if _holds_volume(store / name)]
    if not volumes:
        raise InputError(
            f"{store} holds no array {DATA!r} with the axes {', '.join(AXES)}; give a store that ingest, preprocess, "
            "infer or scan wrote"
        )
    return volumes


def _groups(store: Path) -> list[str]:
    try:
        return groups(store)
    except (OSError, ValueError) as error:
        raise InputError(f"{store} cannot be read as a Zarr store: {error}") from error


def _holds_volume(path: Path) -> bool:
    try:
        described = json.loads((path / DATA / "zarr.json").read_text())
    except ValueError:
        return False
    named = tuple(described.get("dimension_names") or ())
    return described.get("node_type") == "array" and named == AXES and 0 not in described["shape"]


def _one_of(store: Path, known: list[str], asked: str) -> str:
    if asked in known or len(known) == 1:
        return asked if asked in known else known[0]
    what = f"there is no series {asked!r}" if asked else "no series is named"
    raise InputError(f"{store}: {what}; name one of {', '.join(known)} (--series)")


def _told(store: Path, names: list[str]) -> str:
    return f"{store} has {', '.join(names)}" if names != [""] else f"{store} is one volume, without a name"


def _labels(found: list[tuple[Path, str]]) -> list[str]:
    """The shortest of name, folder and name, and the whole path that tells all apart; where the
    same is shown twice they are numbered."""
    for parts in (1, 2, None):
        named = [
            " · ".join(filter(None, (str(Path(*store.resolve().parts[-parts if parts else 0 :]).with_suffix("")), own)))
            for store, own in found
        ]
        if len(set(named)) == len(named):
            return named
    return [f"{store.stem} {number}" for number, (store, _) in enumerate(found, start=1)]
