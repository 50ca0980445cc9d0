"""The command `export`: what it says, and how mistakes end."""

import pytest
import xarray as xr
from typer.testing import CliRunner

from tests.export.stores import volume, written
from workflows.cli import app, exit_code


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_it_writes_a_file_and_tells_what_is_lost(tmp_path):
    path = written(tmp_path / "a.zarr", e1=volume(channels=["warmth"]), a1b=volume())
    done = run(path, tmp_path / "a.tif", "--series", "e1", "--select", "time=2:6")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'a.tif'}: time 3, channel 1, depth 2, height 5, width 4; 0.0 MB")
    assert "of z the size of a voxel is kept, not where it begins and runs to" in lines
    done = run(path, tmp_path / "a.tif", "--series", "e1", "--format", "nc", "--channel", "warmth", "--overwrite")
    assert done.exit_code == 0
    assert list(xr.open_dataset(tmp_path / "a.tif", engine="netcdf4").data_vars) == ["warmth"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.zarr", "a.xyz"], "ends in none of .nc"),
        (["a.zarr", "a.nc", "--select", "level"], "give AXIS=VALUE"),
        (["a.zarr", "a.nc", "--series", "e1"], "holds one volume"),
        (["a.zarr", "a.mp4"], "2 places along z"),
        (["a.zarr", "a.mp4", "--range", "3,1"], "the lower one first"),
        (["a.zarr", "a.mp4", "--range", "3"], "the lower one first"),
        (["a.zarr", "a.nc", "--fps", "3"], "is no movie"),
        (["nowhere.zarr", "a.nc"], "is no Zarr store"),
        (["a.zarr", "a.nc", "--format", "doc"], "'doc' is not one of"),
    ],
)
def test_mistakes_leave_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.zarr", alone=volume())
    done = run(*arguments)
    assert done.exit_code == 2 or exit_code(done.exception) == 2
    assert message in done.output + str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
