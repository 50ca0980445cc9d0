"""Variables on grids: values, times in every calendar, axes and what is missing; what is not understood is refused."""

import os
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr
from xarray.backends.netCDF4_ import NetCDF4ArrayWrapper

from pipeline.archive import Ask, open_archive
from pipeline.archive.netcdf_classic import promised_bytes
from pipeline.grid import natural_boundary
from pipeline.storage import store
from pipeline.volume import DATA, InputError
from tests.synthetic import stored

LATITUDE, LONGITUDE = [60.0, 40.0, 20.0], [350.0, 355.0, 360.0, 365.0]
VALUES = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)


def field(values=VALUES, units="days since 2001-01-01", times=(0, 1, 2, 3, 4), calendar=None, name="t", **more):
    attributes = {"units": units} | ({"calendar": calendar} if calendar else {})
    coordinates = {
        "time": ("time", np.asarray(times, np.float64), attributes),
        "lat": ("lat", LATITUDE, {"units": "degrees_north"}),
        "lon": ("lon", LONGITUDE, {"units": "degrees_east"}),
    } | more
    return xr.Dataset({name: (("time", "lat", "lon"), values, {"units": "K"})}, coordinates)


def at(tmp_path, dataset, name="a.nc", **encoding):
    dataset.to_netcdf(tmp_path / name, encoding=encoding)
    return tmp_path / name


def read(tmp_path, dataset, ask=Ask(), **encoding):  # noqa: B008  it is frozen
    return open_archive([at(tmp_path, dataset, **encoding)], ask)


@pytest.mark.parametrize(
    ("units", "calendar", "times", "dates"),
    [
        ("hours since 1970-01-01", "360_day", (0, 24 * 359), ("1970-01-01", "1970-12-30")),
        ("days since 1999-12-31", "noleap", (0, 60), ("1999-12-31", "2000-03-01")),
        ("days since 1999-12-31", "julian", (0, 366), ("1999-12-31", "2000-12-31")),
        ("days since 1999-12-31", None, (0, 60), ("1999-12-31", "2000-02-29")),
        ("months since 2000-01-31", "noleap", (1, 2), None),
        ("months since 2000-01-15", None, (0, 13), ("2000-01-15", "2001-02-15")),
        ("months since 2000-01-01", "360_day", (0, 13), ("2000-01-01", "2001-02-01")),
        ("months since 2000-02-01", "standard", (0, 0.5), ("2000-02-01", "2000-02-15 12:00:00")),
        ("years since 1850-01-01", "standard", (0, 150), ("1850-01-01", "2000-01-01")),
        ("s since 2000-01-01", None, (0, 86400), ("2000-01-01", "2000-01-02")),
        ("d since 2000-01-01", None, (0, 1), ("2000-01-01", "2000-01-02")),
        ("hour since 0000-01-01", None, (0, 24 * 366), ("0000-01-01", "0001-01-01")),
    ],
)
def test_times_are_dates_and_stay_so_in_the_store(units, calendar, times, dates, tmp_path):
    source = at(tmp_path, field(VALUES[:2], units, times, calendar))
    if dates is None:  # 2000-02-31
        with pytest.raises(InputError, match="has no dates"):
            open_archive([source], Ask())
        return
    volume = stored([source], tmp_path / "v.zarr", Ask())
    for found in (volume, store.open_volume(tmp_path / "v.zarr")):
        assert [str(time).removesuffix(" 00:00:00") for time in found["time"].values] == list(dates)
        assert found["time"].dt.calendar == {None: "standard"}.get(calendar, calendar).replace(
            "standard", "proleptic_gregorian" if dates[0] < "0001" else "standard"
        )
        assert np.array_equal(found[DATA].values[:, 0, 0], VALUES[:2])


def test_a_time_that_is_missing_no_time_at_all_or_times_that_go_back(tmp_path):
    cases = {
        "frame 2 has no time": field(times=(0, 1, np.nan, 3, 4)),
        "do not increase: frame 1 is at 2001-01-03 00:00:00, the next at 2001-01-02": field(times=(0, 2, 1, 3, 4)),
        "do not increase: frame 3": field(times=(0, 1, 2, 3, 3)),
        "no time coordinate with units such as .* it has 'fortnights'": field(units="fortnights"),
    }
    for number, (message, dataset) in enumerate(cases.items()):
        with pytest.raises(InputError, match=message):
            open_archive([at(tmp_path, dataset, f"{number}.nc")], Ask())


