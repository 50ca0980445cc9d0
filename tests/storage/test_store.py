"""The store: exact round trips, coordinates kept, whole chunks only, nothing half-made in sight."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from pipeline.storage import arrays, store
from pipeline.storage.blocks import of_frames
from pipeline.storage.rows import Rows, rows_in
from pipeline.volume import AXES, DATA
from tests.written import write_volume


def volume(frames=5):
    data = np.arange(frames * 12, dtype=np.float32).reshape(frames, 1, 1, 3, 4)
    times = xr.date_range("1860-06-01", periods=frames, freq="YS", calendar="360_day", use_cftime=True)
    result = xr.Dataset({DATA: (AXES, data, {"units": "K"})}, {"time": times, "latitude": ("height", [1.0, 2.0, 3.0])})
    result["time"].encoding = {"units": "hours since 1970-01-01", "calendar": "360_day"}
    return result


def test_volume_round_trip(tmp_path):
    write_volume({"a": volume(), "b": volume(3)}, tmp_path / "v.zarr", {"a": 2, "b": 3})
    back = store.open_volume(tmp_path / "v.zarr", "a")
    xr.testing.assert_identical(back.load().drop_attrs(), volume().drop_attrs())
    assert back[DATA].attrs["units"] == "K"
    assert back["time"].encoding["units"] == "hours since 1970-01-01"
    assert arrays.groups(tmp_path / "v.zarr") == ["a", "b"]
    np.testing.assert_array_equal(store.read_frames(tmp_path / "v.zarr", "a", 1, 4), volume()[DATA].values[1:4])


def test_frames_fill_whole_chunks(tmp_path):
    path = tmp_path / "v.zarr"
    store.create_volumes({None: volume()}, path, {None: of_frames(volume()[DATA].shape, 2)})
    store.write_frames(path, 2, volume()[DATA].values[2:4])
    store.write_frames(path, 4, volume()[DATA].values[4:])
    back = store.read_frames(path, None, 0, 5)
    assert np.isnan(back[:2]).all()
    np.testing.assert_array_equal(back[2:], volume()[DATA].values[2:])
    with pytest.raises(ValueError, match="frames 1..3 do not fill whole chunks of 2 frames"):
        store.write_frames(path, 1, volume()[DATA].values[1:3])


@pytest.mark.parametrize("codec", [None, BloscCodec(cname="lz4"), BloscCodec(cname="zstd"), ZstdCodec(), GzipCodec()])
@pytest.mark.parametrize("shards", [None, (4, 2, 1, 3, 4)])
def test_what_zarrs_reads_is_what_zarr_reads(codec, shards, tmp_path, monkeypatch):
    assert arrays.FAST
    frames = np.random.default_rng(0).standard_normal((9, 3, 1, 3, 4)).astype(np.float32)
    frames[2, 1] = np.nan
    shape, chunks = frames.shape, (2, 1, 1, 3, 4)
    array = zarr.create_array(
        tmp_path / "data", shape=shape, chunks=chunks, shards=shards, dtype="f4", compressors=codec
    )
    array[:7] = frames[:7]  # the rest is not there
    for span in ((0, 9), (1, 4), (3, 8)):
        for channels in (slice(None), slice(1, 2), slice(1, 3)):
            fast, plain = [], []
            for found, has in ((fast, True), (plain, False)):
                monkeypatch.setattr(arrays, "FAST", has)
                found.append(store.read_frames(tmp_path, None, *span, channels).tobytes())
            assert fast == plain == [array[slice(*span), channels].tobytes()]


def test_who_writes_never_has_zarrs(tmp_path):
    """It writes a chunk in its place; opened side by side with what is read, too."""
    store.create_volumes({None: volume()}, tmp_path / "v.zarr", {None: of_frames(volume()[DATA].shape, 2)})
    fast = zarr.open_array(tmp_path / "v.zarr", path=DATA)

    def pipelines(number):
        array = arrays.open_array(tmp_path / "v.zarr", DATA, fast=number % 2 == 0)
        return number % 2, type(array._async_array.codec_pipeline).__name__

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(pipelines, range(200)))
    assert found == {(0, "ZarrsCodecPipeline"), (1, "BatchedCodecPipeline")}
    assert type(fast._async_array.codec_pipeline).__name__ == "BatchedCodecPipeline"
    assert zarr.config.get("codec_pipeline.path") == arrays.DEFAULT_PIPELINE


def test_rows_are_there_or_not(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    rows = Rows(tmp_path / "rows")
    assert not rows.has(1)
    rows.write(1, 3, values[1])
    Rows(tmp_path / "rows").write(0, 3, 0 * values[0])  # another worker, and nothing but zeros
    again = Rows(tmp_path / "rows")
    assert [again.has(row) for row in range(3)] == [True, True, False]
    assert again.read(1).tolist() == values[1].tolist()
    with pytest.raises(FileNotFoundError, match="rows has no row 2"):
        again.read(2)
    longer = Rows(tmp_path / "longer")
    longer.take_over(again, 3, 7)
    longer.write(6, 7, values[2])
    assert [longer.has(row) for row in range(7)] == [True, True, False, False, False, False, True]
    assert longer.read(1).tolist() == values[1].tolist()
    assert rows_in(tmp_path) == [tmp_path / "longer", tmp_path / "rows"]


def test_rows_that_hold_nothing(tmp_path):
    Rows(tmp_path / "rows").write(1, 3, np.zeros((0, 4), np.float32))
    found = Rows(tmp_path / "rows")
    assert found.has(1)
    assert found.read(1).shape == (0, 4)
    longer = Rows(tmp_path / "longer")
    longer.take_over(found, 2, 5)
    assert longer.read(1).shape == (0, 4)


def test_arrays_round_trip_to_the_bit(tmp_path):
    given = {
        "weights.x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32),
        "spectrum": np.array([1 + 2j, np.nan], dtype=np.complex64),
        "scalar": np.float64(1 / 3),
        "bytes": np.arange(5, dtype=np.uint8),
    }
    for value in (0.1, 0.2):
        arrays.write_arrays(tmp_path / "a.zarr", given, {"value": value})
    back, attributes = arrays.read_arrays(tmp_path / "a.zarr")
    assert attributes == {"value": 0.2} == arrays.read_attributes(tmp_path / "a.zarr")
    assert {name: (a.dtype, a.tobytes()) for name, a in back.items()} == {
        name: (np.asarray(a).dtype, np.asarray(a).tobytes()) for name, a in given.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_failed_write_shows_nothing(tmp_path):
    with pytest.raises(TypeError):
        arrays.write_arrays(tmp_path / "a.zarr", {"x": np.zeros(2)}, {"bad": object()})
    assert not (tmp_path / "a.zarr").exists()
