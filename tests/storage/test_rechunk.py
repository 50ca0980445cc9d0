"""A store cut anew: each chunk of the source is read once, whichever way it runs, and a kill loses nothing."""

import math
import shutil
from collections import Counter

import numpy as np
import pytest
import xarray as xr

from pipeline.storage import chunk_files, means, rechunk, store
from pipeline.storage.fill import fill
from pipeline.storage.make import Storage
from pipeline.storage.means import Means
from pipeline.volume import AXES, DATA, InputError

SHAPE = (60, 2, 1, 8, 9)
VALUES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
FRAMES, SERIES = Storage({"time": 2}, {"time": 8}), Storage({"time": 20, "height": 2, "width": 2}, {"time": 20})
ROOM = 20 * 2 * 2 * 2 * 2 * 4  # two chunks of series


def made(path, storage):
    volume = xr.Dataset({DATA: (AXES, VALUES)})
    store.create_volumes({None: volume}, path, {None: storage.blocks(volume)})
    list(fill(volume, path, Means()))
    return path


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(means, "held_bytes", lambda: 0.0)
    return Means(4.0 * 3 * ROOM, 2)


@pytest.mark.parametrize("storage", [FRAMES, SERIES, Storage({"channel": 1, "height": 3, "width": 4}, {"time": 60})])
@pytest.mark.parametrize("chunked", [True, (7, 2, 1, 5, 4)])
def test_any_part_of_a_store_however_it_is_cut(storage, chunked, tmp_path):
    path = made(tmp_path / "v.zarr", storage)
    data = store.open_volume(path, chunked=chunked)[DATA]
    assert chunked is True or data.data.chunksize == chunked
    np.testing.assert_array_equal(data.values, VALUES)
    for key in (
        (slice(3, 50), slice(None), 0, slice(2, 7), slice(8, 9)),
        (slice(None, None, 7), 1, slice(None), [6, 0, 3], slice(None, None, -2)),
        (slice(5, 5), slice(None), slice(None), 4, slice(1, 8, 3)),
    ):
        np.testing.assert_array_equal(data[key].values, xr.DataArray(VALUES, dims=AXES)[key].values)


@pytest.mark.parametrize(("before", "after"), [(FRAMES, SERIES), (SERIES, FRAMES)])
def test_what_runs_the_other_way_is_read_twice_and_not_once_for_every_chunk(
    before, after, tmp_path, monkeypatch, little
):
    source, reads, original = made(tmp_path / "v.zarr", before), Counter(), chunk_files._File.chunk

    def chunk(self, place):
        reads[self._file_path, place] += 1
        return original(self, place)

    opened = chunk_files._File.__init__

    def init(self, path, grid):
        self._file_path = path
        opened(self, path, grid)

    monkeypatch.setattr(chunk_files._File, "chunk", chunk)
    monkeypatch.setattr(chunk_files._File, "__init__", init)
    steps = list(rechunk.rechunk(source, tmp_path / "r.zarr", after, little))
    assert steps
    assert {path.name for path in tmp_path.iterdir()} == {"v.zarr", "r.zarr"}
    np.testing.assert_array_equal(store.open_volume(tmp_path / "r.zarr")[DATA].values, VALUES)
    assert max(count for (path, _), count in reads.items() if "between" not in str(path)) == 1
    assert max(count for (path, _), count in reads.items() if "between" in str(path)) <= 2  # its edges are shared


def test_it_continues_with_what_is_in_between(tmp_path, little):
    source = made(tmp_path / "v.zarr", FRAMES)
    steps, folder = rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little), tmp_path / "r.zarr.between.part"
    while not any(path.suffix != ".part" for path in folder.glob("all-*")):
        next(steps)
    next(steps)
    steps.close()  # as a kill would
    assert folder.exists()
    shutil.rmtree(source / DATA / "c")  # nothing of the source is needed any more
    list(rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little))
    np.testing.assert_array_equal(store.open_volume(tmp_path / "r.zarr")[DATA].values, VALUES)
    assert {path.name for path in tmp_path.iterdir()} == {"v.zarr", "r.zarr"}


def test_what_is_in_between_is_of_one_process_and_one_source(tmp_path, little):
    source, other = made(tmp_path / "v.zarr", FRAMES), tmp_path / "w.zarr"
    shutil.copytree(source, other)
    steps = rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little)
    while not any(path.suffix != ".part" for path in (tmp_path / "r.zarr.between.part").glob("all-*")):
        next(steps)
    with pytest.raises(InputError, match="another process makes .*r.zarr.between at this moment"):
        list(rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little))
    steps.close()  # as a kill would
    with pytest.raises(InputError, match="the unfinished result of something else .another origin."):
        list(rechunk.rechunk(other, tmp_path / "r.zarr", SERIES, little))
    list(rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little))
    np.testing.assert_array_equal(store.open_volume(tmp_path / "r.zarr")[DATA].values, VALUES)
    with pytest.raises(InputError, match="r.zarr is there already"):
        next(rechunk.rechunk(source, tmp_path / "r.zarr", SERIES, little))
    assert {path.name for path in tmp_path.iterdir()} == {"v.zarr", "w.zarr", "r.zarr"}


def test_what_is_in_between_is_cut_as_what_is_read_shares_with_what_is_written(tmp_path, little):
    for before, after in ((FRAMES, SERIES), (SERIES, FRAMES)):
        path = made(tmp_path / f"{before.chunk['time']}.zarr", before)
        volume = store.open_volume(path, chunked=before.blocks(xr.Dataset({DATA: (AXES, VALUES)})).chunk)
        read, between = rechunk.in_between(volume, after.blocks(volume), little)
        assert math.prod(read) * 4 <= max(ROOM, math.prod(before.blocks(volume).chunk) * 4)
        cut = between.blocks(volume)
        assert all(r % c == 0 or r == s for r, c, s in zip(read, cut.chunk, SHAPE, strict=True))
    same = rechunk.in_between(volume, SERIES.blocks(volume), little)
    assert same[1] is None