def test_packed_numbers_and_declared_and_default_fills(tmp_path):
    values = VALUES.copy()
    values[1, 1, 1] = np.nan
    packed = {"dtype": "i2", "scale_factor": 0.001, "add_offset": 3.0, "_FillValue": np.int16(-32767)}
    found = read(tmp_path, field(values), t=packed)
    assert found[DATA].dtype == np.float32
    stored = netCDF4.Dataset(tmp_path / "a.nc")
    stored.set_auto_maskandscale(False)
    expected = (stored["t"][:] * 0.001 + 3.0).astype(np.float32)
    expected[1, 1, 1] = np.nan
    np.testing.assert_allclose(found[DATA].values[:, 0, 0], expected, rtol=2e-7)


@pytest.mark.parametrize(("kind", "fill"), [("f4", 9.969209968386869e36), ("f8", 9.969209968386869e36), ("i2", -32767)])
def test_what_was_never_written_is_missing_even_if_no_fill_is_declared(kind, fill, tmp_path):
    path = tmp_path / "a.nc"
    field(10 * VALUES).to_netcdf(path)
    with netCDF4.Dataset(path, "a") as file:
        variable = file.createVariable("holes", kind, ("time", "lat", "lon"))
        variable.set_auto_maskandscale(False)
        variable[:3] = (10 * VALUES[:3]).astype(kind)
        variable[3:] = np.full((2, 3, 4), fill, kind)
    found = open_archive([path], Ask(("holes",)))[DATA].values[:, 0, 0]
    assert np.isnan(found[3:]).all()
    assert np.array_equal(found[:3], (10 * VALUES[:3]).astype(kind).astype(found.dtype))
    assert found.dtype == (np.float64 if kind == "f8" else np.float32)


def test_coordinates_stay_as_they_are(tmp_path):
    found = read(tmp_path, field())
    assert found["latitude"].values.tolist() == LATITUDE
    assert found["longitude"].values.tolist() == LONGITUDE
    assert found["latitude"].dims == ("height",)
    assert found["longitude"].dims == ("width",)
    assert found["channel"].values.tolist() == ["t"]
    assert found[DATA].attrs["units"] == "K"
    around = xr.Dataset(coords={"longitude": ("width", np.arange(20.5, 380, 2))})
    assert natural_boundary(around)[2] == "periodic"


def levels(**more):
    values = np.stack([VALUES, VALUES + 1], 1)
    dataset = field().drop_vars("t")
    dataset["t"] = (("time", "lev", "lat", "lon"), values)
    return dataset.assign_coords(lev=("lev", [1000.0, 500.0], {"units": "hPa", **more})), values


def test_levels_are_depth_or_channels_or_selected(tmp_path):
    dataset, values = levels(positive="down")
    path = at(tmp_path, dataset)
    found = open_archive([path], Ask())
    assert np.array_equal(found[DATA].values, values[:, None])
    assert found["level"].values.tolist() == [1000.0, 500.0]
    assert found["level"].dims == ("depth",)
    assert found["level"].attrs["units"] == "hPa"
    for name in ("lev", "level"):
        found = open_archive([path], Ask(channels=name))
        assert np.array_equal(found[DATA].values, values[:, :, None])
        assert found["channel"].values.tolist() == [f"{name}=1000", f"{name}=500"]
    found = open_archive([path], Ask(select=(("lev", "500"), ("time", "2001-01-02:2001-01-03"))))
    assert np.array_equal(found[DATA].values, values[1:3, None, 1:])
    alike = open_archive([path], Ask(select=(("level", "500"), ("latitude", "30:70"))))
    assert np.array_equal(alike[DATA].values, values[:, None, 1:, :2])
    with pytest.raises(InputError, match="lev has no 600; the nearest are 500, 1000"):
        open_archive([path], Ask(select=(("lev", "600"),)))
    with pytest.raises(InputError, match="there is no axis 'plev' to select from; there are time, lev, lat, lon"):
        open_archive([path], Ask(select=(("plev", "500"),)))
    with pytest.raises(InputError, match="selects nothing of 5 places, 2001-01-01 00:00:00 to 2001-01-05"):
        open_archive([path], Ask(select=(("time", "1990"),)))


def test_another_axis_is_refused_unless_it_is_named(tmp_path):
    dataset, values = levels()
    path = at(tmp_path, dataset.rename(lev="number"))
    with pytest.raises(InputError, match=r"a further axis 'number' of 2; take one of it with --select number=\.\.\."):
        open_archive([path], Ask())
    found = open_archive([path], Ask(channels="number"))
    assert np.array_equal(found[DATA].values, values[:, :, None])
    found = open_archive([path], Ask(select=(("number", "500"),)))
    assert np.array_equal(found[DATA].values, values[:, 1:, None])


@pytest.mark.parametrize("name", ["lat", "time", "nowhere"])
def test_what_cannot_be_stacked_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"has no axis '{name}' to stack as channels; it has time, lat, lon"):
        read(tmp_path, field(), Ask(channels=name))


