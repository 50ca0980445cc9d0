"""Archives ten times larger than the memory pass through it; a window for training reads each chunk once."""

import subprocess
import sys
from collections import Counter

import netCDF4
import numpy as np
import pytest
from zarr.storage import LocalStore

from pipeline import store
from pipeline.blocks import Blocks
from pipeline.dataset import Windows
from pipeline.fill import Means, fill
from pipeline.splits import Span
from pipeline.volume import DATA
from tests.pipeline.test_store import volume

MEASURED = """
import sys
from pathlib import Path
from workflows.cli import app
app(sys.argv[1:], standalone_mode=False)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print("peak", status["VmHWM"].split()[0])
"""


def peak_bytes(*arguments):
    """The most memory that a command takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=600
    )
    return int(done.stdout.split("peak ")[1]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_ten_times_larger_than_the_memory(packed, tmp_path):
    frames, shape = 5000, (512, 512)
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size, units in (
            ("time", frames, "days since 2000-01-01"),
            ("lat", shape[0], "degrees_north"),
            ("lon", shape[1], "degrees_east"),
        ):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis.units, axis[:] = units, np.arange(size) * 0.1 if name != "time" else np.arange(size)
        how = {"zlib": True, "complevel": 1, "chunksizes": (25, *shape)} if packed else {}
        variable = file.createVariable("t", "i2" if packed else "f4", ("time", "lat", "lon"), **how)
        variable.set_auto_maskandscale(False)
        if packed:
            variable.setncatts({"scale_factor": np.float32(0.01), "add_offset": np.float32(250)})
        block = np.random.default_rng(0).integers(-99, 99, (50, *shape)).astype(variable.dtype)
        for first in range(0, frames, 50):
            variable[first : first + 50] = block + first
    assert frames * shape[0] * shape[1] * 4 > 5e9
    assert peak_bytes("ingest", tmp_path / "a.nc", tmp_path / "v.zarr", "--memory", "512MB") < 512e6
    found = store.read_frames(tmp_path / "v.zarr", None, 4950, 5000)[:, 0, 0]
    np.testing.assert_allclose(found, (block + 4950) * (0.01 if packed else 1) + (250 if packed else 0), rtol=1e-6)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_window_takes_no_chunk_twice(sharded, tmp_path, monkeypatch):
    like = volume(40)
    shape = like[DATA].shape
    blocks = Blocks((4, *shape[1:]), ((8 if sharded else 4), *shape[1:]))
    store.create_volumes({"a": like}, tmp_path / "v.zarr", {"a": blocks})
    list(fill(like, tmp_path / "v.zarr" / "a", Means()))
    monkeypatch.setattr(store, "FAST", False)  # zarrs reads by itself, and is not seen
    reads, original = [], LocalStore.get

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in key:
            reads.append((key, str(byte_range)))
        return await original(self, key, prototype, byte_range)

    monkeypatch.setattr(LocalStore, "get", get)
    windows = Windows(tmp_path / "v.zarr", (Span("a", 0, 40),), 21)
    frames = windows.read(("a", 5), 0, 21)
    np.testing.assert_array_equal(frames.numpy(), like[DATA].values[5:26])
    assert max(Counter(reads).values()) == 1
    files = {key for key, _ in reads}
    assert len(files) == (4 if sharded else 6)  # frames 4 to 27
