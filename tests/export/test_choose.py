"""Which format, which series, which part; what is refused, and what is left behind then: nothing."""

import importlib
import os

import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline.export import FORMATS, Wish, export
from pipeline.export.source import Source, open_source
from pipeline.storage import arrays
from pipeline.volume import DATA, InputError
from tests.export.stores import exported, volume, written

ENDINGS = [ending for endings in FORMATS.values() for ending in endings]


@pytest.fixture
def movie(tmp_path):
    """A store that every format can hold."""
    return written(tmp_path / "in.zarr", alone=volume((6, 1, 1, 5, 4), np.uint8))


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", [*ENDINGS, ".ome.tif", ".NC"])
def test_the_ending_says_the_format_and_a_file_appears_whole(tmp_path, movie, ending):
    lines = exported(movie, tmp_path / f"out{ending}")
    assert left(tmp_path) == ["in.zarr", f"out{ending}"]
    assert lines[0].startswith(f"{tmp_path / f'out{ending}'}: time 6, channel 1, depth 1, height 5, width 4;")


@pytest.mark.parametrize("name", ["out", "out.txt", "out.zarr", "nc"])
def test_an_unknown_ending_is_refused_unless_the_format_is_named(tmp_path, movie, name):
    with pytest.raises(InputError, match=rf"{name} ends in none of \.nc, \.nii, .*\.mp4; rename it, or .*--format nc"):
        exported(movie, tmp_path / name)
    export(movie, tmp_path / name, Wish(), kind="nc")
    assert xr.open_dataset(tmp_path / name, engine="netcdf4").sizes["time"] == 6


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_there_is_replaced_only_if_that_is_wished(tmp_path, movie, ending):
    place = tmp_path / f"out{ending}"
    exported(movie, place)
    with pytest.raises(InputError, match=r"is there already; choose another name, or replace it \(--overwrite\)"):
        exported(movie, place)
    lines = export(movie, place, Wish(select=(("time", "0:3"),)), overwrite=True)
    assert "time 2," in lines[0]
    assert left(tmp_path) == ["in.zarr", place.name]


def test_a_folder_and_the_store_itself_are_not_replaced(tmp_path, movie):
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "folder.ome.zarr").mkdir()
    for name in ("folder.nc", "folder.ome.zarr"):
        with pytest.raises(InputError, match="is a folder, which .* does not replace"):
            export(movie, tmp_path / name, Wish(), overwrite=True)
    image = written(tmp_path / "self.ome.zarr", alone=volume())
    for place in (image, image / "inside.nc"):
        with pytest.raises(InputError, match="lies in the store"):
            export(image, place, Wish(), kind="ome.zarr", overwrite=True)


def test_a_series_is_taken_where_there_is_one_and_named_where_there_are_several(tmp_path):
    one = written(tmp_path / "one.zarr", e1=volume(seed=1))
    two = written(tmp_path / "two.zarr", e1=volume(seed=1), a1b=volume(seed=2))
    exported(one, tmp_path / "one.nc")
    exported(two, tmp_path / "two.nc", series="a1b")
    for name, seed in (("one.nc", 1), ("two.nc", 2)):
        found = xr.open_dataset(tmp_path / name)["channel_0"]
        np.testing.assert_array_equal(found, volume(seed=seed)[DATA][:, 0])
    with pytest.raises(InputError, match=r"no series is named; name one of a1b, e1 \(--series\)"):
        exported(two, tmp_path / "x.nc")
    with pytest.raises(InputError, match="there is no series 'e2'; name one of a1b, e1"):
        exported(two, tmp_path / "x.nc", series="e2")
    with pytest.raises(InputError, match="holds one volume, without a name"):
        exported(written(tmp_path / "alone.zarr", alone=volume()), tmp_path / "x.nc", series="e1")


def test_groups_that_are_no_volumes_do_not_count(tmp_path):
    path = written(tmp_path / "a.zarr", alone=volume())
    arrays.make_groups(path / "carry", ["channels-0000"])
    assert exported(path, tmp_path / "a.nc")


