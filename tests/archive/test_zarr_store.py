"""Zarr stores written by others: grids by xarray, images as OME-Zarr, single arrays; in folders and over HTTP."""

import functools
import http.server
import threading
import warnings

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline.archive import zarr_store
from pipeline.archive.ask import Ask
from pipeline.archive.zarr_store import is_ome_zarr, open_ome_zarr, open_zarr
from pipeline.volume import AXES, DATA, InputError
from tests.written import write_volume

NUMBERS = np.arange(5 * 3 * 4, dtype=np.float32).reshape(5, 3, 4)


@pytest.fixture
def grid():
    """Five times, three latitudes, four longitudes; packed with a fill value, which is at the first place."""
    numbers = NUMBERS / 2
    numbers[0, 0, 0] = np.nan
    dataset = xr.Dataset(
        {"t": (("time", "lat", "lon"), numbers, {"units": "K"})},
        {
            "time": ("time", np.arange(5) * 6, {"units": "hours since 2000-01-01", "calendar": "noleap"}),
            "lat": ("lat", [10.0, 0.0, -10.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 90.0, 180.0, 270.0], {"units": "degrees_east"}),
        },
    )
    dataset["t"].encoding = {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -999, "chunks": (2, 3, 4)}
    return dataset


def write(dataset, path, zarr_format, consolidated):
    with warnings.catch_warnings():  # format 3 does not have consolidated metadata yet, but writers do
        warnings.simplefilter("ignore")
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=consolidated)
    return path


def check_grid(dataset):
    expected = NUMBERS / 2
    expected[0, 0, 0] = np.nan
    assert dataset["t"].dims == ("time", "lat", "lon")
    assert dataset["t"].chunks == ((2, 2, 1), (3,), (4,))
    np.testing.assert_array_equal(dataset["t"], expected)
    assert dataset["time"].attrs == {"units": "hours since 2000-01-01", "calendar": "noleap"}
    np.testing.assert_array_equal(dataset["time"], [0, 6, 12, 18, 24])
    assert dataset["lat"].attrs["units"] == "degrees_north"
    np.testing.assert_array_equal(dataset["lon"], [0, 90, 180, 270])


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_grid_by_xarray(tmp_path, grid, zarr_format, consolidated):
    path = write(grid, tmp_path / "grid.zarr", zarr_format, consolidated)
    check_grid(open_zarr(path))
    assert not is_ome_zarr(path)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 3, 4, 5, 6), (2, 3, 4, 5, 6)), ((2, 4, 5, 6), (2, 1, 4, 5, 6)), ((2, 5, 6), (2, 1, 1, 5, 6))],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_single_array(tmp_path, shape, expected, zarr_format):
    numbers = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    zarr.create_array(tmp_path / "a.zarr", data=numbers, chunks=(1, *shape[1:]), zarr_format=zarr_format)
    volume = open_zarr(tmp_path / "a.zarr")
    assert volume[DATA].dims == AXES
    assert volume[DATA].dtype == np.uint16
    assert volume[DATA].chunks[0] == (1, 1)
    np.testing.assert_array_equal(volume[DATA], numbers.reshape(expected))
    assert volume["channel"].values.tolist() == [f"channel {number}" for number in range(expected[1])]
    np.testing.assert_array_equal(volume["time"], [0, 1])


def test_a_single_array_that_names_its_axes(tmp_path):
    numbers = np.arange(24.0).reshape(2, 3, 4)
    zarr.create_array(tmp_path / "a.zarr", data=numbers, dimension_names=["height", "width", "time"])
    np.testing.assert_array_equal(open_zarr(tmp_path / "a.zarr")[DATA][:, 0, 0], numbers.transpose(2, 0, 1))


