"""NetCDF in gzip: the same numbers, and a temporary file that is there as long as it is needed."""

import gc
import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.archive.netcdf import open_netcdf
from pipeline.volume import InputError

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where files are unpacked to in this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def packed(tmp_path):
    dataset = xr.Dataset(
        {"t": (("time", "lat", "lon"), NUMBERS)}, {"time": ("time", [0, 6], {"units": "hours since 2000-01-01"})}
    )
    dataset.to_netcdf(tmp_path / "t.nc")
    path = tmp_path / "t.nc.gz"
    path.write_bytes(gzip.compress((tmp_path / "t.nc").read_bytes()))
    return path


def test_the_file_outlives_what_is_lazy_and_not_more(packed, folder):
    half = open_netcdf(packed)["t"][1:] * 2  # the dataset itself is gone
    gc.collect()
    assert len(list(folder.iterdir())) == 1
    np.testing.assert_array_equal(half.values, NUMBERS[1:] * 2)
    np.testing.assert_array_equal(half.values, NUMBERS[1:] * 2)
    del half
    gc.collect()
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-20], lambda content: content[:60] + b"\0" * 40 + content[100:]]
)
def test_a_damaged_file_is_named_and_leaves_nothing(packed, folder, damage):
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(InputError, match=r"t.nc.gz is damaged, its gzip stream cannot be unpacked: .*; fetch it again"):
        open_netcdf(packed)
    assert not list(folder.iterdir())


def test_what_is_inside_is_not_netcdf(packed, folder):
    packed.write_bytes(gzip.compress(b"no such thing"))
    with pytest.raises(InputError, match=r"t.nc.gz cannot be read as NetCDF") as caught:
        open_netcdf(packed)
    assert str(folder) not in str(caught.value)


def test_real_members():
    path = Path(os.environ.get("CHRONOVOX_DATA", "")) / "grib" / "era5-levels-members.nc.gz"
    if not path.is_file():
        pytest.skip("CHRONOVOX_DATA names no folder with grib/era5-levels-members.nc.gz")
    dataset = open_netcdf(path)
    assert dataset["t"].dims == ("number", "time", "isobaricInhPa", "latitude", "longitude")
    assert dataset["t"].isel(number=0, time=0, isobaricInhPa=0).values.mean() == pytest.approx(273.6222, abs=1e-3)