def test_channel_and_select_take_parts(tmp_path):
    data = volume((6, 2, 2, 5, 4), channels=["one", "two"])
    path = written(tmp_path / "a.zarr", alone=data)
    exported(path, tmp_path / "a.nc", channel="two", select=(("time", "4:8"), ("z", "13"), ("y", "-4:-2")))
    found = xr.open_dataset(tmp_path / "a.nc")["two"]
    np.testing.assert_array_equal(found, data[DATA][2:5, 1, 1:, 1:3])
    assert found["time"].values.tolist() == [4, 6, 8]
    with pytest.raises(InputError, match="channel has no 'three'; it has one, two"):
        exported(path, tmp_path / "b.nc", channel="three")
    with pytest.raises(InputError, match="no axis 'level'"):
        exported(path, tmp_path / "b.nc", select=(("level", "500"),))
    assert left(tmp_path) == ["a.nc", "a.zarr"]


def test_what_is_no_store_of_volumes(tmp_path):
    with pytest.raises(InputError, match="is no Zarr store of Chronovox"):
        exported(tmp_path / "nowhere.zarr", tmp_path / "a.nc")
    zarr.create_group(tmp_path / "empty.zarr")
    with pytest.raises(InputError, match=r"empty\.zarr holds no array 'data' with the axes time, channel, depth"):
        exported(tmp_path / "empty.zarr", tmp_path / "a.nc")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_store_is_told_and_leaves_nothing(tmp_path, ending):
    path = written(tmp_path / "in.zarr", chunk=1, alone=volume((6, 1, 1, 5, 4), np.uint8))
    chunk = path / "data" / "c" / "4" / "0" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:5])
    with pytest.raises(InputError, match=r"in\.zarr cannot be read in frames 0 to 5: .*; compute it again"):
        exported(path, tmp_path / f"out{ending}")
    assert left(tmp_path) == ["in.zarr"]


def test_a_kill_on_the_way_leaves_what_was_there(tmp_path, movie, monkeypatch):
    exported(movie, tmp_path / "out.nii")
    before = (tmp_path / "out.nii").read_bytes()
    monkeypatch.setattr("pipeline.export.source.Source.read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        export(movie, tmp_path / "out.nii", Wish(), overwrite=True)
    assert (tmp_path / "out.nii").read_bytes() == before
    assert left(tmp_path) == ["in.zarr", "out.nii"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_place_that_cannot_be_written(tmp_path, movie):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        exported(movie, tmp_path / "closed" / "out.nc")


def test_a_place_below_a_file_cannot_be_written(tmp_path, movie):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        exported(movie, tmp_path / "file" / "out.nii")


@pytest.mark.parametrize(
    ("ending", "library", "extra"),
    [("nii", "nibabel", "medical"), ("mp4", "av", "video"), ("tif", "tifffile", "microscopy")],
)
def test_a_missing_library_names_its_extra(tmp_path, movie, monkeypatch, ending, library, extra):
    def missing(*_):
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=rf"{library} is missing; pip install 'chronovox\[{extra}\]'"):
        exported(movie, tmp_path / f"out.{ending}")


def test_frames_are_read_some_at_a_time(tmp_path, monkeypatch):
    path = written(tmp_path / "a.zarr", chunk=3, alone=volume((20, 1, 1, 5, 4)))
    monkeypatch.setattr("pipeline.export.source.BLOCK_BYTES", 6 * 40)
    spans, original = [], Source.read

    def read(self, start, stop):
        spans.append((start, stop))
        return original(self, start, stop)

    monkeypatch.setattr(Source, "read", read)
    source = open_source(path, Wish())
    assert np.array_equal(np.concatenate([frames for _, frames in source.blocks()]), volume((20, 1, 1, 5, 4))[DATA])
    assert spans == [(0, 6), (6, 12), (12, 18), (18, 20)]
    spans.clear()
    for ending in ("nc", "nii", "ome.zarr", "tif"):
        exported(path, tmp_path / f"a.{ending}")
    assert max(stop - start for start, stop in spans) <= 20  # OME-Zarr has chunks of its own
    assert spans.count((0, 6)) == 3


def test_little_of_each_chunk_is_still_read_chunk_by_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.export.source.BLOCK_BYTES", 6 * 40 * 16)
    path = written(tmp_path / "a.zarr", chunk=3, alone=volume((20, 1, 16, 5, 4)))
    assert open_source(path, Wish()).together() == 6
    assert open_source(path, Wish(select=(("depth", "3"),))).together() == 6
