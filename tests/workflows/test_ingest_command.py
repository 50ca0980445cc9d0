"""The command `ingest`: what it says, what it writes, and what it leaves when it refuses."""

import nibabel
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from tests.synthetic import blobs
from workflows.cli import app, exit_code


def run(*arguments):
    return CliRunner().invoke(app, ["ingest", *map(str, arguments)])


def test_it_writes_a_store_that_xarray_opens_and_tells_what_it_holds(tmp_path):
    blobs(6, 0).to_netcdf(tmp_path / "a.nc")
    done = run(tmp_path / "a.nc", tmp_path / "a.zarr", "--select", "time=2000-01-02:2000-01-04", "--chunk", 2)
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if not line.startswith("ingest: ")]
    assert lines[0].endswith(
        "a.zarr: time 3, channel 1, depth 1, height 9, width 12; float32, 0.0 MB before compression"
    )
    assert lines[1:] == ["time from 2000-01-02 to 2000-01-04", "channels warmth"]
    found = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert np.array_equal(found["data"].values[:, 0, 0], blobs(6, 0)["warmth"].values[1:4])
    assert found["data"].encoding["chunks"] == (2, 1, 1, 9, 12)


def recorded(path, affine, frames=3):
    image = nibabel.Nifti1Image(np.zeros((4, 3, 2, frames), np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 0.07
    image.to_filename(path)
    return path


def test_a_recording_is_added_where_it_lies_in_the_same_place(tmp_path):
    """What headers round does not count; where a patient has moved, x, y and z of an oblique scan do not tell."""
    turn = np.deg2rad(20)
    affine = np.diag([4.0, 4.0, 8.0, 1.0])
    affine[:2, :2] = 4 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved, rounded = affine.copy(), affine.copy()
    moved[0, 3], rounded[0, 0] = 0.1, affine[0, 0] + 1e-5
    named = {"a": affine, "rounded": rounded, "moved": moved}
    files = [recorded(tmp_path / f"{name}.nii", own) for name, own in named.items()]
    assert run(files[0], tmp_path / "a.zarr").exit_code == 0
    added = run(files[1], tmp_path / "a.zarr", "--append")
    assert added.exit_code == 0
    assert "time from 0 to 0.35 s\n2 runs of 3 frames\n" in added.stdout
    refused = run(files[2], tmp_path / "a.zarr", "--append")
    assert exit_code(refused.exception) == 2
    assert "has the affine" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.nc"], "SOURCE... DEST.zarr"),
        (["a.nc", "b.zarr", "--select", "level"], "give AXIS=VALUE"),
        (["nowhere.nc", "b.zarr"], "no file or folder"),
        (["a.nc", "b.zarr", "--variable", "warmt"], "did you mean 'warmth'"),
    ],
)
def test_mistakes_leave_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blobs(6, 0).to_netcdf(tmp_path / "a.nc")
    done = run(*arguments)
    known = done.exit_code == 2 or exit_code(done.exception) == 2
    assert known
    assert message in done.output + str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]
