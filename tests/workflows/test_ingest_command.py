"""The command `ingest`: what it says, what it writes, and what it leaves when it refuses."""

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
    assert lines[1:] == ["time from 2000-01-02 00:00:00 to 2000-01-04 00:00:00", "channels warmth"]
    found = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert np.array_equal(found["data"].values[:, 0, 0], blobs(6, 0)["warmth"].values[1:4])
    assert found["data"].encoding["chunks"] == (2, 1, 1, 9, 12)


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
