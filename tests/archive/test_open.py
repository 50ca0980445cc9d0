"""Whatever is named as an archive, and whatever is asked of it: a volume, or one message that says what to mend."""

import os
import shutil
import socket

import av
import eccodes
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from pipeline.archive import Ask, kinds, locate, open_archive
from pipeline.archive.kinds import files_in
from pipeline.storage import store
from pipeline.volume import DATA, InputError
from tests.synthetic import blobs, stored
from workflows.cli import app, exit_code

NUMBERS = np.random.default_rng(0).integers(0, 200, (3, 8, 8)).astype(np.uint8)


def grid(path):
    blobs(4, 0).to_netcdf(path)
    return path


def grib(path):
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    path.write_bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)


def nifti(path):
    image = nibabel.Nifti1Image(NUMBERS.T[:, :, None].astype(np.int16), np.eye(4))
    image.header["pixdim"][4], image.header["xyzt_units"] = 2, 10
    nibabel.save(image, path)


def video(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 8, 8, "gray"
        for values in NUMBERS:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="gray")))
        container.mux(stream.encode(None))


MAKE = {
    "a.nc": grid,
    "a.grib": grib,
    "grid.zarr": lambda path: blobs(4, 0).to_zarr(path, consolidated=False),
    "own.zarr": lambda path: stored([grid(path.with_name("own.nc"))], path, Ask()),
    "array.zarr": lambda path: zarr.create_array(path, data=NUMBERS),
    "a.nii": nifti,
    "a.dcm": lambda path: shutil.copy(get_testdata_file("CT_small.dcm"), path),
    "a.mkv": video,
    "a.ome.tif": lambda path: tifffile.imwrite(path, NUMBERS, metadata={"axes": "TYX"}),
    "a.npy": lambda path: np.save(path, NUMBERS),
}
"""How a small archive of each format is made."""


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (Ask(), ""),
        (Ask(channels="files"), "channels|--channels files"),
        (Ask(channels="no-such"), "'no-such'"),
        (Ask(channels="variables"), "'variables'"),
        (Ask(time="no-such"), "'no-such'"),
        (Ask(time="no-such", channels="no-such"), "to be time and channels"),
        (Ask(("no-such",)), "no-such"),
        (Ask(select=(("no-such", "1"),)), "no-such"),
    ],
)
def test_what_an_archive_has_not_cannot_be_asked_of_it(name, ask, told, tmp_path):
    path = tmp_path / name
    MAKE[name](path)
    known = ask == Ask() or (ask.channels == "variables" and name in ("a.nc", "a.grib", "grid.zarr"))
    if known:
        assert open_archive([path], ask)[DATA].size
        return
    with pytest.raises(InputError, match=told):
        open_archive([path], ask)


def test_an_axis_of_one_place_is_no_channels(tmp_path):
    nifti(tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(NUMBERS, np.eye(4)), tmp_path / "b.nii")
    for file, axis in (("a.nii", "u"), ("b.nii", "t"), ("b.nii", "direction")):
        with pytest.raises(InputError, match=rf"of one place, is to be channels \(--channels {axis}\)"):
            open_archive([tmp_path / file], Ask(channels=axis))


def test_a_series_is_chosen_only_where_there_may_be_several(tmp_path):
    np.save(tmp_path / "a.npy", NUMBERS)
    with pytest.raises(InputError, match="no axis 'series'"):
        open_archive([tmp_path / "a.npy"], Ask(select=(("series", "1"),)))


def test_names_of_every_kind_are_read(tmp_path):
    for name in ("with space.nc", "ünï.nc", "new\nline.nc", "per%20cent#x?.nc", "no ending"):
        assert open_archive([locate(str(grid(tmp_path / name)), tmp_path)], Ask()).sizes["time"] == 4
    assert locate(f"file://{tmp_path}/with%20space.nc", tmp_path) == tmp_path / "with space.nc"


