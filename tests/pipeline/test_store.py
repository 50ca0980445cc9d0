"""The store: exact round trips, coordinates kept, whole chunks only, nothing half-made in sight."""

import numpy as np
import pytest
import xarray as xr

from pipeline import store
from pipeline.volume import AXES, DATA


def volume(frames=5):
    data = np.arange(frames * 12, dtype=np.float32).reshape(frames, 1, 1, 3, 4)
    times = xr.date_range("1860-06-01", periods=frames, freq="YS", calendar="360_day", use_cftime=True)
    result = xr.Dataset({DATA: (AXES, data, {"units": "K"})}, {"time": times, "latitude": ("height", [1.0, 2.0, 3.0])})
    result["time"].encoding = {"units": "hours since 1970-01-01", "calendar": "360_day"}
    return result


def test_volume_round_trip(tmp_path):
    store.write_volume({"a": volume(), "b": volume(3)}, tmp_path / "v.zarr", {"a": 2, "b": 3})
    back = store.open_volume(tmp_path / "v.zarr", "a")
    xr.testing.assert_identical(back.load().drop_attrs(), volume().drop_attrs())
    assert back[DATA].attrs["units"] == "K"
    assert back["time"].encoding["units"] == "hours since 1970-01-01"
    assert store.groups(tmp_path / "v.zarr") == ["a", "b"]
    np.testing.assert_array_equal(store.read_frames(tmp_path / "v.zarr", "a", 1, 4), volume()[DATA].values[1:4])


def test_frames_fill_whole_chunks(tmp_path):
    path = tmp_path / "v.zarr"
    store.create_volumes({None: volume()}, path, 2)
    store.write_frames(path, 2, volume()[DATA].values[2:4])
    store.write_frames(path, 4, volume()[DATA].values[4:])
    back = store.read_frames(path, None, 0, 5)
    assert np.isnan(back[:2]).all()
    np.testing.assert_array_equal(back[2:], volume()[DATA].values[2:])
    with pytest.raises(ValueError, match="frames 1..3 do not fill whole chunks of 2 frames"):
        store.write_frames(path, 1, volume()[DATA].values[1:3])


def test_arrays_round_trip_to_the_bit(tmp_path):
    arrays = {
        "weights.x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32),
        "spectrum": np.array([1 + 2j, np.nan], dtype=np.complex64),
        "scalar": np.float64(1 / 3),
        "bytes": np.arange(5, dtype=np.uint8),
    }
    for value in (0.1, 0.2):
        store.write_arrays(tmp_path / "a.zarr", arrays, {"value": value})
    back, attributes = store.read_arrays(tmp_path / "a.zarr")
    assert attributes == {"value": 0.2} == store.read_attributes(tmp_path / "a.zarr")
    assert {name: (a.dtype, a.tobytes()) for name, a in back.items()} == {
        name: (np.asarray(a).dtype, np.asarray(a).tobytes()) for name, a in arrays.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_failed_write_shows_nothing(tmp_path):
    with pytest.raises(TypeError):
        store.write_arrays(tmp_path / "a.zarr", {"x": np.zeros(2)}, {"bad": object()})
    assert not (tmp_path / "a.zarr").exists()
