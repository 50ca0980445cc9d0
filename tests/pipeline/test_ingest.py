"""From a file to `raw.zarr`: values, axes, calendar and units kept; bad files refused by name."""

import numpy as np
import pytest
import xarray as xr

from pipeline.archive import locate
from pipeline.grid import closes, natural_boundary
from pipeline.ingest import IngestSettings, ingest
from pipeline.volume import InputError
from tests.synthetic import blobs

A1B = "package://iris_sample_data/sample_data/A1B_north_america.nc"


def run(source, output, variable="warmth", **settings):
    output.mkdir(exist_ok=True)
    list(ingest(IngestSettings(source=str(source), variable=variable, **settings), {}, output))
    return output / "raw.zarr"


def test_the_climate_archive_reads_back_with_a_right_time_axis(tmp_path):
    path = locate(A1B, tmp_path)
    raw = run(path, tmp_path / "raw", "air_temperature", chunk=16)
    back, source = (
        xr.open_zarr(raw, consolidated=False, decode_timedelta=False),
        xr.open_dataset(path, decode_timedelta=False),
    )
    assert dict(back.sizes) == {"time": 240, "channel": 1, "depth": 1, "height": 37, "width": 49}
    assert back["time"].dt.calendar == "360_day"
    assert source["time"].encoding["units"].startswith(back["time"].encoding["units"])  # xarray drops the 00:00:00
    assert back["time"].encoding["units"] == "hours since 1970-01-01"
    assert (back["time"].values == source["time"].values).all()
    np.testing.assert_array_equal(back["data"].values[:, 0, 0], source["air_temperature"].values)
    np.testing.assert_array_equal(back["latitude"].values, source["latitude"].values)
    np.testing.assert_array_equal(back["longitude"].values, source["longitude"].values)
    assert back["latitude"].dims == ("height",)
    assert back["data"].attrs["units"] == "K"
    assert back["data"].encoding["chunks"][0] == 16
    assert list(back["channel"].values) == ["air_temperature"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"this is no archive", "begins with b'this is ', which is none of NetCDF"),
        (b"CDF\x01", "cannot be read as NetCDF"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, message):
    (tmp_path / "broken.nc").write_bytes(content)
    with pytest.raises(InputError, match=rf"broken\.nc {message}"):
        run(tmp_path / "broken.nc", tmp_path / "raw")
    assert not (tmp_path / "raw" / "raw.zarr").exists()


def test_a_wrong_variable_suggests_the_right_one(tmp_path):
    blobs(4, 0).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="no variable 'warmt'; did you mean 'warmth'"):
        run(tmp_path / "a.nc", tmp_path / "raw", "warmt")


def test_axes_and_times_that_are_not_understood(tmp_path):
    data = blobs(4, 0)
    cases = {
        "do not increase": data.isel(time=[0, 2, 1, 3]),
        "no time coordinate": data.drop_vars("time"),
        "expected time, latitude and longitude, and none of them is known as longitude": data.isel(lon=0),
        "none of them is known as latitude": data.drop_vars("lat").rename(lat="rows"),
    }
    for number, (message, dataset) in enumerate(cases.items()):
        dataset.to_netcdf(tmp_path / f"{number}.nc")
        with pytest.raises(InputError, match=message):
            run(tmp_path / f"{number}.nc", tmp_path / "raw")


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no file .*nowhere\.nc"):
        locate("nowhere.nc", tmp_path)
    with pytest.raises(InputError, match=r"pip install 'chronovox\[examples\]'"):
        locate("package://no_such_package/x.nc", tmp_path)


def test_boundaries_come_from_the_longitudes():
    assert closes(np.arange(0, 360, 2.5))
    assert closes(np.arange(20, 380, 2.5))
    assert not closes(np.linspace(225, 315, 49))
    assert not closes(np.array([0.0, 10, 200]))
    world = xr.Dataset(coords={"longitude": ("width", np.arange(0, 360, 30.0))})
    assert natural_boundary(world) == ("reflect", "reflect", "periodic")
    assert natural_boundary(xr.Dataset()) == ("reflect", "reflect", "reflect")