def test_several_variables_are_channels(tmp_path):
    dataset = field().assign(u=field(VALUES + 1, name="u")["u"].assign_attrs(units="m/s"))
    path = at(tmp_path, dataset)
    with pytest.raises(InputError, match="2 variables of three axes or more, and none is named; name one of t, u"):
        open_archive([path], Ask())
    for ask, names in ((Ask(("u", "t")), ["u", "t"]), (Ask(channels="variables"), ["t", "u"])):
        found = open_archive([path], ask)
        assert found["channel"].values.tolist() == names
        for number, name in enumerate(names):
            assert np.array_equal(found[DATA].values[:, number, 0], dataset[name].values)
    assert found[DATA].attrs["units"] == "K, m/s"


def test_files_follow_each_other_in_time_whatever_their_order(tmp_path):
    one, other = field(VALUES[:2], times=(0, 1)), field(VALUES[2:], "days since 2001-01-03", times=(0, 1, 2))
    paths = [at(tmp_path, other, "a.nc"), at(tmp_path, one, "b.nc")]
    found = stored(paths, tmp_path / "v.zarr", Ask())
    assert np.array_equal(found[DATA].values[:, 0, 0], VALUES)
    again = store.open_volume(tmp_path / "v.zarr")
    assert [time.day for time in again["time"].values] == [1, 2, 3, 4, 5]
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in paths:
        path.rename(folder / path.name)
    assert np.array_equal(open_archive([folder], Ask())[DATA].values, found[DATA].values)


def test_files_that_do_not_fit_together(tmp_path):
    one = at(tmp_path, field(), "one.nc")
    with pytest.raises(InputError, match=r"one\.nc ends at 2001-01-05 .*two\.nc begins at 2001-01-05"):
        open_archive([one, at(tmp_path, field(times=(4, 5, 6, 7, 8)), "two.nc")], Ask())
    narrow = field(times=(5, 6, 7, 8, 9)).isel(lon=slice(3))
    with pytest.raises(InputError, match=r"one\.nc and .*three\.nc have 4 and 3 places along width"):
        open_archive([one, at(tmp_path, narrow, "three.nc")], Ask())
    moved = field(times=(5, 6, 7, 8, 9)).assign_coords(lat=("lat", [60.0, 45.0, 20.0], {"units": "degrees_north"}))
    with pytest.raises(InputError, match=r"lie on other grids: latitude is 40\.0 and 45\.0"):
        open_archive([one, at(tmp_path, moved, "four.nc")], Ask())
    with pytest.raises(InputError, match="has the channels t, .*five.nc u"):
        open_archive([one, at(tmp_path, field(times=(5, 6, 7, 8, 9), name="u"), "five.nc")], Ask())


def test_files_as_channels(tmp_path):
    paths = [at(tmp_path, field(VALUES + n, name=name), f"{name}.nc") for n, name in enumerate("uv")]
    found = open_archive(paths, Ask(channels="files"))
    assert found["channel"].values.tolist() == ["u", "v"]
    assert np.array_equal(found[DATA].values[:, :, 0], np.stack([VALUES, VALUES + 1], 1))
    later = at(tmp_path, field(times=(1, 2, 3, 4, 5)), "w.nc")
    with pytest.raises(InputError, match=r"u\.nc and .*w\.nc cannot be channels: they have 5 and 5 frames"):
        open_archive([paths[0], later], Ask(channels="files"))


def test_projected_and_bent_grids(tmp_path):
    plane = field().rename(lat="yc", lon="xc")
    plane["yc"].attrs = {"units": "m", "standard_name": "projection_y_coordinate"}
    plane["xc"].attrs = {"units": "m", "axis": "X"}
    found = read(tmp_path, plane)
    assert found["y"].values.tolist() == LATITUDE
    assert found["x"].dims == ("width",)
    bent = field().drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    latitude, longitude = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    bent = bent.assign_coords(
        nav_lat=(("j", "i"), latitude, {"units": "degrees_north"}),
        nav_lon=(("j", "i"), longitude, {"units": "degrees_east"}),
    )
    found = open_archive([at(tmp_path, bent, "bent.nc")], Ask())
    assert np.array_equal(found[DATA].values[:, 0, 0], VALUES)
    assert np.array_equal(found["latitude"].values, latitude)
    assert found["longitude"].dims == ("height", "width")


