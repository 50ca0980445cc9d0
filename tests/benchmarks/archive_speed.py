"""How fast archives come in and are prepared, against the best plain reader and writer; equality first.

Run by `make bench`. Prints a line a comparison and writes results/archive.json and the table of docs/archives.md. Each
plain reader and writer is the fastest of those that are tried, alone, in the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
import zarr

from pipeline.archive import Ask
from pipeline.ingest import bring_in
from pipeline.preprocess import Normalise, PreprocessSettings, preprocess
from pipeline.splits import Period, Splits
from pipeline.storage import arrays, store
from pipeline.storage.blocks import choose
from pipeline.storage.codecs import DEFAULT, named
from pipeline.volume import DATA
from tests.benchmarks.cluster_speed import touch
from tests.benchmarks.scan_speed import publish, row

HERE = Path(__file__).parent
ROUNDS = 3
SHAPE = (2048, 256, 512)
LIMIT = 1 / 0.6
BLOCK = 64
"""Frames that a plain reader or writer handles at a time."""


def fields(first: int, frames: int) -> np.ndarray:
    """Smooth fields and noise, (time, latitude, longitude)."""
    noise = np.random.default_rng([0, first]).standard_normal((frames, *SHAPE[1:]), np.float32)
    wave = np.sin(np.arange(SHAPE[1]) / 17)[:, None] * np.cos(np.arange(SHAPE[2]) / 31)
    return (250 + 30 * wave + np.sin(np.arange(first, first + frames) / 50)[:, None, None] + 0.5 * noise).astype("f4")


def write_netcdf(path: Path, packed: bool) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(("time", "latitude", "longitude"), SHAPE, strict=True):
            file.createDimension(name, size)
            units = {"time": "days since 2000-01-01", "latitude": "degrees_north", "longitude": "degrees_east"}[name]
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = np.arange(size) * {"time": 1, "latitude": 0.5, "longitude": 0.5}[name]
        how = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": (1, *SHAPE[1:])} if packed else {}
        variable = file.createVariable("t", "i2" if packed else "f4", ("time", "latitude", "longitude"), **how)
        if packed:
            variable.setncatts({"scale_factor": np.float32(0.01), "add_offset": np.float32(250)})
        for first in range(0, SHAPE[0], BLOCK):
            variable[first : first + BLOCK] = fields(first, BLOCK)


def with_netcdf4(path: Path, place: Path) -> None:
    """Numbers as they are stored, unpacked by hand: the fastest plain way."""
    del place
    with netCDF4.Dataset(path) as file:
        variable = file["t"]
        variable.set_auto_maskandscale(False)
        packed = "scale_factor" in variable.ncattrs()
        for first in range(0, SHAPE[0], BLOCK):
            values = variable[first : first + BLOCK]
            if packed:
                values = values * variable.scale_factor + variable.add_offset


def with_xarray(path: Path, place: Path) -> None:
    del place
    with xr.open_dataset(path, decode_times=False) as dataset:
        for first in range(0, SHAPE[0], BLOCK):
            _ = dataset["t"][first : first + BLOCK].values


def reading(path: Path, fast: bool) -> Callable[[Path], None]:
    """A store read block by block."""

    def read(place: Path) -> None:
        del place
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline" if fast else arrays.DEFAULT_PIPELINE}):
            array = zarr.open_array(path, path=DATA, mode="r")
            for first in range(0, SHAPE[0], BLOCK):
                _ = array[first : first + BLOCK]

    return read


def writing(frames: list[np.ndarray], sharded: bool, fast: bool) -> Callable[[Path], None]:
    """A new store written shard by shard from memory."""

    def write(place: Path) -> None:
        blocks = choose((SHAPE[0], 1, 1, *SHAPE[1:]), 4)
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline" if fast else arrays.DEFAULT_PIPELINE}):
            array = zarr.create_array(
                place / "plain.zarr",
                shape=(SHAPE[0], 1, 1, *SHAPE[1:]),
                chunks=blocks.chunk,
                shards=blocks.shard if sharded else None,
                dtype="f4",
                compressors=named(DEFAULT, 4),
            ).with_config({"write_empty_chunks": True})
            length = blocks.shard[0]
            for number, first in enumerate(range(0, SHAPE[0], length)):
                array[first : first + length] = frames[number][:, None, None]

    return write


def in_turn(calls: dict[str, Callable[[Path], None]], folder: Path) -> dict[str, float]:
    """Median milliseconds of each call, which writes to a place of its own, removed afterwards; all take turns, and
    what was written before is on the disk."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS + 1):
        for name, call in calls.items():
            place = Path(tempfile.mkdtemp(dir=folder))
            touch()
            start = time.perf_counter()
            call(place)
            if turn > 0:
                times[name].append(1e3 * (time.perf_counter() - start))
            shutil.rmtree(place)
    return {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}


