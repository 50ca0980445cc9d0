"""GRIB files written by ecCodes, and the real ones where they are: what is in them, and what is said of broken ones."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.volume import InputError

eccodes = pytest.importorskip("eccodes", reason="needs the extra grib")

from pipeline.archive.grib import open_grib  # noqa: E402
from pipeline.archive.grib_messages import scan  # noqa: E402

ROWS, COLUMNS = 3, 4


def field(number, edition=1, **keys):
    """A message of numbers near `number`, 3 x 4, at 60, 0, -60 degrees north and 0, 60, 120, 180 degrees east."""
    sample = (
        f"regular_ll_{'pl' if keys.get('typeOfLevel', 'isobaricInhPa') == 'isobaricInhPa' else 'sfc'}_grib{edition}"
    )
    handle = eccodes.codes_grib_new_from_samples(sample)
    grid = {
        "Ni": COLUMNS,
        "Nj": ROWS,
        "latitudeOfFirstGridPointInDegrees": 60,
        "latitudeOfLastGridPointInDegrees": -60,
        "longitudeOfFirstGridPointInDegrees": 0,
        "longitudeOfLastGridPointInDegrees": 180,
        "iDirectionIncrementInDegrees": 60,
        "jDirectionIncrementInDegrees": 60,
        "bitsPerValue": 16,
    }
    for key, value in (grid | {"shortName": "t", "dataDate": 20200101, "dataTime": 0} | keys).items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, values(number).ravel())
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return message


def values(number):
    return number + np.arange(ROWS * COLUMNS, dtype=float).reshape(ROWS, COLUMNS) / 16


def write(path, *messages):
    path.write_bytes(b"".join(messages))
    return path


@pytest.mark.parametrize("edition", [1, 2])
def test_variables_levels_and_times_are_axes(tmp_path, edition, caplog):
    path = write(
        tmp_path / "one.grib",
        *(
            field(100 * kind + 10 * day + level / 500, edition, shortName=name, dataDate=20200101 + day, level=level)
            for kind, name in enumerate("tu")
            for day in (1, 0)
            for level in (500, 1000)
        ),
    )
    dataset = open_grib([path])
    assert list(dataset.data_vars) == ["t", "u"]
    assert dataset["t"].dims == ("time", "isobaricInhPa", "latitude", "longitude")
    assert dataset["t"].dtype == np.float32
    assert dataset["t"].chunks is not None
    np.testing.assert_array_equal(dataset["time"], np.array(["2020-01-01", "2020-01-02"], "M8[s]").astype(int))
    assert dataset["time"].attrs["units"] == "seconds since 1970-01-01T00:00:00"
    np.testing.assert_array_equal(dataset["isobaricInhPa"], [1000, 500])
    np.testing.assert_array_equal(dataset["latitude"], [60, 0, -60])
    np.testing.assert_array_equal(dataset["longitude"], [0, 60, 120, 180])
    assert dataset["isobaricInhPa"].attrs["units"] == "hPa"
    assert dataset["latitude"].attrs["units"] == "degrees_north"
    assert dataset["u"].attrs["units"] == "m s**-1"
    expected = [[values(100 + 10 * day + level / 500) for level in (1000, 500)] for day in (0, 1)]
    np.testing.assert_allclose(dataset["u"], expected, atol=1e-3)
    assert [file.name for file in tmp_path.iterdir()] == ["one.grib"]
    assert not caplog.records


def test_several_files_are_one_and_missing_values_are_nan(tmp_path):
    bitmap = {"bitmapPresent": 1, "missingValue": 5.0}
    paths = [
        write(tmp_path / f"{day}.grib", field(5 + day, level=1000, dataDate=20200101 + day, **bitmap)) for day in (0, 1)
    ]
    dataset = open_grib(paths)
    expected = np.stack([values(5), values(6)])
    expected[0, 0, 0] = np.nan
    np.testing.assert_allclose(dataset["t"], expected, atol=1e-3)
    assert dataset["isobaricInhPa"].item() == 1000  # one level stays as a scalar


def test_surface_fields_go_together_with_fields_on_levels(tmp_path):
    path = write(
        tmp_path / "mixed.grib",
        field(1, level=500),
        field(2, level=850),
        field(3, 1, typeOfLevel="surface", shortName="sp", level=0),
        field(4, 1, typeOfLevel="heightAboveGround", shortName="2t", level=2),
        field(5, 1, typeOfLevel="heightAboveGround", shortName="10u", level=10),
    )
    dataset = open_grib([path])
    assert dataset["t"].dims == ("time", "isobaricInhPa", "latitude", "longitude")
    assert dataset["sp"].dims == dataset["t2m"].dims == ("time", "latitude", "longitude")
    assert list(open_grib([path], variables=["2t", "t"]).data_vars) == ["t2m", "t"]
    assert dataset["t2m"].attrs["GRIB_heightAboveGround"] == 2
    assert dataset["u10"].attrs["GRIB_heightAboveGround"] == 10
    np.testing.assert_allclose(dataset["t2m"][0], values(4), atol=1e-3)


def test_steps_of_one_forecast_are_times(tmp_path):
    path = write(tmp_path / "steps.grib", *(field(step, dataTime=600, step=step) for step in (6, 12)))
    dataset = open_grib([path])
    np.testing.assert_array_equal(dataset["time"], np.array(["2020-01-01T12", "2020-01-01T18"], "M8[s]").astype(int))
    np.testing.assert_allclose(dataset["t"], [values(6), values(12)], atol=1e-3)


def test_one_step_of_several_forecasts_is_valid_later(tmp_path):
    path = write(tmp_path / "lead.grib", *(field(day, dataDate=20200101 + day, step=6) for day in (0, 1)))
    dataset = open_grib([path])
    np.testing.assert_array_equal(dataset["time"], np.array(["2020-01-01T06", "2020-01-02T06"], "M8[s]").astype(int))
    assert dataset["step"].item() == 6
    assert dataset["step"].attrs["units"] == "hours"


def test_times_and_steps_at_once_want_a_choice(tmp_path):
    path = write(
        tmp_path / "both.grib",
        *(field(day + step, dataDate=20200101 + day, step=step) for day in (0, 1) for step in (6, 12)),
    )
    with pytest.raises(InputError, match=r"both.grib: t has 2 reference times and 2 steps .*--select step=.*\(6, 12\)"):
        open_grib([path])
    chosen = open_grib([path], keys={"step": "12"})
    np.testing.assert_allclose(chosen["t"], [values(12), values(13)], atol=1e-3)
    with pytest.raises(InputError, match=r"no message has step=7; they have 6.0, 12.0"):
        open_grib([path], keys={"step": "7"})


def test_fields_that_do_not_fit_are_named_with_a_choice(tmp_path):
    path = write(
        tmp_path / "kinds.grib",
        field(1, level=500),
        field(2, level=850),
        field(3, 1, typeOfLevel="heightAboveGround", level=2),
        field(4, 1, typeOfLevel="heightAboveGround", level=10),
    )
    with pytest.raises(InputError) as caught:
        open_grib([path])
    assert "kinds.grib has fields of 2 kinds" in str(caught.value)
    assert "t on isobaricInhPa (2 of them), 1 times, 3 x 4" in str(caught.value)
    assert "t on heightAboveGround (2 of them), 1 times, 3 x 4" in str(caught.value)
    assert "choose one kind, the first with --select typeOfLevel=" in str(caught.value)
    chosen = open_grib([path], keys={"typeOfLevel": "heightAboveGround"})
    np.testing.assert_array_equal(chosen["heightAboveGround"], [2, 10])
    np.testing.assert_allclose(chosen["t"][0], [values(3), values(4)], atol=1e-3)


def test_variables_at_other_times_are_chosen_by_name(tmp_path):
    path = write(tmp_path / "times.grib", field(1), field(2, shortName="u"), field(3, shortName="u", dataDate=20200102))
    with pytest.raises(InputError, match=r"--variable [tu]"):
        open_grib([path])
    assert dict(open_grib([path], variables=["u"]).sizes) == {"time": 2, "latitude": 3, "longitude": 4}
    with pytest.raises(InputError, match=r"times.grib has no variable 'q'; it has t, u"):
        open_grib([path], variables=["q"])


def test_a_field_that_is_there_twice(tmp_path):
    same = write(tmp_path / "same.grib", field(1), field(1))
    np.testing.assert_allclose(open_grib([same])["t"][0], values(1), atol=1e-3)
    length = len(field(1))
    differing = write(tmp_path / "differing.grib", field(1), field(2))
    with pytest.raises(InputError, match=rf"two different fields of t .* at byte 0 .* and at byte {length} of"):
        open_grib([differing])


def test_absent_fields_are_named_or_nan(tmp_path):
    path = write(
        tmp_path / "hole.grib", field(1, level=500), field(2, level=850), field(3, level=500, dataDate=20200102)
    )
    with pytest.raises(InputError, match=r"t has 3 of the 4 fields .* time 2020-01-02T00:00:00, isobaricInhPa 850"):
        open_grib([path])
    dataset = open_grib([path], skip_bad=True)
    assert np.isnan(dataset["t"].sel(isobaricInhPa=850)[1]).all()
    np.testing.assert_allclose(dataset["t"].sel(isobaricInhPa=500)[1], values(3), atol=1e-3)
    assert "isobaricInhPa 850" in dataset.attrs["skipped"][0]


@pytest.mark.parametrize("edition", [1, 2])
def test_a_truncated_file(tmp_path, edition):
    good, cut = field(1, edition), field(2, edition, dataDate=20200102)[:-30]
    path = write(tmp_path / "cut.grib", good, cut)
    with pytest.raises(InputError) as caught:
        open_grib([path])
    assert "cut.grib has 1 good and 1 broken messages" in str(caught.value)
    assert f"at byte {len(good)} a message of {len(cut) + 30} bytes begins" in str(caught.value)
    assert f"the file ends {len(cut)} bytes behind it" in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    dataset = open_grib([path], skip_bad=True)
    np.testing.assert_allclose(dataset["t"], [values(1)], atol=1e-3)
    assert dataset.attrs["skipped"][0].startswith(f"cut.grib: at byte {len(good)} ")


def test_a_wrong_length_costs_one_message(tmp_path):
    wrong = bytearray(field(2, dataDate=20200102))
    wrong[4:7] = (len(wrong) + 40).to_bytes(3, "big")
    path = write(tmp_path / "wrong.grib", field(1), bytes(wrong), field(3, dataDate=20200103))
    found, broken = scan(path)
    assert [message.offset for message in found] == [0, 2 * len(wrong)]
    assert [message.offset for message in broken] == [len(wrong)]
    dataset = open_grib([path], skip_bad=True)
    np.testing.assert_allclose(dataset["t"], [values(1), values(3)], atol=1e-3)


def test_padding_is_no_message_and_garbage_is_a_broken_one(tmp_path):
    padded = write(tmp_path / "padded.grib", field(1) + b"\0" * 4000, b"TTAA01 ECMF 010000\r\r\n" + field(1))
    assert scan(padded)[1] == []
    garbage = write(tmp_path / "garbage.grib", field(1), b"\x17" * 2000)
    assert [(one.offset, one.why) for one in scan(garbage)[1]] == [(len(field(1)), "2000 bytes belong to no message")]


@pytest.mark.parametrize("content", [b"", b"GRIB", b"no such thing" * 100])
def test_nothing_that_can_be_read(tmp_path, content):
    path = write(tmp_path / "none.grib", content)
    with pytest.raises(InputError, match=r"none.grib .*fetch it again"):
        open_grib([path])


def test_a_compressed_file_is_to_be_unpacked(tmp_path):
    path = write(tmp_path / "packed.grib.gz", gzip.compress(field(1)))
    with pytest.raises(InputError, match=r"packed.grib.gz is compressed by gzip.*unpack it with gunzip"):
        open_grib([path])


def test_a_large_message_of_edition_1(tmp_path):
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    keys = {"Ni": 3600, "Nj": 1801, "iDirectionIncrementInDegrees": 0.1, "jDirectionIncrementInDegrees": 0.1}
    keys |= {"longitudeOfLastGridPointInDegrees": 359.9, "shortName": "2t", "bitsPerValue": 16}
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.linspace(200, 300, 3600 * 1801))
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    assert len(message) > 12e6
    path = write(tmp_path / "large.grib", message, message)
    found, broken = scan(path)
    assert [(one.offset, one.length) for one in found] == [(0, len(message)), (len(message), len(message))]
    assert not broken


def test_fields_in_one_message(tmp_path):
    eccodes.codes_grib_multi_support_on()
    handle = eccodes.codes_grib_multi_new()
    for number, name in enumerate("uv"):
        part = eccodes.codes_new_from_message(field(number, 2, shortName=name))
        eccodes.codes_grib_multi_append(part, 0 if number == 0 else 4, handle)
        eccodes.codes_release(part)
    path = tmp_path / "multi.grib"
    with path.open("wb") as file:
        eccodes.codes_grib_multi_write(handle, file)
    eccodes.codes_grib_multi_release(handle)
    eccodes.codes_grib_multi_support_off()
    assert [message.fields for message in scan(path)[0]] == [2]
    dataset = open_grib([path])
    np.testing.assert_allclose(dataset["u"][0], values(0), atol=1e-3)
    np.testing.assert_allclose(dataset["v"][0], values(1), atol=1e-3)


def test_a_message_with_a_grid_that_is_none_is_broken(tmp_path):
    wrong = bytearray(field(2, dataDate=20200102))
    kind = 8 + int.from_bytes(wrong[8:11], "big") + 5  # of grid, in the section after the product's
    assert wrong[kind] == 0
    wrong[kind] = 200
    path = write(tmp_path / "grid.grib", field(1), bytes(wrong))
    with pytest.raises(InputError, match=rf"1 good and 1 broken messages: at byte {len(wrong)} .*gridType"):
        open_grib([path])
    np.testing.assert_allclose(open_grib([path], skip_bad=True)["t"], [values(1)], atol=1e-3)


def undecodable(number, **keys):
    """A message in JPEG whose numbers cannot be unpacked; all else of it is sound."""
    handle = eccodes.codes_new_from_message(field(number, 2, **keys))
    eccodes.codes_set(handle, "packingType", "grid_jpeg")
    message = bytearray(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    place = message.find(b"\xff\x4f\xff\x51")  # where a JPEG 2000 stream begins
    assert place > 0
    message[place : place + 20] = b"\xff" * 20
    return bytes(message)


def test_a_field_that_cannot_be_unpacked_is_listed(tmp_path):
    good = field(1, 2)
    path = write(tmp_path / "a.grib", good, undecodable(2, dataDate=20200102), field(3, 2, dataDate=20200103))
    with pytest.raises(InputError, match=rf"a\.grib: the message at byte {len(good)} cannot be unpacked: .*--skip-bad"):
        open_grib([path])["t"].load()
    dataset = open_grib([path], skip_bad=True)
    (told,) = dataset.attrs["skipped"]
    assert told.startswith(f"a.grib: the message at byte {len(good)} cannot be unpacked: ")
    assert told.endswith("(t, time 2020-01-02T00:00:00)")
    np.testing.assert_allclose(dataset["t"], [values(1), np.full((ROWS, COLUMNS), np.nan), values(3)], atol=1e-3)
    with pytest.raises(InputError, match="no field of t can be unpacked"):
        open_grib([write(tmp_path / "b.grib", undecodable(2))], skip_bad=True)


@pytest.fixture(scope="module")
def real():
    folder = Path(os.environ.get("CHRONOVOX_DATA", "")) / "grib"
    if not (folder / "era5-levels-members.grib").is_file():
        pytest.skip("CHRONOVOX_DATA names no folder with grib/era5-levels-members.grib")
    return folder


def test_real_members_are_those_of_netcdf(real, tmp_path):
    dataset = open_grib([real / "era5-levels-members.grib"])
    assert dict(dataset.sizes) == {"number": 10, "time": 4, "isobaricInhPa": 2, "latitude": 61, "longitude": 120}
    unpacked = tmp_path / "members.nc"
    with gzip.open(real / "era5-levels-members.nc.gz") as file:
        unpacked.write_bytes(file.read())
    with xr.open_dataset(unpacked, decode_times=False) as other:
        for name in ("z", "t"):
            limit = {"z": 2.0**-8, "t": 2.0**-16}[name]  # half a unit in float32's last place
            assert dataset[name].dims == other[name].dims
            assert np.abs(dataset[name].values - other[name].values).max() <= limit
        for axis in ("number", "isobaricInhPa", "latitude", "longitude"):
            np.testing.assert_array_equal(dataset[axis], other[axis])
    assert dataset["time"].values.tolist() == [1483228800 + 43200 * i for i in range(4)]


def test_real_corrupted_file(real):
    path = real / "era5-levels-corrupted.grib"
    with pytest.raises(InputError, match=r"corrupted.grib has 1 good and 1 broken messages: at byte 0 .* 1588 bytes"):
        open_grib([path])
    dataset = open_grib([path], skip_bad=True)
    whole = open_grib([real / "era5-levels-members.grib"])
    assert dataset["t"].shape == (1, 61, 120)
    assert dataset.attrs["skipped"][0].startswith("era5-levels-corrupted.grib: at byte 0 ")
    same = whole["t"].isel(number=0, isobaricInhPa=0, time=[0])
    np.testing.assert_array_equal(dataset["t"].values, same.values)
