"""Lazy volumes into stores: the same files whatever the threads, memory and kills; bounded reading; one process."""

import itertools

import dask.array
import numpy as np
import pytest
import xarray as xr
from filelock import FileLock

from pipeline.storage import fill as filling
from pipeline.storage import manifest, means, store
from pipeline.storage.fill import plan_parts
from pipeline.storage.make import Storage, make
from pipeline.storage.means import Means
from pipeline.storage.origin import origin_of
from pipeline.stream import StoreError
from pipeline.volume import AXES, DATA, InputError

SHAPE = (23, 3, 2, 6, 5)
VALUES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
CUTS = {
    "files": Storage({"time": 4}, {"time": 4}),
    "shards": Storage({"time": 2}, {"time": 8}),
    "in space": Storage({"time": 3, "channel": 2, "height": 4}, {"time": 6}),
    "along time": Storage({"time": 23, "channel": 1, "height": 2, "width": 2}, {}),
}


def lazy(chunks=(5, 3, 2, 6, 5), values=VALUES, read=lambda block: block):
    data = dask.array.from_array(values, chunks=chunks, name=False).map_blocks(read, dtype=values.dtype)
    return xr.Dataset({DATA: (AXES, data)}, {"time": ("time", np.arange(len(values)), {}), "channel": ["a", "b", "c"]})


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def made(tmp_path, volume, storage, means=Means(), name="v.zarr"):  # noqa: B008  it is frozen
    list(make({None: volume}, tmp_path / name, storage, means, {"made_by": "test"}))
    return tmp_path / name


@pytest.fixture
def little(monkeypatch):
    """Memory by the chunk instead of by the megabyte."""

    def give(bytes_of_a_part, threads):
        monkeypatch.setattr(means, "held_bytes", lambda: 0.0)
        monkeypatch.setattr(filling, "held_bytes", lambda: 0.0)
        return Means(4.0 * (threads + 1) * bytes_of_a_part, threads)

    return give


@pytest.mark.parametrize("cut", CUTS)
def test_files_depend_on_neither_memory_nor_threads_nor_the_cut_of_the_source(cut, tmp_path, little):
    whole = files(made(tmp_path, lazy(), CUTS[cut]))
    np.testing.assert_array_equal(store.open_volume(tmp_path / "v.zarr")[DATA].values, VALUES)
    for number, (chunks, threads) in enumerate(itertools.product([(1, 3, 2, 6, 5), (23, 1, 1, 6, 5)], [1, 3])):
        tight = little(4 * int(max(np.prod(CUTS[cut].blocks(lazy()).chunk), np.prod(chunks))), threads)
        assert files(made(tmp_path, lazy(chunks), CUTS[cut], tight, f"{number}.zarr")) == whole


@pytest.mark.parametrize("cut", CUTS)
def test_parts_hold_what_the_memory_allows_and_are_whole_chunks(cut, little):
    volume, storage = lazy((1, 1, 1, 1, 1)), CUTS[cut]
    blocks = storage.blocks(volume)
    for share in (1, 2, 3, 100):
        room = share * int(np.prod(blocks.chunk)) * 4
        plan = plan_parts(blocks, volume[DATA].data, little(room, 2))
        assert np.prod(plan.extent) * 4 <= room
        assert plan.held == 3
        assert all(e % c == 0 or e == n for e, c, n in zip(plan.extent, blocks.chunk, SHAPE, strict=True))


