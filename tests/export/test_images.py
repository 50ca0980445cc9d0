"""OME-Zarr and OME-TIFF: what they hold comes back through our readers and others', and what they cannot is told."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr

from pipeline.archive import Ask, open_archive
from pipeline.export import ome_zarr, tiff
from pipeline.volume import DATA, InputError
from tests.export.stores import exported, volume, written

NAMES = ["DNA", "actin"]


def shifted(**more):
    """Two channels that begin at 6 s; micrometres."""
    data = volume((5, 2, 3, 6, 7), np.uint16, NAMES)
    data = data.assign_coords(time=("time", 6 + 2.0 * np.arange(5), {"units": "s"}), **more)
    for axis in "zyx":
        data[axis].attrs["units"] = "um"
    return data


def check_coordinates(found, expected, names=("time", "z", "y", "x")):
    for name in names:
        np.testing.assert_allclose(found[name].values, expected[name].values, rtol=1e-12, atol=1e-12)
        assert found[name].attrs.get("units") == expected[name].attrs.get("units")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_ome_zarr_comes_back_with_its_coordinates(tmp_path, dtype):
    data = shifted()
    data[DATA] = data[DATA].astype(dtype)
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.ome.zarr")
    assert len(lines) == 1  # nothing is lost
    found = open_archive([tmp_path / "a.ome.zarr"], Ask())
    assert found[DATA].dtype == dtype
    np.testing.assert_array_equal(found[DATA], data[DATA])
    assert found["channel"].values.tolist() == NAMES
    check_coordinates(found, data)


def test_ome_zarr_is_written_by_the_rules_of_its_specification(tmp_path):
    """The rules of 0.5's schema for images: https://ngff.openmicroscopy.org/0.5/#image-layout"""
    data = shifted()
    data[DATA] = data[DATA].astype(np.float32).where(data[DATA] != data[DATA].max())
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.ome.zarr")
    document = json.loads((tmp_path / "a.ome.zarr" / "zarr.json").read_text())
    assert (document["zarr_format"], document["node_type"]) == (3, "group")
    ome = document["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (scales,) = ome["multiscales"]
    assert [(a["name"], a["type"], a.get("unit")) for a in scales["axes"]] == [
        ("t", "time", "second"),
        ("c", "channel", None),
        ("z", "space", "micrometer"),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    (level,) = scales["datasets"]
    scale, translation = level["coordinateTransformations"]  # one scale, then at most one translation
    assert scale == {"type": "scale", "scale": [2.0, 1.0, 3.0, -2.0, 0.5]}
    assert translation == {"type": "translation", "translation": [6.0, 0.0, 10.0, 0.0, 0.0]}
    for number, channel in enumerate(ome["omero"]["channels"]):
        own = data[DATA][:, number]
        assert set(channel["window"]) == {"min", "max", "start", "end"}
        assert (channel["window"]["start"], channel["window"]["end"]) == (own.min(), own.max())
        assert len(channel["color"]) == 6
        int(channel["color"], 16)
    array = zarr.open_array(tmp_path / "a.ome.zarr" / level["path"], mode="r")
    assert array.metadata.dimension_names == ("t", "c", "z", "y", "x")
    assert array.shape == (5, 2, 3, 6, 7)


def test_ome_zarr_tells_what_it_loses_of_grids(tmp_path):
    times = xr.date_range("2000-01-01", periods=5, freq="D", use_cftime=True)
    data = shifted().drop_vars(["z", "y", "x"]).assign_coords(
        time=times,
        level=("depth", [1000.0, 500.0, 300.0], {"units": "hPa"}),
        latitude=("height", np.linspace(50, 40, 6), {"units": "degrees_north"}),
        longitude=("width", np.arange(7) * 1.5, {"units": "degrees_east"}),
    )  # fmt: skip
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.ome.zarr")
    assert lines[1:] == [
        "dates are not kept: times are seconds since the first frame",
        "the unit of level (hPa) is not kept",
        "level is not even: the mean step of -350 hPa is written",
        "the unit of latitude (degrees_north) is not kept",
        "the unit of longitude (degrees_east) is not kept",
    ]
    found = open_archive([tmp_path / "a.ome.zarr"], Ask())
    np.testing.assert_allclose(found["y"], data["latitude"])
    assert found["y"].attrs == {}
    np.testing.assert_array_equal(found["time"], np.arange(5) * 86400.0)


def test_chunks_are_tiles_of_large_images_and_runs_of_small_ones():
    assert ome_zarr._chunks((10, 3, 1, 4000, 5000), 2) == (1, 1, 1, 1024, 1024)
    assert ome_zarr._chunks((10, 3, 300, 512, 512), 2) == (1, 1, 8, 512, 512)
    assert ome_zarr._chunks((1000, 1, 1, 64, 64), 2) == (32, 1, 1, 64, 64)
    assert ome_zarr._chunks((3, 1, 1, 64, 64), 2) == (3, 1, 1, 64, 64)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64])