def compare(case: str, folder: Path, ours: Callable[[Path], None], readers: dict, writers: dict) -> dict:
    """Ours against the fastest reader and the fastest writer."""
    found = in_turn({"ours": ours, **readers, **writers}, folder)
    reader, writer = (min(names, key=found.get) for names in (readers, writers))
    plain = found[reader] + found[writer]
    return row(case, f"ours / ({reader} + {writer})", found["ours"] / plain, LIMIT, found)


def ingesting(folder: Path, frames: list[np.ndarray], packed: bool) -> tuple[dict, Path]:
    source, kept = folder / "source.nc", folder / "raw.zarr"
    source.unlink(missing_ok=True)
    write_netcdf(source, packed)

    def ours(place: Path) -> None:
        list(bring_in([source], place / "raw.zarr", Ask(("t",))))

    list(bring_in([source], kept, Ask(("t",))))
    with xr.open_dataset(source, decode_times=False) as dataset:
        for first in (0, 1000, SHAPE[0] - 3):
            found = store.read_frames(kept, None, first, first + 3)[:, 0, 0]
            np.testing.assert_array_equal(found, dataset["t"][first : first + 3].values.astype("f4"))
    readers = {"netCDF4": partial(with_netcdf4, source), "xarray": partial(with_xarray, source)}
    case = f"ingest, {'packed, zlib' if packed else 'plain'} NetCDF-4, {4e-9 * np.prod(SHAPE):.2f} GB"
    return compare(case, folder, ours, readers, plain_writers(frames)), kept


def plain_writers(frames: list[np.ndarray]) -> dict[str, Callable[[Path], None]]:
    return {
        f"{'zarrs' if fast else 'zarr'}, {'shards' if sharded else 'chunks'}": writing(frames, sharded, fast)
        for fast in (False, True)
        for sharded in (False, True)
    }


def preparing(folder: Path, frames: list[np.ndarray], raw: Path) -> dict:
    split = {"train": (2000, 2002), "validation": (2003, 2003), "test": (2004, 2004)}
    settings = PreprocessSettings(
        Splits(**{name: Period("a", first, last) for name, (first, last) in split.items()}), Normalise("channel")
    )

    def ours(place: Path) -> None:
        list(preprocess(settings, {"a": raw.parent}, place))

    made = folder / "prepared"
    made.mkdir()
    ours(made)
    statistics, _ = arrays.read_arrays(made / "statistics.zarr")
    for first in (0, SHAPE[0] - 3):
        expected = (store.read_frames(raw, None, first, first + 3) - statistics["mean"]) / statistics["scale"]
        found = store.read_frames(made / "prepared.zarr", "a", first, first + 3)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    readers = {"zarr": reading(raw, False), "zarrs": reading(raw, True)}
    return compare("preprocess, of that store", folder, ours, readers, plain_writers(frames))


def main() -> None:
    length = choose((SHAPE[0], 1, 1, *SHAPE[1:]), 4).shard[0]
    frames = [fields(first, min(length, SHAPE[0] - first)) for first in range(0, SHAPE[0], length)]
    rows = []
    for packed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            found, raw = ingesting(Path(folder), frames, packed)
            rows.append(found)
            if not packed:
                rows.append(preparing(Path(folder), frames, raw))
    publish(rows, "archive.json", Path("docs/archives.md"), ROUNDS)


if __name__ == "__main__":
    main()