def test_long_runs_of_the_source_are_read_whole_a_few_at_a_time(little):
    blocks, whole = CUTS["shards"].blocks(lazy()), int(np.prod(SHAPE)) * 4
    volume = lazy((23, 3, 2, 6, 5))
    assert plan_parts(blocks, volume[DATA].data, little(whole // 2, 2)) == filling.Plan((8, *SHAPE[1:]), 1)
    with pytest.raises(InputError, match=r"from pieces of 0\.0 MB takes .*; allow more with --memory"):
        plan_parts(blocks, volume[DATA].data, little(whole // 4, 2))


def test_every_part_of_the_source_is_read_once(tmp_path):
    reads = []
    made(tmp_path, lazy((4, 3, 2, 6, 5), read=lambda block: reads.append(block.shape) or block), CUTS["shards"])
    assert sorted(shape for shape in reads if 0 not in shape) == [(3, *SHAPE[1:])] + [(4, *SHAPE[1:])] * 5


def test_a_kill_leaves_nothing_at_the_destination_and_the_same_call_continues(tmp_path):
    expected = files(made(tmp_path, lazy(), CUTS["shards"], name="whole.zarr"))
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    steps = make(
        {None: lazy((4, 3, 2, 6, 5), read=read)}, tmp_path / "v.zarr", CUTS["shards"], Means(), {"made_by": "test"}
    )
    while not manifest.has(tmp_path / "v.zarr.part" / "data.zarr" / DATA, "shard-0-0-0-0-0"):
        next(steps)
    steps.close()  # what a signal does
    assert not (tmp_path / "v.zarr").exists()
    reads.clear()
    volume = lazy((4, 3, 2, 6, 5), read=read)
    made(tmp_path, volume, CUTS["shards"])
    assert sum(reads) == 23 - 8
    assert files(tmp_path / "v.zarr") == expected
    assert {path.name for path in tmp_path.iterdir()} == {"v.zarr", "whole.zarr"}


def failing(error):
    """A way of reading that fails at a block."""

    def read(block):
        if block.size and block[0, 0, 0, 0, 0] == VALUES[15, 0, 0, 0, 0]:
            raise error
        return block

    return read


def test_a_source_that_is_bad_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="frame 15 is torn"):
        made(tmp_path, lazy(read=failing(InputError("frame 15 is torn"))), CUTS["shards"])
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_does_not_answer_can_be_continued(tmp_path):
    with pytest.raises(StoreError, match="reading failed: the disk is gone; .*the same command continues"):
        made(tmp_path, lazy(read=failing(OSError("the disk is gone"))), CUTS["shards"])
    made(tmp_path, lazy(), CUTS["shards"])
    np.testing.assert_array_equal(store.open_volume(tmp_path / "v.zarr")[DATA].values, VALUES)


def test_two_processes_do_not_make_the_same_store(tmp_path):
    (tmp_path / "v.zarr.part").mkdir()
    with FileLock(tmp_path / "v.zarr.part" / ".lock"), pytest.raises(InputError, match="another process makes"):
        made(tmp_path, lazy(), CUTS["shards"])
    made(tmp_path, lazy(), CUTS["shards"])  # the lock of a dead process counts for nothing


def test_something_else_that_was_begun_is_not_continued(tmp_path):
    steps = make({None: lazy()}, tmp_path / "v.zarr", CUTS["shards"], Means(), {"made_by": "test"})
    next(steps)
    steps.close()
    before = files(tmp_path)
    with pytest.raises(InputError, match=r"v\.zarr\.part is the unfinished result of something else \(another origin"):
        made(tmp_path, lazy(), CUTS["files"])
    assert files(tmp_path) == before


def test_what_is_there_is_not_replaced(tmp_path):
    made(tmp_path, lazy(), CUTS["shards"])
    with pytest.raises(InputError, match="is there already; remove it"):
        made(tmp_path, lazy(), CUTS["shards"])


def test_a_memory_that_holds_no_chunk_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"takes \d\.\d\d GB, and may take .*; allow more with --memory"):
        made(tmp_path, lazy(), CUTS["shards"], Means(1e8, 2))
    assert list(tmp_path.iterdir()) == []


def test_what_it_was_made_of_is_kept(tmp_path):
    origin = origin_of(made(tmp_path, lazy(), CUTS["shards"]))
    assert origin["made_by"] == "test"
    assert Storage(**origin["storage"]) == CUTS["shards"]
