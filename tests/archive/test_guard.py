"""Numbers that cannot be read: named by file, variable and frames, or NaN and missing; nothing half-made is left."""

import gzip

import netCDF4
import numpy as np
import psutil
import pytest
import xarray as xr
from typer.testing import CliRunner

from pipeline.archive import Ask, open_archive
from pipeline.storage import store
from pipeline.volume import DATA, InputError
from tests.synthetic import stored
from workflows.cli import app, exit_code

FRAMES, HEIGHT, WIDTH = 12, 6, 8
VALUES = np.random.default_rng(0).standard_normal((FRAMES, HEIGHT, WIDTH)).astype(np.float32)


def grid(path, chunk=1, names=("t",), values=VALUES, since="2001-01-01"):
    """A NetCDF-4 file with a checksum on each chunk of so many frames."""
    with netCDF4.Dataset(path, "w") as file:
        for axis, size in (("time", len(values)), ("lat", HEIGHT), ("lon", WIDTH)):
            file.createDimension(axis, size)
            units = {"time": f"days since {since}", "lat": "degrees_north", "lon": "degrees_east"}[axis]
            coordinate = file.createVariable(axis, "f8", (axis,))
            coordinate.units = units
            coordinate[:] = np.arange(size)
        for number, name in enumerate(names):
            sizes = {"chunksizes": (chunk, HEIGHT, WIDTH), "fletcher32": True} if chunk else {"contiguous": True}
            file.createVariable(name, "f4", ("time", "lat", "lon"), **sizes)[:] = values + number
    return path


def damage(path, *frames, values=VALUES):
    """Changes a byte in each of the frames."""
    content = bytearray(path.read_bytes())
    for frame in frames:
        place = content.find(values[frame].tobytes())
        assert place > 0
        content[place + 20] ^= 0xFF
    path.write_bytes(content)
    return path


def test_numbers_that_cannot_be_read_are_named(tmp_path):
    path = damage(grid(tmp_path / "a.nc"), 7)
    volume = open_archive([path], Ask())
    with pytest.raises(InputError, match=r"a\.nc: t cannot be read at time 7: .*HDF error; fetch it .* --skip-bad"):
        volume[DATA].load()
    with pytest.raises(InputError, match="time 7"):
        stored([path], tmp_path / "a.zarr", Ask())
    assert [one.name for one in tmp_path.iterdir()] == ["a.nc"]


def test_the_command_says_it_and_lists_what_is_missing(tmp_path):
    path = damage(grid(tmp_path / "a.nc"), 3, 7)
    refused = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr")])
    assert exit_code(refused.exception) == 2
    done = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr"), "--skip-bad"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "2 of 12 frames could not be read and are missing: 3, 7"
    found = store.open_volume(tmp_path / "a.zarr")
    expected = VALUES.copy()
    expected[[3, 7]] = np.nan
    assert np.array_equal(found[DATA][:, 0, 0], expected, equal_nan=True)
    assert found["missing"].values.nonzero()[0].tolist() == [3, 7]


def test_frames_of_one_chunk_are_missing_together_in_all_channels(tmp_path):
    path = damage(grid(tmp_path / "a.nc", 4, ("t", "u")), 5)
    found = open_archive([path], Ask(channels="variables", skip_bad=True))
    assert found["missing"].values.nonzero()[0].tolist() == [4, 5, 6, 7]
    assert np.isnan(found[DATA].values[4:8]).all()
    assert np.array_equal(found[DATA].values[8:, :, 0], np.stack([VALUES, VALUES + 1], 1)[8:])
    selected = open_archive([path], Ask(("t",), select=(("time", "2001-01-07:2001-01-10"),), skip_bad=True))
    assert selected["missing"].values.tolist() == [True, True, False, False]


def test_what_is_sound_or_wholly_damaged(tmp_path):
    sound = open_archive([grid(tmp_path / "a.nc")], Ask(skip_bad=True))
    assert not sound["missing"].values.any()
    assert np.array_equal(sound[DATA][:, 0, 0], VALUES)
    with pytest.raises(InputError, match=r"b\.nc: none of 12 frames can be read"):
        open_archive([damage(grid(tmp_path / "b.nc"), *range(FRAMES))], Ask(skip_bad=True))


