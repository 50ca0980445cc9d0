"""Archives ten times larger than the memory pass through what makes data; training reads no chunk twice."""

import shutil
import subprocess
import sys
from collections import Counter

import netCDF4
import numpy as np
import pytest
from zarr.storage import LocalStore

from pipeline.dataset import Windows
from pipeline.splits import Span
from pipeline.storage import arrays, store
from pipeline.storage.blocks import Blocks
from pipeline.storage.fill import fill
from pipeline.storage.means import Means
from pipeline.volume import DATA
from tests.storage.test_store import volume

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


FRAMES, SHAPE = 5000, (512, 512)
RECIPE = """
name: large
stages:
  raw:
    stage: ingest
    source: a.nc
  prepared:
    stage: preprocess
    inputs: {s: raw}
    splits:
      train: {series: s, first: 2000, last: 2009}
      validation: {series: s, first: 2010, last: 2011}
      test: {series: s, first: 2012, last: 2013}
"""


@pytest.fixture
def roomy(tmp_path):
    """A place that is left empty: pytest would keep it."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def frame(number):
    """Of the archive: its numbers, before they are unpacked."""
    return np.random.default_rng(0).integers(-99, 99, (50, *SHAPE))[number % 50] + number // 50 * 50


def archive(path, packed):
    """5.2 GB of frames in a NetCDF file, two bytes a number if `packed`."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size, units in (
            ("time", FRAMES, "days since 2000-01-01"),
            ("lat", SHAPE[0], "degrees_north"),
            ("lon", SHAPE[1], "degrees_east"),
        ):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis.units, axis[:] = units, np.arange(size) * 0.1 if name != "time" else np.arange(size)
        how = {"zlib": True, "complevel": 1, "chunksizes": (25, *SHAPE)} if packed else {}
        variable = file.createVariable("t", "i2" if packed else "f4", ("time", "lat", "lon"), **how)
        variable.set_auto_maskandscale(False)
        if packed:
            variable.setncatts({"scale_factor": np.float32(0.01), "add_offset": np.float32(250)})
        block = np.random.default_rng(0).integers(-99, 99, (50, *SHAPE)).astype(variable.dtype)
        for first in range(0, FRAMES, 50):
            variable[first : first + 50] = block + first
    return path


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_ten_times_larger_than_the_memory(packed, roomy):
    assert FRAMES * SHAPE[0] * SHAPE[1] * 4 > 10 * 512e6
    assert peak_bytes("ingest", archive(roomy / "a.nc", packed), roomy / "v.zarr", "--memory", "512MB") < 512e6
    (roomy / "a.nc").unlink()
    for name, source, cut in (("s", "v", "time=1000,height=32,width=32"), ("f", "s", "time=4")):
        told = ("rechunk", roomy / f"{source}.zarr", roomy / f"{name}.zarr", "--chunk", cut, "--memory", "512MB")
        assert peak_bytes(*told) < 512e6
        for number in (0, 999, 1000, 4321):
            found = store.open_volume(roomy / f"{name}.zarr", chunked=True)[DATA][number, 0, 0].values
            expected = frame(number) * (0.01 if packed else 1) + (250 if packed else 0)
            np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "changes",
    [
        ("prepared.normalise.scale=voxel",),
        ("prepared.missing=mask",),
        ("prepared.reshape.resample.every=7", "prepared.reshape.resample.how=mean"),
    ],
)
def test_it_is_prepared_too(changes, roomy, monkeypatch):
    monkeypatch.chdir(roomy)
    archive(roomy / "a.nc", packed=True)
    (roomy / "large.yaml").write_text(RECIPE)
    given = [word for change in changes for word in ("--set", change)]
    assert peak_bytes("run", "large.yaml", "--memory", "512MB", *given) < 512e6
    (prepared,) = roomy.glob("runs/large/prepared-*/prepared.zarr")
    assert not np.isnan(store.read_frames(prepared, "s", 0, 4)).any()


@pytest.mark.parametrize("sharded", [False, True])
def test_a_window_takes_no_chunk_twice(sharded, tmp_path, monkeypatch):
    like = volume(40)
    shape = like[DATA].shape
    blocks = Blocks((4, *shape[1:]), ((8 if sharded else 4), *shape[1:]))
    store.create_volumes({"a": like}, tmp_path / "v.zarr", {"a": blocks})
    list(fill(like, tmp_path / "v.zarr" / "a", Means()))
    monkeypatch.setattr(arrays, "FAST", False)  # zarrs reads by itself, and is not seen
    reads, original = [], LocalStore.get

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in key:
            reads.append((key, str(byte_range)))
        return await original(self, key, prototype, byte_range)

    monkeypatch.setattr(LocalStore, "get", get)
    windows = Windows(tmp_path / "v.zarr", (Span("a", 0, 40),), 21)
    frames = windows.read(("a", 5), 0, 21).frames
    np.testing.assert_array_equal(frames.numpy(), like[DATA].values[5:26])
    assert max(Counter(reads).values()) == 1
    files = {key for key, _ in reads}
    assert len(files) == (4 if sharded else 6)  # frames 4 to 27