def test_ome_tiff_comes_back(tmp_path, dtype):
    data = shifted()
    data[DATA] = data[DATA].astype(dtype)
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.ome.tif")
    found = open_archive([tmp_path / "a.ome.tif"], Ask())
    assert found[DATA].dtype == dtype
    np.testing.assert_array_equal(found[DATA], data[DATA])
    assert found["channel"].values.tolist() == NAMES
    check_coordinates(found, data, ["time", "x"])  # z and y do not begin at 0, or run the other way
    np.testing.assert_array_equal(np.diff(found["z"]), 3.0)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert (file.is_ome, file.is_bigtiff) == (True, False)
        assert file.series[0].axes == "TCZYX"


def test_ome_tiff_tells_times_sizes_and_names_as_ome_xml(tmp_path):
    data = volume((5, 2, 3, 6, 7), np.uint16, NAMES, z=1)
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.tif")
    assert lines[1:] == [
        "of z the size of a voxel is kept, not where it begins and runs to",
        "of y the size of a voxel is kept, not where it begins and runs to",
    ]
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
    said = {name: pixels.get(name) for name in ("PhysicalSizeX", "PhysicalSizeXUnit", "PhysicalSizeZ", "TimeIncrement")}
    assert said == {"PhysicalSizeX": "0.5", "PhysicalSizeXUnit": "mm", "PhysicalSizeZ": "3.0", "TimeIncrement": "2.0"}
    assert [channel.get("Name") for channel in pixels.findall("{*}Channel")] == NAMES
    assert pixels.findall("{*}Plane") == []


def test_uneven_times_are_told_for_each_plane(tmp_path):
    data = volume((4, 2, 3, 6, 7), np.uint8).assign_coords(time=("time", [0.0, 1.0, 5.0, 6.5], {"units": "s"}))
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.tif")
    assert open_archive([tmp_path / "a.tif"], Ask())["time"].values.tolist() == [0, 1, 5, 6.5]


def test_a_large_tiff_is_bigtiff_and_integers_of_64_bits_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.zarr", alone=shifted())
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", 5 * 2 * 3 * 6 * 7 * 2)
    exported(path, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
    wide = written(tmp_path / "b.zarr", alone=volume(dtype=np.int64))
    with pytest.raises(InputError, match=r"holds int64, and OME-TIFF has int8, .*; write NetCDF, NIfTI or OME-Zarr"):
        exported(wide, tmp_path / "b.tif")
    assert not (tmp_path / "b.tif").exists()


def test_the_affine_that_images_cannot_hold_is_told(tmp_path):
    path = written(tmp_path / "a.zarr", alone=volume(affine=np.eye(4).tolist()))
    for ending in ("tif", "ome.zarr"):
        assert any("the affine is not kept" in line for line in exported(path, tmp_path / f"a.{ending}"))
