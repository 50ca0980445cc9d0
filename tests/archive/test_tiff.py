"""TIFF: axes, channels, sizes and times from what the file says; values exact; what is lost is said."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pipeline.archive import assemble
from pipeline.archive.ask import Ask
from pipeline.archive.tiff import open_tiff
from pipeline.volume import InputError

PAGES = Ask(time="pages")
SKIP = Ask(skip_bad=True, time="pages")


def numbers(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def write(path, values, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(path, values, **options)
    return path


OME = {
    "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm",
    "PhysicalSizeZ": 2, "PhysicalSizeZUnit": "µm", "TimeIncrement": 1500, "TimeIncrementUnit": "ms",
    "Channel": {"Name": ["nuclei", "actin", "cells"]},
}  # fmt: skip


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CTZYX", "ZCTYX"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
def test_ome_axes_names_sizes_and_times(tmp_path, axes, compression):
    values = numbers(5, 3, 4, 16, 20)
    stored = values.transpose(*("TCZYX".index(axis) for axis in axes))
    path = write(tmp_path / "a.ome.tif", stored, ome=True, metadata={"axes": axes, **OME}, compression=compression)
    volume = open_tiff([path], Ask())
    assert volume["data"].dtype == np.uint16
    assert volume.attrs == {"source_format": "TIFF"}
    np.testing.assert_array_equal(volume["data"].values, values)
    assert list(volume["channel"].values) == ["nuclei", "actin", "cells"]
    for name, axis, size, unit in [("z", "depth", 2, "um"), ("y", "height", 250, "nm"), ("x", "width", 0.5, "um")]:
        assert volume[name].dims == (axis,)
        assert volume[name].attrs == {"units": unit}
        np.testing.assert_allclose(volume[name].values, np.arange(volume.sizes[axis]) * size)
    np.testing.assert_allclose(volume["time"].values, np.arange(5) * 1.5)
    assert volume["time"].attrs == {"units": "s"}


def test_any_run_holds_the_same_frames(tmp_path, monkeypatch):
    values = numbers(11, 2, 3, 8, 9)
    path = write(tmp_path / "a.ome.tif", values.swapaxes(0, 1), ome=True, metadata={"axes": "CTZYX"})
    monkeypatch.setattr(assemble, "READ_BYTES", 2 * 2 * 3 * 8 * 9 * 2)
    data = open_tiff([path], Ask())["data"]
    assert data.chunks[0] == (2, 2, 2, 2, 2, 1)
    for start, stop in [(9, 11), (0, 1), (3, 8), (0, 11)]:
        np.testing.assert_array_equal(data[start:stop].values, values[start:stop])


def test_times_of_single_planes(tmp_path):
    planes = {"DeltaT": [0.0, 2.0, 5.0], "DeltaTUnit": ["s"] * 3}
    path = write(tmp_path / "a.ome.tif", numbers(3, 8, 9), ome=True, metadata={"axes": "TYX", "Plane": planes})
    volume = open_tiff([path], Ask())
    assert volume["time"].values.tolist() == [0, 2, 5]
    assert volume["time"].attrs == {"units": "s"}


def test_imagej_hyperstack(tmp_path):
    values = numbers(5, 4, 3, 16, 20)
    metadata = {"axes": "TZCYX", "spacing": 2.0, "unit": "micron", "finterval": 0.5}
    path = write(tmp_path / "a.tif", values, imagej=True, resolution=(4, 2), metadata=metadata)
    volume = open_tiff([path], Ask())
    np.testing.assert_array_equal(volume["data"].values, values.swapaxes(1, 2))
    np.testing.assert_allclose(volume["time"].values, np.arange(5) / 2)
    for name, size in [("z", 2), ("y", 0.5), ("x", 0.25)]:
        assert volume[name].values[1] == size
        assert volume[name].attrs == {"units": "um"}


def test_colours_are_channels(tmp_path):
    values = numbers(6, 16, 20, 3, dtype=np.uint8)
    path = write(tmp_path / "a.tif", values, photometric="rgb", metadata=None, compression="lzw")
    volume = open_tiff([path], PAGES)
    assert list(volume["channel"].values) == ["red", "green", "blue"]
    assert volume["data"].dtype == np.uint8
    np.testing.assert_array_equal(volume["data"].values, values.transpose(0, 3, 1, 2)[:, :, None])
    planes = values.transpose(0, 3, 1, 2)
    path = write(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate", metadata=None)
    np.testing.assert_array_equal(open_tiff([path], PAGES)["data"].values, volume["data"].values)


def test_pages_of_which_nothing_is_said_are_time(tmp_path):
    values = numbers(5, 16, 20, dtype=np.float32)
    path = write(tmp_path / "a.tif", values, metadata=None)
    with pytest.warns(UserWarning, match=r"a\.tif does not say what its 5 pages are; they are taken as time"):
        volume = open_tiff([path], Ask())
    np.testing.assert_array_equal(volume["data"].values, values[:, None, None])
    assert volume["time"].values.tolist() == [0, 1, 2, 3, 4]
    assert volume["time"].attrs == {}
    assert volume["data"].dtype == np.float32
    np.testing.assert_array_equal(open_tiff([path], PAGES)["data"].values, volume["data"].values)


def test_several_axes_without_names(tmp_path):
    values = numbers(5, 6, 16, 20)
    path = write(tmp_path / "a.tif", values, photometric="minisblack")
    with pytest.raises(InputError, match=r"a\.tif has axes QQYX of \(5, 6, 16, 20\), and what Q, Q is cannot be known"):
        open_tiff([path], Ask())
    np.testing.assert_array_equal(open_tiff([path], PAGES)["data"].values, values[:, None])


def test_axes_may_be_named_otherwise(tmp_path):
    values = numbers(5, 6, 16, 20)
    path = write(tmp_path / "a.ome.tif", values, ome=True, metadata={"axes": "CZYX"})
    np.testing.assert_array_equal(open_tiff([path], Ask())["data"].values, values[None])
    np.testing.assert_array_equal(open_tiff([path], Ask(time="Z"))["data"].values, values.swapaxes(0, 1)[:, :, None])
    with pytest.raises(InputError, match=r"has axes CZYX, and 'T' is asked as its time"):
        open_tiff([path], Ask(time="T"))
    with pytest.raises(InputError, match="what C is cannot be known"):
        open_tiff([path], Ask(channels="Z"))


def test_one_of_several_series(tmp_path):
    first, second = numbers(4, 16, 20), numbers(3, 8, 10)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(first, metadata={"axes": "TYX", "Name": "near"})
        writer.write(second, metadata={"axes": "TYX", "Name": "far", "TimeIncrement": 2, "TimeIncrementUnit": "s"})
    with pytest.raises(InputError, match=r"has 2 series; .* 0 \(near, \(4, 16, 20\)\); 1 \(far, \(3, 8, 10\)\)"):
        open_tiff([tmp_path / "a.ome.tif"], Ask())
    for name in ("1", "far"):
        volume = open_tiff([tmp_path / "a.ome.tif"], Ask(select=(("series", name),)))
        np.testing.assert_array_equal(volume["data"].values[:, 0, 0], second)
        assert volume["time"].values.tolist() == [0, 2, 4]
    with pytest.raises(InputError, match="has no series '2'; it has 0"):
        open_tiff([tmp_path / "a.ome.tif"], Ask(select=(("series", "2"),)))


def test_files_of_one_image_are_frames_in_the_order_of_their_numbers(tmp_path):
    values = numbers(12, 16, 20)
    paths = [write(tmp_path / f"img{number}.tif", image, metadata=None) for number, image in enumerate(values)]
    volume = open_tiff(sorted(paths), Ask())
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], values)
    write(paths[7], values[7, :, :8], metadata=None)
    with pytest.raises(InputError, match=r"\(1, 1, 16, 20\) in .*img0\.tif and \(1, 1, 16, 8\) in .*img7\.tif"):
        open_tiff(sorted(paths), Ask())
    paths[7].write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"img7\.tif cannot be read as TIFF"):
        open_tiff(paths, Ask())
    volume = open_tiff(paths, Ask(skip_bad=True))
    assert np.flatnonzero(volume["missing"].values).tolist() == [7]
    assert np.isnan(volume["data"].values[7]).all()
    np.testing.assert_array_equal(np.delete(volume["data"].values[:, 0, 0], 7, 0), np.delete(values, 7, 0))


def test_several_stacks_are_runs_or_channels(tmp_path):
    values = numbers(2, 5, 16, 20)
    paths = [write(tmp_path / f"{name}.tif", stack, metadata=None) for name, stack in zip("ab", values, strict=True)]
    runs = open_tiff(paths, PAGES)
    np.testing.assert_array_equal(runs["data"].values[:, 0, 0], values.reshape(10, 16, 20))
    assert runs["run"].values.tolist() == [0] * 5 + [1] * 5
    channels = open_tiff(paths, Ask(time="pages", channels="files"))
    np.testing.assert_array_equal(channels["data"].values[:, :, 0], values.swapaxes(0, 1))
    assert list(channels["channel"].values) == ["a", "b"]


def test_an_ome_tiff_of_two_files_is_one_volume(tmp_path):
    values = numbers(4, 16, 20)
    data = "".join(
        f'<TiffData FirstT="{2 * number}" IFD="0" PlaneCount="2">'
        f'<UUID FileName="{name}.ome.tif">urn:uuid:{number}</UUID></TiffData>'
        for number, name in enumerate("ab")
    )
    for number, name in enumerate("ab"):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{number}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="20" SizeY="16" SizeZ="1" SizeC="1" SizeT="4">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        pages = values[2 * number : 2 * number + 2]
        write(tmp_path / f"{name}.ome.tif", pages, photometric="minisblack", metadata=None, description=xml)
    paths = sorted(tmp_path.iterdir())
    volume = open_tiff(paths, Ask())
    assert len(paths) == 2
    assert "run" not in volume.coords
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], values)
    paths[1].unlink()
    with pytest.raises(InputError, match=r"a\.ome\.tif declares 4 pages and gives 2"):
        open_tiff(paths[:1], Ask())


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0\xff\xff", b"no image at all"])
def test_what_is_no_tiff_is_refused(tmp_path, capfd, content):
    (tmp_path / "bad.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.tif cannot be read as TIFF"):
        open_tiff([tmp_path / "bad.tif"], Ask())
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_cut_short(tmp_path, capfd):
    values = numbers(6, 16, 20)
    path = write(tmp_path / "a.tif", values, metadata=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"a\.tif is damaged: .*invalid page offset"):
        open_tiff([path], PAGES)
    with pytest.warns(UserWarning, match=r"a\.tif is damaged: .*; what comes after is lost"):
        found = open_tiff([path], SKIP)["data"].values[:, 0, 0]
    assert 1 <= len(found) < 6
    np.testing.assert_array_equal(found, values[: len(found)])
    path = write(tmp_path / "b.tif", values, imagej=True, metadata={"axes": "TYX"})
    path.write_bytes(path.read_bytes()[: -values[0].nbytes * 2 - 10])
    with pytest.raises(InputError, match=r"b\.tif"):
        open_tiff([path], Ask())
    assert capfd.readouterr() == ("", "")


def test_pages_that_ome_declares_and_the_file_lacks(tmp_path, capfd):
    values = numbers(5, 16, 20)
    path = write(tmp_path / "a.ome.tif", values, ome=True, metadata={"axes": "TYX"})
    path.write_bytes(
        path.read_bytes().replace(b'SizeT="5"', b'SizeT="7"').replace(b'PlaneCount="5"', b'PlaneCount="7"')
    )
    with pytest.raises(InputError, match=r"a\.ome\.tif declares 7 pages and gives 5"):
        open_tiff([path], Ask())
    with pytest.warns(UserWarning, match="index out of range"):
        volume = open_tiff([path], Ask(skip_bad=True))
    assert volume["missing"].values.tolist() == [False] * 5 + [True] * 2
    np.testing.assert_array_equal(volume["data"].values[:5, 0, 0], values)
    assert np.isnan(volume["data"].values[5:]).all()
    assert capfd.readouterr() == ("", "")


def test_a_page_that_does_not_decode(tmp_path, capfd):
    values = numbers(6, 16, 20)
    path = write(tmp_path / "a.tif", values, metadata=None, compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[3]
        at, size = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif cannot be read as TIFF"):
        open_tiff([path], PAGES)["data"].load()
    volume = open_tiff([path], SKIP)
    assert np.flatnonzero(volume["missing"].values).tolist() == [3]
    np.testing.assert_array_equal(np.delete(volume["data"].values[:, 0, 0], 3, 0), np.delete(values, 3, 0))
    assert capfd.readouterr() == ("", "")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("big", [False, True])
def test_pages_that_go_in_a_circle(tmp_path, big):
    path = write(tmp_path / "a.tif", numbers(4, 16, 20), metadata=None, photometric="minisblack", bigtiff=big)
    with tifffile.TiffFile(path) as file:
        offsets = [page.offset for page in file.pages]
        form = file.tiff
    content = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from(form.tagnoformat, content, offsets[3])
    struct.pack_into(form.offsetformat, content, offsets[3] + form.tagnosize + tags * form.tagsize, offsets[1])
    path.write_bytes(content)
    for ask in (PAGES, SKIP):
        with pytest.raises(InputError, match=r"a\.tif is damaged: after its page 3 comes page 1 again; fetch it again"):
            open_tiff([path], ask)


def test_what_makes_no_sense_for_a_tiff(tmp_path):
    path = write(tmp_path / "a.tif", numbers(4, 8), metadata=None)
    with pytest.raises(InputError, match="no variables, and 'u' is asked"):
        open_tiff([path], Ask(variables=("u",)))
    path = write(tmp_path / "b.tif", numbers(4, 8).astype(np.complex64), metadata=None)
    with pytest.raises(InputError, match="values of type complex64"):
        open_tiff([path], Ask())


def test_the_real_assay():
    if not os.environ.get("CHRONOVOX_DATA"):
        pytest.skip("CHRONOVOX_DATA names no folder with the real files")
    path = Path(os.environ["CHRONOVOX_DATA"]) / "bioimage" / "scratch-assay-labeled-10T-2Ch.tiff"
    volume = open_tiff([path], Ask())
    assert volume["data"].shape == (10, 4, 1, 210, 576)
    assert list(volume["channel"].values) == ["H3342", "oblique", "nuclei", "cyto"]
    np.testing.assert_array_equal(volume["data"].values[:, :, 0], tifffile.imread(path).swapaxes(0, 1))
    assert volume["x"].values[-1] == pytest.approx(575 * 0.619)
    assert volume["x"].attrs["units"] == "um"
    assert volume["time"].attrs == {}
    highest = volume["data"].max(("time", "depth", "height", "width")).values
    assert highest.tolist() == [11897, 12787, 260, 280]  # two of intensities, two of labels