def test_files_of_other_kinds_are_told_apart_by_content(tmp_path):
    path = at(tmp_path, field()).rename(tmp_path / "a.dat")
    assert open_archive([path], Ask()).attrs["source_format"] == "NetCDF"
    (tmp_path / "text.nc").write_text("temperature, 3\n")
    with pytest.raises(InputError, match=r"text\.nc begins with b'temperat', which is none of NetCDF, GRIB"):
        open_archive([tmp_path / "text.nc"], Ask())
    (tmp_path / "empty.nc").touch()
    with pytest.raises(InputError, match=r"empty\.nc is empty \(0 bytes\)"):
        open_archive([tmp_path / "empty.nc"], Ask())
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder has 0 files and none of them is one of NetCDF, GRIB"):
        open_archive([tmp_path / "folder"], Ask())
    (tmp_path / "folder" / "notes.txt").write_text("two of them are bad")
    (tmp_path / "folder" / "b.dat").write_bytes(path.read_bytes())
    with pytest.warns(UserWarning, match=r"1 files in .*folder are of no known format and left out: notes\.txt"):
        assert open_archive([tmp_path / "folder"], Ask())[DATA].shape == (5, 1, 1, 3, 4)
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(InputError, match=r"a\.dat is NetCDF and .*a\.npy is npy; give files of one format"):
        open_archive([path, tmp_path / "a.npy"], Ask())


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA", "NETCDF4"])
@pytest.mark.parametrize("records", [False, True])
def test_a_file_that_breaks_off_leaves_nothing(kind, records, tmp_path):
    path = tmp_path / "a.nc"
    values = np.random.default_rng(0).integers(0, 99, (501, 3, 5)).astype("i2")
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.title = "odd"
        for name, size in (("time", None if records else 501), ("lat", 3), ("lon", 5)):
            file.createDimension(name, size)
        units = {"time": "days since 2001-01-01", "lat": "degrees_north", "lon": "degrees_east"}
        for name, unit in units.items():
            file.createVariable(name, "f4", (name,)).units = unit
            file[name][:] = np.arange(501 if name == "time" else file.dimensions[name].size)
        file.createVariable("t", "i2", ("time", "lat", "lon"))[:] = values
    if kind != "NETCDF4":
        assert 0 <= path.stat().st_size - promised_bytes(path) < 4
    assert np.array_equal(open_archive([path], Ask())[DATA].values[:, 0, 0], values)
    whole = path.read_bytes()
    for share in (0.2, 0.6, 0.95, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"a\.nc"):
            stored([path], tmp_path / "v.zarr", Ask())
        assert [file.name for file in tmp_path.iterdir()] == ["a.nc"]


def test_a_destination_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "v.zarr").mkdir()
    with pytest.raises(InputError, match=r"v\.zarr is there already; remove it, or choose another name"):
        stored([at(tmp_path, field())], tmp_path / "v.zarr", Ask())


@pytest.mark.skipif(not os.environ.get("CHRONOVOX_DATA"), reason="CHRONOVOX_DATA names no folder of real files")
def test_real_archives(tmp_path):
    folder = Path(os.environ["CHRONOVOX_DATA"]) / "climate"
    winds = open_archive([folder / "monthly_navy_winds.cdf"], Ask(("UWND", "VWND")))
    assert winds[DATA].shape == (132, 2, 1, 73, 144)
    assert natural_boundary(winds) == ("reflect", "reflect", "periodic")
    ocean = stored([folder / "ocean_atlas_subset.nc"], tmp_path / "ocean.zarr", Ask())
    assert round(float(ocean[DATA].isnull().mean()), 3) == 0.394
    again = store.open_volume(tmp_path / "ocean.zarr")
    assert [(time.year, time.month) for time in again["time"].values] == [(0, month) for month in range(1, 13)]
    assert again["level"].dims == ("depth",)
    sea = open_archive([folder / "dt_med_allsat_phy_l4_2005T2.nc"], Ask())[DATA].values
    missing = np.isnan(sea)
    assert round(missing.mean(), 2) == 0.62
    assert (missing != missing[0]).any()  # it moves in time
    air = open_archive([folder / "air_temperature_small.nc"], Ask())
    assert air["time"].values[0] == cftime.DatetimeGregorian(2014, 2, 24)


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_is_read_before_it_is_needed(packed, tmp_path, monkeypatch):
    path = at(tmp_path, field())
    if packed:
        with netCDF4.Dataset(path, "a") as file:
            variable = file.createVariable("p", "i2", file["t"].dimensions)
            variable.set_auto_maskandscale(False)
            variable.setncatts({"scale_factor": 0.01, "add_offset": 2.0})
            variable[:] = 1
    original, read = NetCDF4ArrayWrapper._getitem, []
    monkeypatch.setattr(
        NetCDF4ArrayWrapper, "_getitem", lambda self, key: read.append(self.variable_name) or original(self, key)
    )
    volume = open_archive([path], Ask(("p" if packed else "t",)))
    assert not {"p", "t"} & set(read)
    volume[DATA].load()
    assert {"p", "t"} & set(read)


def test_a_compressed_file_that_is_damaged_is_named(tmp_path):
    (tmp_path / "a.nc.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\xff" * 50)
    with pytest.raises(InputError, match=r"a\.nc\.gz has a damaged gzip stream"):
        open_archive([tmp_path / "a.nc.gz"], Ask())
