"""Small stores to export, and what they hold."""

from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.export import Wish, export
from pipeline.volume import AXES, DATA
from tests.written import write_volume


def volume(shape=(6, 1, 2, 5, 4), dtype=np.int16, channels=None, seconds=2.0, seed=0, **attributes):
    """Noise with times in seconds and places in millimetres; `seconds=None`: numbered frames."""
    data = (np.random.default_rng(seed).standard_normal(shape) * 50 + 60).astype(dtype)
    names = channels or [f"channel {number}" for number in range(shape[1])]
    times = np.arange(shape[0]) if seconds is None else np.arange(shape[0]) * seconds
    coordinates = {
        "time": ("time", times, {} if seconds is None else {"units": "s"}),
        "channel": np.array(names, object),
        "z": ("depth", 10 + 3.0 * np.arange(shape[2]), {"units": "mm"}),
        "y": ("height", -2.0 * np.arange(shape[3]), {"units": "mm"}),
        "x": ("width", 0.5 * np.arange(shape[4]), {"units": "mm"}),
    }
    return xr.Dataset({DATA: (AXES, data)}, coordinates, attributes)


def written(path: Path, chunk: int = 4, **volumes: xr.Dataset) -> Path:
    """A store with a group for each volume; one of the name `alone` is the store itself."""
    named = {None if name == "alone" else name: one for name, one in volumes.items()}
    write_volume(named, path, dict.fromkeys(named, chunk))
    return path


def exported(source: Path, destination: Path, **wish) -> list[str]:
    """What `export` tells."""
    return export(source, destination, Wish(**wish))
