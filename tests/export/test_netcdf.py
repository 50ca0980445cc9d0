"""NetCDF to store to NetCDF: the same values, decoded times, coordinates and names; and what other stores become."""

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pipeline.archive import Ask
from pipeline.storage import store
from pipeline.volume import DATA
from tests.export.stores import exported, volume, written
from tests.synthetic import stored

CFTIME = {"decode_times": xr.coders.CFDatetimeCoder(use_cftime=True), "decode_timedelta": False}
LATITUDE, LONGITUDE, LEVEL = [60.0, 40.0, 20.0], [350.0, 355.0, 360.0, 365.0], [1000.0, 500.0]


def grid(units="days since 2001-01-01", calendar="standard", times=(0, 1, 2.5, 3), **more):
    """A dataset with two variables on levels, packed into two bytes, with missing values, and one that is not."""
    draw = np.random.default_rng(0)
    values = draw.integers(-3000, 3000, (2, 4, 2, 3, 4)) * 0.01
    values[0, 1, 0, 2] = np.nan
    axes = ("time", "plev", "lat", "lon")
    dataset = xr.Dataset(
        {
            "ta": (axes, values[0], {"units": "K", "standard_name": "air_temperature", "valid_range": [-3000, 3000]}),
            "ua": (axes, values[1], {"units": "m s-1", "long_name": "eastward wind", "grid_mapping": "crs"}),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {
            "time": ("time", np.array(times, float), {"units": units, "calendar": calendar}),
            "plev": ("plev", LEVEL, {"units": "hPa", "positive": "down"}),
            "lat": ("lat", LATITUDE, {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lon": ("lon", LONGITUDE, {"units": "degrees_east"}),
            "height": ((), 2.0, {"units": "m"}),
        },
    ).assign_coords(more)
    for name in ("ta", "ua"):
        dataset[name].encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 1.5, "_FillValue": -32000}
    return dataset


def round_trip(tmp_path, dataset, ask, **wish):
    """The file before and the file after, as xarray decodes them."""
    dataset.to_netcdf(tmp_path / "before.nc")
    stored([tmp_path / "before.nc"], tmp_path / "a.zarr", ask)
    exported(tmp_path / "a.zarr", tmp_path / "after.nc", **wish)
    return opened(tmp_path / "before.nc"), opened(tmp_path / "after.nc")


def opened(path):
    with xr.open_dataset(path, **CFTIME) as dataset:
        return dataset.load()


def check_same(before, after, names):
    """Values to the type they are stored in, times to the microsecond, coordinates and axes to the bit and the name."""
    for name in names:
        assert after[name].dims == before[name].dims
        np.testing.assert_array_equal(after[name].values, before[name].values.astype(after[name].dtype))
        assert after[name].attrs.get("units") == before[name].attrs.get("units")
        for coordinate in before[name].coords:
            np.testing.assert_array_equal(after[coordinate].values, before[coordinate].values)
            assert after[coordinate].attrs.get("units") == before[coordinate].attrs.get("units")


@pytest.mark.parametrize(
    ("units", "calendar", "times"),
    [
        ("days since 2001-01-01", "standard", (0, 1, 2.5, 58)),
        ("hours since 1970-01-01 06:00:00", "360_day", (-700.25, 0, 0.1, 24 * 59)),
        ("minutes since 2000-02-28", "noleap", (0, 1440, 1440.5, 2880)),
        ("seconds since 1850-01-01", "julian", (0.125, 1, 2, 1e10)),
        ("days since 0001-01-01", "proleptic_gregorian", (0, 1 / 3, 700000.1, 730000.7)),
    ],
)
def test_values_and_decoded_times_come_back(tmp_path, units, calendar, times):
    before, after = round_trip(tmp_path, grid(units, calendar, times), Ask(variables=("ta", "ua")))
    check_same(before, after, ["ta", "ua"])
    assert after["time"].encoding["calendar"] == calendar
    assert after["time"].encoding["units"].split()[0] == units.split()[0]
    assert np.isnan(after["ta"].values).sum() == 4
    assert after["ta"].dtype == np.float32


def test_months_since_and_years_are_written_as_days(tmp_path):
    before = grid("months since 2000-01-15", "noleap", (0, 1, 2, 13))
    before.to_netcdf(tmp_path / "before.nc")
    stored([tmp_path / "before.nc"], tmp_path / "a.zarr", Ask(variables=("ta",)))
    exported(tmp_path / "a.zarr", tmp_path / "after.nc")
    after = opened(tmp_path / "after.nc")
    assert [str(time)[:10] for time in after["time"].values] == ["2000-01-15", "2000-02-15", "2000-03-15", "2001-02-15"]
    np.testing.assert_array_equal(after["time"], store.open_volume(tmp_path / "a.zarr")["time"])


def test_variables_have_their_names_and_what_is_true_of_their_attributes(tmp_path):
    _, after = round_trip(tmp_path, grid(), Ask(variables=("ua", "ta")))
    assert list(after.data_vars) == ["ua", "ta", "crs"]
    assert after["ta"].attrs == {"units": "K", "standard_name": "air_temperature"}
    assert after["ua"].attrs == {"units": "m s-1", "long_name": "eastward wind", "grid_mapping": "crs"}
    assert after["crs"].attrs == {"grid_mapping_name": "latitude_longitude"}
    assert after["lat"].attrs == {"units": "degrees_north"}
    assert after["height"].item() == 2
    assert after.attrs["Conventions"] == "CF-1.11"
    with netCDF4.Dataset(tmp_path / "after.nc") as file:
        assert file.data_model == "NETCDF4"
        assert np.isnan(file["ta"]._FillValue)
        assert "_FillValue" not in file["lat"].ncattrs()
        assert file.dimensions["time"].isunlimited()
        assert not hasattr(file["crs"], "coordinates")


def test_levels_that_were_channels_lie_along_their_axis_again(tmp_path):
    before, after = round_trip(tmp_path, grid(), Ask(variables=("ta", "ua"), channels="plev"))
    check_same(before, after, ["ta", "ua"])


def test_members_lie_along_their_axis_again_whole_or_one_of_them(tmp_path):
    dataset = grid()[["ta"]].expand_dims(member=[3, 7, 8])
    dataset["ta"] = dataset["ta"] + xr.DataArray([0.0, 1.0, 2.0], dims="member")
    dataset["member"].attrs["long_name"] = "realization"
    dataset["ta"] = dataset["ta"].transpose("time", "member", "plev", "lat", "lon")
    before, after = round_trip(tmp_path, dataset, Ask(channels="member"))
    check_same(before.astype(np.float64), after.astype(np.float64), ["ta"])
    assert after["member"].attrs == {"long_name": "realization"}
    exported(tmp_path / "a.zarr", tmp_path / "one.nc", channel="member=7")
    np.testing.assert_array_equal(opened(tmp_path / "one.nc")["ta"].values, after["ta"].values[:, 1:2])
    assert opened(tmp_path / "one.nc")["member"].values.tolist() == [7]


def test_a_part_by_its_axes(tmp_path):
    select = (("time", "2001-01-02:2001-01-03"), ("level", "500"), ("latitude", "20:40"))
    before, after = round_trip(tmp_path, grid(), Ask(variables=("ta",)), select=select)
    check_same(before.isel(time=slice(1, 3), plev=[1], lat=slice(1, 3)), after, ["ta"])


def test_numbers_in_other_units_are_no_longer_the_standard_quantity(tmp_path):
    grid().to_netcdf(tmp_path / "before.nc")
    raw = stored([tmp_path / "before.nc"], tmp_path / "a.zarr", Ask(variables=("ta", "ua")))
    normal = raw.copy()
    normal[DATA].attrs |= {"units": "1", "normalised_from": "K, m s-1"}
    exported(written(tmp_path / "b.zarr", alone=normal), tmp_path / "b.nc")
    after = opened(tmp_path / "b.nc")
    assert after["ta"].attrs == {"units": "1", "normalised_from": "K, m s-1"}
    assert after["ua"].attrs["units"] == "1"


def test_of_several_files_the_attributes_are_those_that_all_have(tmp_path):
    for number, name in enumerate(("one", "two")):
        part = grid(times=(4 * number, 4 * number + 1, 4 * number + 2, 4 * number + 3))
        part["ta"].attrs["history"] = name
        part.to_netcdf(tmp_path / f"{name}.nc")
    files = [tmp_path / "one.nc", tmp_path / "two.nc"]
    stored(files, tmp_path / "a.zarr", Ask(variables=("ta", "ua")))
    exported(tmp_path / "a.zarr", tmp_path / "after.nc")
    after = opened(tmp_path / "after.nc")
    check_same(xr.concat([opened(path) for path in files], "time", data_vars="minimal"), after, ["ta", "ua"])
    assert after["ta"].attrs == {"units": "K", "standard_name": "air_temperature"}
    assert after["ua"].attrs["long_name"] == "eastward wind"


def test_a_bent_grid_keeps_its_two_coordinates(tmp_path):
    rows, columns = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    dataset = xr.Dataset(
        {"t": (("time", "nj", "ni"), np.arange(24, dtype=np.float32).reshape(2, 3, 4))},
        {
            "time": ("time", [0.0, 1.0], {"units": "days since 2001-01-01"}),
            "latitude": (("nj", "ni"), 50 + rows + 0.1 * columns, {"units": "degrees_north"}),
            "longitude": (("nj", "ni"), 5 + columns - 0.1 * rows, {"units": "degrees_east"}),
        },
    )
    before, after = round_trip(tmp_path, dataset, Ask())
    check_same(before, after, ["t"])


def test_other_volumes_have_axes_of_their_own_and_integers_stay(tmp_path):
    data = volume((6, 2, 2, 5, 4), channels=["H3342", "2nd"], affine=np.eye(4).tolist())
    data = data.assign_coords(run=("time", [0, 0, 0, 1, 1, 1]))
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.nc")
    assert any("the affine is not kept" in line for line in lines)
    found = opened(tmp_path / "a.nc")
    assert found[DATA].dims == ("time", "channel", "z", "y", "x")
    assert found[DATA].dtype == np.int16
    np.testing.assert_array_equal(found[DATA], data[DATA])
    assert found["channel"].values.tolist() == ["H3342", "2nd"]
    assert found["run"].values.tolist() == [0, 0, 0, 1, 1, 1]
    assert found["x"].attrs == {"units": "mm"}
    exported(tmp_path / "a.zarr", tmp_path / "one.nc", channel="2nd")
    assert list(opened(tmp_path / "one.nc").data_vars) == ["channel_2nd"]


def test_a_prediction_of_a_recipe(finished_run, tmp_path):
    path = finished_run["forecast"] / "prediction.zarr"
    exported(path, tmp_path / "a.nc")
    found, stored = opened(tmp_path / "a.nc"), store.open_volume(path)
    assert found["warmth"].dims == ("time", "lat", "lon")
    assert found["warmth"].attrs["units"] == "K"
    assert found.attrs["forecast"].startswith("one step ahead")
    np.testing.assert_array_equal(found["warmth"], stored[DATA][:, 0, 0])
    np.testing.assert_array_equal(found["time"], stored["time"])
    exported(finished_run["prepared"] / "prepared.zarr", tmp_path / "b.nc", series="b")
    assert opened(tmp_path / "b.nc")["warmth"].attrs["units"] == "1"


REAL = {
    "A1B_north_america.nc": ["air_temperature"],
    "E1_north_america.nc": ["air_temperature"],
    "air_temperature_small.nc": ["air"],
    "dt_med_allsat_phy_l4_2005T2.nc": ["adt"],
    "monthly_navy_winds.cdf": ["UWND", "VWND"],
    "ocean_atlas_subset.nc": ["TEMP"],
}


@pytest.mark.parametrize("name", REAL)
def test_real_archives_come_back(tmp_path, name):
    folder = os.environ.get("CHRONOVOX_DATA")
    if not folder:
        pytest.skip("CHRONOVOX_DATA names no folder with the bigger real files")
    path = Path(folder) / "climate" / name
    stored([path], tmp_path / "a.zarr", Ask(variables=tuple(REAL[name])))
    exported(tmp_path / "a.zarr", tmp_path / "after.nc")
    if name.startswith("ocean"):  # its year 0 is none of the calendar that the file means: xarray does not decode it
        before = xr.open_dataset(path, decode_times=False)
        after = xr.open_dataset(tmp_path / "after.nc", decode_times=False)
        np.testing.assert_allclose(after["TIME"].values, before["TIME"].values, rtol=0, atol=1e-9)
        after = after.assign_coords(TIME=before["TIME"])
    else:
        before, after = opened(path), opened(tmp_path / "after.nc")
    check_same(before, after, REAL[name])
