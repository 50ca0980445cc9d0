"""Whole volumes as stores, for tests."""

from pathlib import Path

import xarray as xr

from pipeline.storage import store
from pipeline.storage.blocks import of_frames
from pipeline.storage.fill import fill
from pipeline.storage.means import Means
from pipeline.volume import DATA


def write_volume(volumes: dict[str | None, xr.Dataset], path: Path, chunk: dict[str | None, int]) -> None:
    """Writes volumes into one store, a group each; `None` is the store itself. Chunks hold so many frames."""
    blocks = {group: of_frames(volume[DATA].shape, chunk[group]) for group, volume in volumes.items()}
    store.create_volumes(volumes, path, blocks)
    for group, volume in volumes.items():
        list(fill(volume, path / (group or ""), Means()))
