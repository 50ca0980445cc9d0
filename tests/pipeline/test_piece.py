"""A piece of a series is the frames that were asked for, wherever they lie; a mistake says what there is."""

import numpy as np
import pytest
import xarray as xr

from pipeline.archive import Ask, open_archive
from pipeline.piece import FRAMES, find_store, read_piece
from pipeline.storage import arrays, store
from pipeline.volume import InputError
from tests.synthetic import blobs, write_untrained
from tests.written import write_volume


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_untrained(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("path", ["raw-0/raw.zarr", "raw-0", "blobs.nc"])
def test_the_same_frames_from_a_store_its_folder_and_its_file(run, path):
    piece = read_piece(run / path, start=3, frames=5, crop=(4, 7))
    expected = blobs(40, 0)["warmth"].values[3:8, None, 2:6, 2:9]
    np.testing.assert_array_equal(piece.frames, expected)
    assert piece.boundary == ("reflect", "reflect")
    assert not piece.normalised
    assert piece.extent == "frames 3 to 7 of 40, 1 channel, 4 x 7 voxels, the middle of 9 x 12"
    assert piece.days.tolist() == [1.0] * 5


def test_a_prepared_series_from_its_run(run):
    piece = read_piece(run, series="b")
    frames = store.read_frames(run / "prepared-0" / "prepared.zarr", "b", 0, FRAMES)
    np.testing.assert_array_equal(piece.frames, frames[:, :, 0])
    assert piece.normalised
    assert piece.extent == "frames 0 to 35 of 40, 1 channel, 9 x 12 voxels"


def test_a_short_series_is_read_whole_and_a_closed_longitude_is_periodic(tmp_path):
    data = blobs(9, 0).assign_coords(lon=("lon", np.arange(12) * 30.0, {"units": "degrees_east"}))
    data.isel(time=[0, 1, 3, 4, 8]).to_netcdf(tmp_path / "a.nc")
    piece = read_piece(tmp_path / "a.nc")
    assert piece.frames.shape == (5, 1, 9, 12)
    assert piece.boundary == ("reflect", "periodic")
    assert piece.days.tolist() == [1, 1, 2, 1, 4]  # nothing is before the first: it takes the step of the second


def test_runs_and_seconds(tmp_path):
    """A piece that crosses borders of runs knows where; what lies between two runs is no step of time."""
    volume = xr.Dataset(
        {"data": (("time", "channel", "depth", "height", "width"), np.ones((6, 1, 1, 3, 4), np.float32))},
        {
            "time": ("time", [0.0, 43200, 129600, 7e6, 8e6, 8e6 + 86400], {"units": "s"}),
            "run": ("time", [4, 4, 4, 5, 2, 2]),
        },
    )
    volume.to_zarr(tmp_path / "raw.zarr", consolidated=False)
    piece = read_piece(tmp_path / "raw.zarr")
    assert piece.begins == (3, 4)
    assert piece.days.tolist() == [0.5, 0.5, 1.0, np.inf, np.inf, 1.0]
    later = read_piece(tmp_path / "raw.zarr", start=3)
    assert later.begins == (1,)
    assert later.days.tolist() == [1.0, np.inf, 1.0]
    assert read_piece(tmp_path / "raw.zarr", frames=3).begins == ()
    del volume["time"].attrs["units"]
    volume.drop_vars("run").to_zarr(tmp_path / "plain.zarr", consolidated=False)
    plain = read_piece(tmp_path / "plain.zarr")
    assert plain.days is None
    assert plain.begins == ()


def test_volumes_keep_their_depth(tmp_path):
    data = np.random.default_rng(0).normal(size=(4, 2, 3, 4, 5)).astype(np.float32)
    times = xr.date_range("2000-01-01", periods=4, use_cftime=True)
    volume = xr.Dataset({"data": (("time", "channel", "depth", "height", "width"), data)}, {"time": times})
    write_volume({None: volume}, tmp_path / "raw.zarr", {None: 2})
    piece = read_piece(tmp_path / "raw.zarr", crop=(3,))
    np.testing.assert_array_equal(piece.frames, data[:, :, :, :3, 1:4])
    assert piece.boundary == ("reflect",) * 3


MISTAKES = [
    ({"frames": 41}, "has 40 frames and 41 are asked for from frame 0 on; ask for 2 to 40 frames"),
    ({"start": 39}, "has 40 frames and 2 are asked for from frame 39 on"),
    ({"start": 99}, "has 40 frames and 2 are asked for from frame 99 on"),
    ({"crop": (3, 3, 3)}, "crop 3,3,3 of a grid of 9 x 12 voxels; give one number from 1 on, or 2"),
    ({"crop": (0,)}, "crop 0 of a grid of 9 x 12"),
    ({"series": None}, "no series is named; it has a, b"),
    ({"series": "c"}, "there is no series 'c'; it has a, b"),
    ({"variable": "warmth"}, "a store has series; leave the variable out"),
]


@pytest.mark.parametrize(("wrong", "message"), MISTAKES)
def test_mistakes_are_explained(run, wrong, message):
    with pytest.raises(InputError, match=message):
        read_piece(run, **{"series": "a", **wrong})


def test_what_is_no_data_is_explained(run, tmp_path):
    with pytest.raises(InputError, match="no file or folder .*/nothing"):
        read_piece(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"is no Zarr store, .* has a prepared.zarr or raw.zarr or"):
        read_piece(tmp_path)
    with pytest.raises(InputError, match="there is no series 'a'; it has one, without a name"):
        read_piece(run / "raw-0", series="a")
    with pytest.raises(InputError, match="a file has variables"):
        read_piece(run / "blobs.nc", series="a")
    with pytest.raises(InputError, match="holds no array 'data' with the axes time, channel, depth, height, width"):
        read_piece(run / "model-0" / "checkpoint.zarr")
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a Zarr store"):
        read_piece(tmp_path)


def test_missing_values_are_counted(tmp_path):
    gaps = blobs(6, 0)
    gaps["warmth"][3, 2, 2] = np.nan
    gaps.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="has 1 missing values of 648 in this piece; choose complete frames"):
        read_piece(tmp_path / "a.nc")
    assert len(read_piece(tmp_path / "a.nc", frames=3).frames) == 3


def test_a_variable_is_named_where_there_is_a_choice(tmp_path):
    both = blobs(3, 0)
    both = both.assign(cold=-both["warmth"], height=((), 2.0))
    both.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(
        InputError, match="2 variables of three axes or more, and none is named; name one of warmth, cold"
    ):
        open_archive([tmp_path / "a.nc"], Ask())
    both.drop_vars("cold").to_netcdf(tmp_path / "b.nc")
    assert open_archive([tmp_path / "b.nc"], Ask())["channel"].values.tolist() == ["warmth"]


def test_one_store_or_none(run, tmp_path):
    assert find_store(run, "checkpoint.zarr") == run / "model-0" / "checkpoint.zarr"
    for name in ("model-1", "model-2"):
        arrays.write_arrays(tmp_path / name / "checkpoint.zarr", {}, {})
    with pytest.raises(InputError, match=r"has 2 stores checkpoint.zarr; give one of .*/model-1/.*, .*/model-2/"):
        find_store(tmp_path, "checkpoint.zarr")
