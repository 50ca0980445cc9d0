"""A trial of what stores rest on: every compressor writes a small volume, which is read back."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.storage import codecs, store
from pipeline.storage.arrays import FAST, open_array
from pipeline.storage.blocks import of_frames
from pipeline.volume import AXES, DATA

SHAPE = (4, 1, 2, 8, 8)


def round_trips() -> dict[str, str]:
    """Of each compressor by name what is wrong with what it gives back; empty where nothing is."""
    return {name: _wrong(name) for name in codecs.NAMES}


def zarrs_reads() -> str | None:
    """What is wrong with what zarrs reads, empty where nothing is; `None` where it is not installed."""
    return _wrong(codecs.DEFAULT, fast=True) if FAST else None


def _wrong(name: str, *, fast: bool = False) -> str:
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    volume = xr.Dataset({DATA: (AXES, values)})
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of codecs that Zarr's third format does not name
            path = Path(folder) / "trial.zarr"
            store.create_volumes({None: volume}, path, {None: of_frames(SHAPE, 2)}, compressor=name)
            for start in range(0, len(values), 2):
                store.write_frames(path, start, values[start : start + 2])
            found = np.asarray(open_array(path, DATA, fast=fast)[...])
    except Exception as error:  # each library has errors of its own
        return f"{type(error).__name__}: {error}"
    return "" if np.array_equal(found, values) else "what comes back is not what was written"