def test_several_files_one_of_them_damaged(tmp_path):
    one, later, other = (tmp_path / f"{name}.nc" for name in ("one", "later", "other"))
    damage(grid(one), 5)
    damage(grid(later, values=VALUES * 2, since="2001-01-13"), 2, values=VALUES * 2)
    damage(grid(other, values=VALUES * 2), 2, values=VALUES * 2)
    found = open_archive([later, one], Ask(skip_bad=True))
    assert found["missing"].values.nonzero()[0].tolist() == [5, 14]
    found = open_archive([one, other], Ask(channels="files", skip_bad=True))
    assert found["missing"].values.nonzero()[0].tolist() == [2, 5]
    assert np.isfinite(found[DATA].values[[2, 5], :, 0, 0, 0]).tolist() == [[True, False], [False, True]]


def test_a_compressed_file_goes_by_its_own_name(tmp_path):
    plain = damage(grid(tmp_path / "a.nc"), 7)
    (tmp_path / "b.nc.gz").write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(InputError, match=rf"{tmp_path}/b\.nc\.gz: t cannot be read at time 7"):
        open_archive([tmp_path / "b.nc.gz"], Ask())[DATA].load()
    found = open_archive([tmp_path / "b.nc.gz"], Ask(skip_bad=True))
    assert found["missing"].values.nonzero()[0].tolist() == [7]


def test_a_file_without_chunks_is_read_in_pieces(tmp_path, monkeypatch):
    for module in ("guard", "assemble"):
        monkeypatch.setattr(f"pipeline.archive.{module}.READ_BYTES", 3 * VALUES[0].nbytes)
    found = open_archive([grid(tmp_path / "a.nc", chunk=None)], Ask())
    assert found[DATA].chunks[0] == (3, 3, 3, 3)
    assert np.array_equal(found[DATA][:, 0, 0], VALUES)


def test_few_files_are_open_at_once_however_many_are_read(tmp_path):
    paths = [grid(tmp_path / f"{n:02}.nc", values=VALUES[:1] + n, since=f"2001-01-{n + 1:02}") for n in range(20)]
    with xr.set_options(file_cache_maxsize=4):
        found = open_archive(paths, Ask())
        opened = [file for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
        assert 0 < len(opened) <= 4
        assert np.array_equal(found[DATA][:, 0, 0, 2, 3], VALUES[0, 2, 3] + np.arange(20, dtype=np.float32))


@pytest.mark.parametrize("named", [True, False])
def test_a_chunk_of_zarr_that_is_damaged(named, tmp_path):
    xr.Dataset(
        {"t": (("time", "lat", "lon"), VALUES)},
        {"time": ("time", np.arange(FRAMES), {"units": "days since 2001-01-01"})},
    ).to_zarr(tmp_path / "a.zarr", encoding={"t": {"chunks": (3, HEIGHT, WIDTH)}}, zarr_format=3, consolidated=False)
    (tmp_path / "a.zarr" / "t" / "c" / "1" / "0" / "0").write_bytes(b"no chunk")
    path = tmp_path / "a.zarr" if named else tmp_path / "a.zarr" / "t"
    with pytest.raises(InputError, match=r"a\.zarr.* cannot be read at time 3 to 5: .*; fetch it again, .* --skip-bad"):
        open_archive([path], Ask())[DATA].load()
    found = open_archive([path], Ask(skip_bad=True))
    assert found["missing"].values.nonzero()[0].tolist() == [3, 4, 5]
    assert np.array_equal(found[DATA].values[6:, 0, 0], VALUES[6:])


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("t/zarr.json", b'{"zarr_format": 3, "node', "has a description that cannot be read"),
        ("t/zarr.json", b"\xff\xfe", "has a description that cannot be read"),
        ("time/c/0", b"no chunk", "cannot be opened as a dataset"),
    ],
)
def test_a_store_of_zarr_that_is_damaged(file, content, told, tmp_path):
    xr.Dataset(
        {"t": (("time", "lat", "lon"), VALUES)},
        {"time": ("time", np.arange(FRAMES), {"units": "days since 2001-01-01"})},
    ).to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    (tmp_path / "a.zarr" / file).write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.zarr {told}"):
        open_archive([tmp_path / "a.zarr"], Ask())


def test_what_is_wrong_with_a_variable_is_told_with_its_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.nc: .*has no dates"):
        open_archive([grid(tmp_path / "a.nc", since="2001-13-01")], Ask())