def test_a_store_of_chronovox_is_a_volume_already(tmp_path):
    times = xr.date_range("2000-01-01", periods=5, calendar="360_day", use_cftime=True)
    volume = xr.Dataset(
        {DATA: (AXES, dask.array.from_array(NUMBERS[:, None, None]))},
        {"time": times, "channel": np.array(["t"], object)},
    )
    write_volume({None: volume}, tmp_path / "raw.zarr", {None: 2})
    opened = open_zarr(tmp_path / "raw.zarr")
    np.testing.assert_array_equal(opened[DATA], volume[DATA])
    assert opened["time"].values[4] == times[4]
    assert opened["channel"].values.tolist() == ["t"]


def image(path, axes, shape, zarr_format=3, dataset=(), whole=(), omero=None, version="0.5"):
    """An image of OME-Zarr with two levels, whose finest one counts from 0."""
    numbers = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    scales = {
        "axes": axes,
        "datasets": [
            {"path": "0", "coordinateTransformations": list(dataset)},
            {"path": "1", "coordinateTransformations": list(dataset)},
        ],
    }
    if whole:
        scales["coordinateTransformations"] = list(whole)
    ome = {"multiscales": [scales]} | ({"omero": omero} if omero else {})
    if zarr_format == 2:
        scales["version"] = version
    group = zarr.create_group(
        path, zarr_format=zarr_format, attributes={"ome": {"version": version} | ome} if zarr_format == 3 else ome
    )
    group.create_array("0", data=numbers, chunks=(1, *shape[1:]))
    group.create_array("1", data=numbers[..., ::2, ::2])
    return numbers


def axis(name, unit=None):
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


