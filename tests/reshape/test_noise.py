"""Noisy copies of channels: white, the same however the volume is read, and missing where the channel is."""

import numpy as np
import pytest
import xarray as xr

from pipeline.reshape import Reshape, reshaped
from pipeline.reshape.noise import Noise
from pipeline.volume import AXES, InputError


def volume(frames=40, kind=np.float32):
    data = np.random.default_rng(0).normal(100, 10, (frames, 2, 3, 6, 7)).astype(kind)
    coordinates = {"channel": ["t1", "t2"], "echo": ("channel", [14.0, 38.0]), "time": np.arange(frames)}
    return xr.Dataset({"data": (AXES, data, {"units": "K"})}, coordinates)


def noised(data, chunks=None, name="a", **settings):
    return reshaped({name: data.chunk(chunks or {"time": 7})}, Reshape(noise=Noise(**settings)))[name]


def test_it_is_white_and_of_its_deviation():
    data = volume()
    found = noised(data, deviation=(2.0, 30.0))
    assert list(found["channel"].values) == ["noisy t1", "noisy t2", "t1", "t2"]
    assert found["echo"].values.tolist() == [14.0, 38.0, 14.0, 38.0]
    assert found["data"].dtype == np.float32
    assert found["data"].attrs["units"] == "K"
    values = found["data"].values
    np.testing.assert_array_equal(values[:, 2:], data["data"].values)
    noise = values[:, :2].astype(float) - values[:, 2:]
    counted = noise[:, 0].size
    for channel, deviation in enumerate((2.0, 30.0)):
        own = noise[:, channel] / deviation
        assert abs(own.mean()) < 4 / counted**0.5
        assert abs(own.std() - 1) < 4 / counted**0.5
        for axis in range(own.ndim):  # neighbours have nothing to do with each other
            one, other = np.delete(own, 0, axis), np.delete(own, -1, axis)
            assert abs((one * other).mean()) < 4 / one.size**0.5


def test_it_does_not_depend_on_how_the_volume_is_read():
    data, settings = volume(12), {"deviation": 3.0, "seed": 5}
    whole = noised(data, **settings)["data"].values
    cut = noised(data, {"time": 5, "height": 2, "channel": 1}, **settings)["data"]
    np.testing.assert_array_equal(cut.values, whole)
    np.testing.assert_array_equal(cut[3:5].values, whole[3:5])
    assert not np.array_equal(noised(data, name="b", **settings)["data"].values, whole)
    assert not np.array_equal(noised(data, deviation=3.0, seed=6)["data"].values, whole)


def test_missing_values_stay_missing_and_integers_become_float32():
    data = volume(4)
    data["data"][1, 0, 0, 2] = np.nan
    found = noised(data, deviation=1.0)["data"].values
    np.testing.assert_array_equal(np.isnan(found[:, :2]), np.isnan(data["data"].values))
    assert noised(volume(4, np.int16), deviation=1.0)["data"].dtype == np.float32
    assert noised(volume(4, np.float64), deviation=1.0)["data"].dtype == np.float64


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Noise(0.0)
    with pytest.raises(InputError, match="3 deviations and the data 2 channels"):
        noised(volume(4), deviation=(1.0, 2.0, 3.0))
