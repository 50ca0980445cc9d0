"""One scan of a store in a fresh process: seconds and the peak of resident memory; ours, or what people do today.

A tiny store is scanned first: what either side imports and loads when it is first used is not timed.

python -m tests.benchmarks.filter_once ours TINY.zarr IN.zarr OUT.zarr [shard] [threads]
python -m tests.benchmarks.filter_once dask TINY.zarr IN.zarr OUT.zarr
"""

import sys
import time
from pathlib import Path

import dask
import dask.array
import numpy as np
import torch
import zarr

from cluster import LocalExecutor
from pipeline.filter import FilterJob, FilterSettings
from ssm_ops import Grid, Propagator
from tests.benchmarks.peak_memory import peak
from workflows.commands.filtering import run_filter

BOUNDARY = ("periodic", "periodic", "periodic")


class Silent:
    """Shows nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def ours(source: Path, output: Path, shard: str = "", threads: str = "2") -> None:
    """By default in shards as long as the command `scan` makes them."""
    settings = FilterSettings(0.1, 0.2, boundary=BOUNDARY)
    job = FilterJob(settings, source, output, threads=int(threads), shard=int(shard) if shard else None)
    run_filter(job, LocalExecutor(1), Silent())


def with_dask(source: Path, output: Path) -> None:
    """Whole time series of single channels, each scanned by transforming everything and looping over time."""
    torch.set_num_threads(1)  # dask has the threads
    grid = dask.array.from_zarr(source, component="data").shape[3:]
    a = Propagator(0.1, 0.2).change(Grid(grid, BOUNDARY[1:])).to(torch.complex64)[0] + 1

    def spectral_loop(block: np.ndarray) -> np.ndarray:
        if 0 in block.shape:
            return block  # dask tries an empty one
        offsets = torch.fft.rfftn(torch.from_numpy(np.nan_to_num(block)), dim=(3, 4)).unbind(0)
        state, states = torch.zeros_like(offsets[0]), []
        for offset in offsets:
            state = torch.addcmul(offset, a, state)
            states.append(state)
        return torch.fft.irfftn(torch.stack(states), s=grid, dim=(3, 4)).numpy()

    frames = dask.array.from_zarr(source, component="data")
    series = frames.rechunk({0: -1, 1: 1})
    states = series.map_blocks(spectral_loop, dtype=np.float32, meta=np.empty((0,) * 5, np.float32))
    with dask.config.set(scheduler="threads", num_workers=2):
        dask.array.to_zarr(states.rechunk(frames.chunks), like(source, output))


def like(source: Path, output: Path) -> zarr.Array:
    """An empty array of the same shape, chunks and compressors."""
    found = zarr.open_array(source, path="data", mode="r")
    return zarr.create_array(
        output, name="data", shape=found.shape, chunks=found.chunks, dtype=found.dtype, compressors=found.compressors
    )


def main() -> None:
    who, tiny, source, output, *rest = sys.argv[1:]
    scan = ours if who == "ours" else with_dask
    scan(Path(tiny), Path(output).with_suffix(".tiny"), *rest)
    begun = time.perf_counter()
    scan(Path(source), Path(output), *rest)
    print(time.perf_counter() - begun, peak())


if __name__ == "__main__":
    main()