@pytest.mark.parametrize(("zarr_format", "version"), [(2, "0.4"), (3, "0.5")])
def test_an_image_is_a_volume(tmp_path, zarr_format, version):
    path = tmp_path / "image.zarr"
    um = "micrometer"
    numbers = image(
        path,
        [axis("t", "minute"), axis("c"), axis("z", um), axis("y", um), axis("x", "nanometer")],
        (3, 2, 2, 4, 6),
        zarr_format,
        dataset=[
            {"type": "scale", "scale": [1, 1, 2, 0.5, 250]},
            {"type": "translation", "translation": [0, 0, 10, 0, 0]},
        ],
        whole=[{"type": "scale", "scale": [2.5, 1, 1, 1, 1]}],
        omero={"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
        version=version,
    )
    assert is_ome_zarr(path)
    volume = open_ome_zarr(path, Ask())
    assert volume[DATA].dims == AXES
    assert volume[DATA].dtype == np.uint16
    assert volume[DATA].chunks[0] == (1, 1, 1)
    np.testing.assert_array_equal(volume[DATA], numbers)
    assert volume["channel"].values.tolist() == ["DAPI", "GFP"]
    np.testing.assert_array_equal(volume["time"], [0, 150, 300])
    assert volume["time"].attrs == {"units": "s"}
    np.testing.assert_array_equal(volume["z"], [10, 12])
    np.testing.assert_array_equal(volume["y"], [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(volume["x"], np.arange(6) * 0.25)
    assert [volume[name].dims for name in "zyx"] == [("depth",), ("height",), ("width",)]
    assert {volume[name].attrs["units"] for name in "zyx"} == {"um"}
    assert volume.attrs == {"source_format": f"OME-Zarr {version}"}
    write_volume({None: volume}, tmp_path / "raw.zarr", {None: 2})
    again = open_zarr(tmp_path / "raw.zarr")
    np.testing.assert_array_equal(again[DATA], numbers)
    assert again["channel"].values.tolist() == ["DAPI", "GFP"]


def test_axes_in_another_order_without_units(tmp_path):
    numbers = image(tmp_path / "i.zarr", [axis("c"), axis("t"), axis("y", "meter"), axis("x")], (2, 3, 4, 6))
    volume = open_ome_zarr(tmp_path / "i.zarr", Ask())
    np.testing.assert_array_equal(volume[DATA][:, :, 0], numbers.transpose(1, 0, 2, 3))
    assert volume["channel"].values.tolist() == ["channel 0", "channel 1"]
    np.testing.assert_array_equal(volume["time"], [0, 1, 2])
    assert not volume["time"].attrs
    np.testing.assert_array_equal(volume["y"], [0, 1000, 2000, 3000])
    assert volume["y"].attrs == {"units": "mm"}
    assert not volume["x"].attrs


def test_an_axis_may_be_named_as_time(tmp_path):
    numbers = image(tmp_path / "i.zarr", [axis("z", "micrometer"), axis("y"), axis("x")], (3, 4, 6))
    with pytest.raises(InputError, match=r"i.zarr has the axes z, y, x, and none is time; name one with --time"):
        open_ome_zarr(tmp_path / "i.zarr", Ask())
    volume = open_ome_zarr(tmp_path / "i.zarr", Ask(time="z"))
    np.testing.assert_array_equal(volume[DATA][:, 0, 0], numbers)
    np.testing.assert_array_equal(volume["time"], [0, 1, 2])
    with pytest.raises(InputError, match=r"i.zarr has no axis 'frame'; its axes are z, y, x"):
        open_ome_zarr(tmp_path / "i.zarr", Ask(time="frame"))


def test_images_whose_description_is_wrong(tmp_path):
    image(tmp_path / "few.zarr", [axis("t"), axis("y"), axis("x")], (3, 2, 4, 6))
    with pytest.raises(InputError, match=r"few.zarr names 3 axes \(t, y, x\), and its array '0' has 4"):
        open_ome_zarr(tmp_path / "few.zarr", Ask())
    zarr.create_group(tmp_path / "empty.zarr", attributes={"multiscales": []}, zarr_format=2)
    with pytest.raises(InputError, match=r"empty.zarr: its attribute `multiscales` is not as OME-Zarr wants it"):
        open_ome_zarr(tmp_path / "empty.zarr", Ask())
    image(tmp_path / "back.zarr", [axis("t", "second"), axis("y"), axis("x")], (3, 4, 6),
          dataset=[{"type": "scale", "scale": [0, 1, 1]}])  # fmt: skip
    with pytest.raises(InputError, match=r"a frame is 0 second after the one before"):
        open_ome_zarr(tmp_path / "back.zarr", Ask())
    image(tmp_path / "gone.zarr", [axis("t"), axis("y"), axis("x")], (3, 4, 6))
    del zarr.open_group(tmp_path / "gone.zarr")["0"]
    with pytest.raises(InputError, match=r"gone.zarr says that its finest level is '0', and has 1"):
        open_ome_zarr(tmp_path / "gone.zarr", Ask())


def test_plates_and_collections_name_their_images(tmp_path):
    plate = {"ome": {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}}
    zarr.create_group(tmp_path / "plate.zarr", attributes=plate)
    assert is_ome_zarr(tmp_path / "plate.zarr")
    with pytest.raises(InputError, match=r"name one: .*plate.zarr/A/1/0, .*plate.zarr/B/2/0"):
        open_ome_zarr(tmp_path / "plate.zarr", Ask())
    zarr.create_group(tmp_path / "many.zarr", attributes={"bioformats2raw.layout": 3}, zarr_format=2)
    image(tmp_path / "many.zarr" / "0", [axis("t"), axis("y"), axis("x")], (3, 4, 6), 2)
    with pytest.raises(InputError, match=r"name one: .*many.zarr/0$"):
        open_ome_zarr(tmp_path / "many.zarr", Ask())
    assert open_ome_zarr(tmp_path / "many.zarr" / "0", Ask()).sizes["time"] == 3


def test_what_is_no_store(tmp_path):
    with pytest.raises(InputError, match=r"absent.zarr has no Zarr group or array"):
        open_zarr(tmp_path / "absent.zarr")
    assert not is_ome_zarr(tmp_path / "absent.zarr")
    (tmp_path / "torn.zarr").mkdir()
    (tmp_path / "torn.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_ty')
    with pytest.raises(InputError, match=r"torn.zarr cannot be read as Zarr"):
        open_zarr(tmp_path / "torn.zarr")
    group = zarr.create_group(tmp_path / "groups.zarr")
    group.create_group("a").create_array("x", data=NUMBERS)
    with pytest.raises(InputError, match=r"is a Zarr group without arrays; name one of its groups: .*groups.zarr/a$"):
        open_zarr(tmp_path / "groups.zarr")
    with pytest.raises(InputError, match=r"axes of x have no names.*name one array, for instance .*groups.zarr/a/x"):
        open_zarr(tmp_path / "groups.zarr" / "a")
    np.testing.assert_array_equal(open_zarr(tmp_path / "groups.zarr" / "a" / "x")[DATA][:, 0, 0], NUMBERS)
    zarr.create_array(tmp_path / "flat.zarr", data=NUMBERS[0])
    with pytest.raises(InputError, match=r"flat.zarr is an array of 2 axes \(3, 4\); expected 5"):
        open_zarr(tmp_path / "flat.zarr")
    zarr.create_array(tmp_path / "none.zarr", shape=(0, 3, 4), dtype="f4")
    with pytest.raises(InputError, match=r"none.zarr has the shape \(0, 3, 4\)"):
        open_zarr(tmp_path / "none.zarr")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """The address at which the test's folder is served."""
    pytest.importorskip("aiohttp", reason="needs the extra remote")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize(("zarr_format", "consolidated"), [(2, True), (3, True), (3, False)])
def test_a_grid_over_http(tmp_path, grid, served, zarr_format, consolidated):
    write(grid, tmp_path / "grid.zarr", zarr_format, consolidated)
    check_grid(open_zarr(f"{served}/grid.zarr"))


def test_images_and_arrays_over_http(tmp_path, served):
    numbers = image(tmp_path / "image.zarr", [axis("t", "second"), axis("y"), axis("x")], (3, 4, 6))
    assert is_ome_zarr(f"{served}/image.zarr")
    volume = open_ome_zarr(f"{served}/image.zarr", Ask())
    np.testing.assert_array_equal(volume[DATA][:, 0, 0], numbers)
    zarr.create_array(tmp_path / "a.zarr", data=NUMBERS)
    np.testing.assert_array_equal(open_zarr(f"{served}/a.zarr")[DATA][:, 0, 0], NUMBERS)


def test_stores_that_cannot_be_reached(served):
    with pytest.raises(InputError, match=r"absent.zarr has no Zarr group or array"):
        open_zarr(f"{served}/absent.zarr")
    with pytest.raises(InputError, match=r"nowhere.zarr cannot be read as Zarr: "):
        open_zarr("http://127.0.0.1:1/nowhere.zarr")
    with pytest.raises(InputError, match=r"no-such-protocol://x.zarr cannot be read as Zarr: "):
        open_zarr("no-such-protocol://x.zarr")


def test_a_bucket_is_read_as_a_public_one_where_there_are_no_credentials(monkeypatch, tmp_path):
    pytest.importorskip("botocore", reason="needs the extra remote")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for keys, told in (({}, {"anon": True}), ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, {})):
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        zarr_store._is_anonymous.cache_clear()
        assert zarr_store._options("s3://bucket/a.zarr", None) == told
    zarr_store._is_anonymous.cache_clear()


@pytest.mark.parametrize(
    ("url", "packages"),
    [("gs://b/a.zarr", "'chronovox[remote]' gcsfs"), ("s3://b/a.zarr", "'chronovox[remote]'")],
)
def test_what_an_address_needs_is_named(url, packages, monkeypatch):
    def lacks(*_, **__):
        raise ImportError("no such package")

    monkeypatch.setattr(zarr, "open", lacks)
    monkeypatch.setattr(zarr_store, "_options", lambda *_: {})
    with pytest.raises(InputError) as caught:
        open_zarr(url)
    assert str(caught.value).endswith(f"pip install {packages}")