def test_a_source_that_is_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone.nc")
    for source, told in {
        "loop": "is a link to loop, which leads nowhere",
        "dangling": "is a link to gone.nc, which leads nowhere",
        "~nobody-at-all/a.nc": "cannot be looked for: Could not determine home",
        "x" * 300: "cannot be looked for: .*File name too long",
        "": "a source has no name",
        "absent.nc": r"absent\.nc: no file or folder /.*absent\.nc",
    }.items():
        with pytest.raises(InputError, match=told):
            locate(source, tmp_path)
    with pytest.raises(InputError, match="which leads nowhere"):
        open_archive([tmp_path / "loop"], Ask())


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(InputError, match=rf"{name} is no file but a socket, a pipe or a device"):
                open_archive([tmp_path / name], Ask())
    with pytest.raises(InputError, match="is no file but"):
        open_archive([kinds.Path("/dev/zero")], Ask())


def test_a_web_page_instead_of_a_file(tmp_path):
    (tmp_path / "a.nc").write_text("\n<!DOCTYPE html><html>404</html>")
    with pytest.raises(InputError, match=r"a\.nc is a web page, perhaps what a server says instead of a file; fetch"):
        open_archive([tmp_path / "a.nc"], Ask())


def test_the_same_twice(tmp_path):
    path = grid(tmp_path / "a.nc")
    (tmp_path / "b.nc").symlink_to(path)
    for sources, told in [
        ([path, path], r"a\.nc is given twice; name it once"),
        ([path, tmp_path / "b.nc"], r"b\.nc is given twice, as .*a\.nc as well"),
        ([tmp_path, path], "is given twice"),
        (["https://x/y.zarr", "https://x/y.zarr/"], "is given twice"),
    ]:
        with pytest.raises(InputError, match=told):
            open_archive(sources, Ask())


def test_a_folder_has_files_and_stores_and_nothing_hidden(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / ".trash").mkdir()
    grid(tmp_path / ".trash" / "old.nc")
    with pytest.raises(InputError, match="has 0 files"):
        files_in(tmp_path)
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "in" / "b.nc", tmp_path / "a.nc"):
        grid(path)
    MAKE["array.zarr"](tmp_path / "in" / "a.zarr")
    (tmp_path / "in" / "up").symlink_to("..")
    assert [str(path.relative_to(tmp_path)) for path in files_in(tmp_path)] == ["a.nc", "in/a.zarr", "in/b.nc"]
    (tmp_path / "in" / "c.nc").symlink_to("gone.nc")
    with pytest.raises(InputError, match=r"in/c\.nc is a link to gone\.nc, which leads nowhere"):
        files_in(tmp_path)


def test_what_may_not_be_read(tmp_path, monkeypatch):
    path = grid(tmp_path / "a.nc")
    original = os.scandir

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"a\.nc cannot be read: .*Permission denied"):
        open_archive([path], Ask())
    monkeypatch.undo()
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", lambda at: refuse(at) if str(at).endswith("closed") else original(at))
    with pytest.raises(InputError, match=r"closed cannot be read: .*Permission denied.*; allow it"):
        files_in(tmp_path)


def test_a_pair_of_header_and_image(tmp_path, recwarn):
    nibabel.save(nibabel.Nifti1Pair(NUMBERS.T.astype(np.int16), np.eye(4)), tmp_path / "a.hdr")
    header, image = tmp_path / "a.hdr", tmp_path / "a.img"
    for sources in ([header], [header, image], [tmp_path]):
        assert open_archive(sources, Ask()).sizes["width"] == 8
    assert not [one for one in recwarn if "no known format" in str(one.message)]
    with pytest.raises(InputError, match=r"a\.img holds the numbers of .*a\.hdr, which says what they are; name that"):
        open_archive([image], Ask())
    image.unlink()
    with pytest.raises(InputError, match=r"a\.img, the numbers of .*a\.hdr, cannot be read"):
        open_archive([header], Ask())


def test_a_place_where_nothing_can_be_written(tmp_path, monkeypatch):
    path = grid(tmp_path / "a.nc")
    done = CliRunner().invoke(app, ["ingest", str(path), str(path / "b.zarr")])
    assert exit_code(done.exception) == 2
    assert "a.nc is no folder" in str(done.exception)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "create_volumes", full)
    with pytest.raises(InputError, match=r"b\.zarr.* cannot be made: .*No space left on device"):
        stored([path], tmp_path / "b.zarr", Ask())
