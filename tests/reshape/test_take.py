"""Select and crop: what is taken, its coordinates, and where an affine then begins."""

import numpy as np
import pytest

from pipeline.reshape.take import Crop, crop, select
from pipeline.volume import DATA, InputError
from tests.reshape.volumes import grid, places, scan

VALUES = np.random.default_rng(0).normal(size=(4, 2, 3, 5, 6))
OBLIQUE = [[0, 1.8, 0.3, -20], [-2, 0, 0, 5], [0, -0.4, 2.5, 7], [0, 0, 0, 1]]


def test_crop_takes_voxels_and_their_places():
    found = crop(scan(VALUES, OBLIQUE), Crop(depth=(1, 3), width=(2, 5)))
    assert np.array_equal(found[DATA].values, VALUES[:, :, 1:3, :, 2:5])
    assert np.allclose(places(found.attrs["affine"], (2, 5, 3)), places(OBLIQUE, (3, 5, 6))[1:3, :, 2:5])
    assert found.attrs["nifti"] == {"descrip": "a scan"}
    found = crop(grid(VALUES[:, :1]), Crop(height=(0, 2)))
    assert found["latitude"].values.tolist() == [30, 37.5]


def test_a_crop_that_is_not_inside_is_refused():
    with pytest.raises(InputError, match=r"height is to be cropped to \[2, 6\] and has 5 voxels; end at 5 at most"):
        crop(scan(VALUES, OBLIQUE), Crop(height=(2, 6)))
    for span in ((3, 3), (-1, 2)):
        with pytest.raises(ValueError, match=r"give 0 <= first < last"):
            Crop(depth=span)


def test_select_by_coordinates():
    volume = grid(VALUES, level=("depth", np.array([1000.0, 850, 500]), {"units": "hPa"}))
    found = select(volume, {"time": "2001-01-02:2001-01-03", "level": 500, "channel": "c1", "longitude": "210:235"})
    assert np.array_equal(found[DATA].values, VALUES[1:3, 1:, 2:, :, 1:4])
    assert set(found.coords) == set(volume.coords)
    assert found["time"].encoding == volume["time"].encoding
    with pytest.raises(InputError, match="level has no 700"):
        select(volume, {"level": 700})


def test_select_in_space_moves_the_affine():
    found = select(scan(VALUES, np.diag([2.0, 3, 4, 1])), {"z": "4:9", "x": 6})
    assert np.array_equal(found[DATA].values, VALUES[:, :, 1:3, :, 3:4])
    assert np.array(found.attrs["affine"])[:3, 3].tolist() == [6, 0, 4]
