"""Movies: the right frames in the right grey, at the rate of the times; what cannot be shown is refused."""

import av
import numpy as np
import pytest
import xarray as xr

from pipeline.archive import Ask, open_archive
from pipeline.export import Wish, export
from pipeline.volume import DATA, InputError
from tests.export.stores import exported, volume, written


def smooth(frames=8, channels=1, height=48, width=64, dtype=np.uint8, names=None, seconds=0.04):
    """A ramp that moves, so that a lossy codec keeps it."""
    data = volume((frames, channels, 1, height, width), dtype, names, seconds)
    ramp = np.arange(height)[:, None] * 2.0 + np.arange(width) + 5.0 * np.arange(frames)[:, None, None]
    shades = [ramp * (channel + 1) / channels for channel in range(channels)]
    data[DATA] = data[DATA].copy(data=np.stack(shades, axis=1)[:, :, None].astype(dtype))
    return data.drop_vars(["z", "y", "x"])


def pixels(path):
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="gray") for frame in container.decode(video=0)], float)


def test_grey_values_and_times_come_back_nearly(tmp_path):
    data = smooth()
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.mp4")
    assert lines[1] == "25 frames a second; values of 0 are black, 255 white; 8 bits, lossy"
    found = open_archive([tmp_path / "a.mp4"], Ask(channels="grey"))
    assert np.abs(found[DATA].values.astype(float) - data[DATA].values).mean() < 2
    np.testing.assert_allclose(found["time"], data["time"], atol=1e-4)


def test_red_green_and_blue_are_colours(tmp_path):
    data = smooth(channels=3, names=["red", "green", "blue"])
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.mp4")
    found = open_archive([tmp_path / "a.mp4"], Ask())
    assert found["channel"].values.tolist() == ["red", "green", "blue"]
    assert np.abs(found[DATA].values.astype(float) - data[DATA].values).mean() < 3


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
def test_other_numbers_are_stretched_from_the_smallest_to_the_largest(tmp_path, dtype):
    data = smooth(dtype=dtype)
    lines = exported(written(tmp_path / "a.zarr", alone=data, chunk=3), tmp_path / "a.mp4")
    low, high = float(data[DATA].min()), float(data[DATA].max())
    assert f"values of {low:g} are black, {high:g} white" in lines[1]
    expected = (data[DATA].values[:, 0, 0] - low) / (high - low) * 255
    assert np.abs(pixels(tmp_path / "a.mp4") - expected).mean() < 2


def test_a_range_cuts_and_missing_values_are_black(tmp_path):
    data = smooth(dtype=np.float32)
    data[DATA][:, :, :, :24] = np.nan
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.mp4", span=(60.0, 110.0))
    found = pixels(tmp_path / "a.mp4")
    assert found[:, :20].mean() < 2
    expected = np.clip((data[DATA].values[:, 0, 0, 24:] - 60) / 50, 0, 1) * 255
    assert np.abs(found[:, 26:] - expected[:, 2:]).mean() < 3


def test_a_constant_is_black_and_nothing_but_missing_is_refused(tmp_path):
    data = smooth(dtype=np.float32)
    exported(written(tmp_path / "a.zarr", alone=data * 0 + 7), tmp_path / "a.mp4")
    assert pixels(tmp_path / "a.mp4").max() < 2
    with pytest.raises(InputError, match="has no values to show, all are missing"):
        exported(written(tmp_path / "b.zarr", alone=data * np.nan), tmp_path / "b.mp4")


def test_north_is_up(tmp_path):
    data = smooth()
    for name, latitude in (("up", np.arange(48.0)), ("down", np.arange(48.0)[::-1])):
        placed = data.assign_coords(latitude=("height", latitude, {"units": "degrees_north"}))
        lines = exported(written(tmp_path / f"{name}.zarr", alone=placed), tmp_path / f"{name}.mp4")
        assert ("frames are turned so that north is up" in lines) == (name == "up")
    expected = data[DATA].values[:, 0, 0].astype(float)
    assert np.abs(pixels(tmp_path / "up.mp4") - expected[:, ::-1]).mean() < 2
    assert np.abs(pixels(tmp_path / "down.mp4") - expected).mean() < 2


def test_the_rate_is_that_of_the_times_or_the_one_that_is_asked(tmp_path):
    dated = smooth().assign_coords(time=xr.date_range("2000-01-01", periods=8, freq="D", use_cftime=True))
    cases = {
        "29.97": (smooth(seconds=1001 / 30000), None),
        "0.4": (smooth(seconds=2.5), None),
        "10": (dated, None),
        "12.5": (dated, 12.5),
        "3": (smooth(), 3.0),
    }
    for number, (told, (data, rate)) in enumerate(cases.items()):
        path = written(tmp_path / f"{number}.zarr", alone=data)
        assert exported(path, tmp_path / f"{number}.mp4", rate=rate)[1].startswith(f"{told} frames a second;")
    with av.open(str(tmp_path / "0.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize("size", [(1, 3), (21, 33)])
def test_odd_sizes(tmp_path, size):
    exported(written(tmp_path / "a.zarr", alone=smooth(height=size[0], width=size[1])), tmp_path / "a.mp4")
    assert pixels(tmp_path / "a.mp4").shape == (8, *size)


def test_levels_and_channels_are_refused(tmp_path):
    deep = volume((3, 1, 4, 5, 6), np.uint8)
    with pytest.raises(InputError, match=r"has 4 places along z, .* --select z=\.\.\., of 10, 13, 16, 19, \.\."):
        exported(written(tmp_path / "a.zarr", alone=deep), tmp_path / "a.mp4")
    exported(tmp_path / "a.zarr", tmp_path / "a.mp4", select=(("z", "13"),))
    two = smooth(channels=2, names=["one", "two"])
    with pytest.raises(InputError, match=r"has 2 channels, and a movie shows one, .* \(--channel\): one, two"):
        exported(written(tmp_path / "b.zarr", alone=two), tmp_path / "b.mp4")


def test_a_range_is_for_movies(tmp_path):
    path = written(tmp_path / "a.zarr", alone=smooth())
    with pytest.raises(InputError, match=r"a\.nc is no movie"):
        export(path, tmp_path / "a.nc", Wish(span=(0.0, 1.0)))
    for rate in (0.0, -3.0, float("nan"), float("inf"), 1e-9):
        with pytest.raises(InputError, match="frames a second"):
            exported(path, tmp_path / "a.mp4", rate=rate)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
