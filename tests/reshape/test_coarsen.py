"""Conservative coarsening: area means are kept, missing voxels do not count, what does not divide is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.grid import natural_boundary
from pipeline.reshape.coarsen import Coarsen, cell_sizes, coarsen
from pipeline.volume import DATA, InputError
from tests.reshape.volumes import WORLD, grid, places, scan


def field(shape, seed=0, kind=np.float64):
    return np.random.default_rng(seed).normal(280, 10, shape).astype(kind)


def area_mean(volume):
    return np.average(volume[DATA].values, axis=3, weights=cell_sizes(volume, "height")).mean((2, 3))


@settings(max_examples=20, deadline=None)
@given(
    height=st.sampled_from([1, 2, 3, 4, 6]),
    width=st.sampled_from([1, 2, 3, 8]),
    poles=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_mean_over_the_world_stays(height, width, poles, seed):
    latitude = np.linspace(-90, 90, 24) if poles else np.linspace(90, -90, 49)[1::2]
    volume = grid(field((2, 24, 72), seed), latitude, WORLD[1])
    coarse = coarsen(volume, Coarsen(height=height, width=width))
    np.testing.assert_allclose(area_mean(coarse), area_mean(volume), rtol=1e-13)
    assert coarse[DATA].shape[3:] == (24 // height, 72 // width)
    assert natural_boundary(coarse)[2] == "periodic"


def test_rows_count_as_the_area_between_their_parallels():
    """A cap of ten degrees around the pole, and the zone beside it."""
    volume = grid([[[1.0], [3.0]]], [85, 75], [0])
    cap, zone = 1 - np.sin(np.deg2rad(80)), np.sin(np.deg2rad(80)) - np.sin(np.deg2rad(70))
    found = coarsen(volume, Coarsen(height=2))
    assert found[DATA].values.item() == pytest.approx((cap + 3 * zone) / (cap + zone), rel=1e-12)
    assert found["latitude"].item() == 80
    world = cell_sizes(grid(np.zeros((1, 5, 1)), [90, 45, 0, -45, -90], [0]), "height")
    np.testing.assert_allclose(world.sum(), 2, rtol=1e-12)
    np.testing.assert_allclose(world[0], 1 - np.sin(np.deg2rad(67.5)), rtol=1e-12)


def test_against_plain_numpy_with_missing_voxels():
    """Even voxels of a scan: means of what is there; NaN where nothing is."""
    values = field((3, 2, 4, 6, 4), kind=np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.4] = np.nan
    values[0, 0, :2, :3, :2] = np.nan
    found = coarsen(scan(values, np.diag([2, 3, 4, 1])), Coarsen(2, 3, 2))
    blocks = (
        np.float64(values).reshape(3, 2, 2, 2, 2, 3, 2, 2).transpose(0, 1, 2, 4, 6, 3, 5, 7).reshape(3, 2, 2, 2, 2, 12)
    )
    there = ~np.isnan(blocks)
    expected = np.where(there.any(-1), np.nansum(blocks, -1) / np.maximum(there.sum(-1), 1), np.nan)
    np.testing.assert_allclose(found[DATA].values, expected, rtol=1e-7)
    assert np.isnan(found[DATA].values[0, 0, 0, 0, 0])
    assert found[DATA].dtype == np.float32
    where = places(np.diag([2, 3, 4, 1]), (4, 6, 4)).reshape(2, 2, 2, 3, 2, 2, 3).mean((1, 3, 5))
    assert np.allclose(places(found.attrs["affine"], (2, 2, 2)), where)
    assert np.allclose(found["z"].values, where[:, 0, 0, 2])


def test_levels_count_by_their_thickness_and_integers_become_float32():
    levels = ("depth", np.array([0.0, 10, 30, 70]), {})
    volume = grid(np.arange(8, dtype=np.uint8).reshape(2, 1, 4, 1, 1), [0], [0], level=levels)
    found = coarsen(volume, Coarsen(depth=2))
    sizes = np.array([10, 15, 30, 40])
    expected = [np.dot(sizes[:2], [0, 1]) / 25, np.dot(sizes[2:], [2, 3]) / 70]
    np.testing.assert_allclose(found[DATA].values[0].ravel(), expected, rtol=1e-6)
    assert found[DATA].dtype == np.float32
    assert found["level"].values.tolist() == [5, 50]


def test_longitudes_across_their_jump():
    volume = grid(np.ones((1, 2, 4)), [0, 1], [358, 359, 0, 1])
    bent = volume.assign_coords(place=(("height", "width"), np.arange(8.0).reshape(2, 4)), sea=("width", list("abcd")))
    found = coarsen(bent, Coarsen(width=2))
    assert (found["longitude"].values % 360).tolist() == [358.5, 0.5]
    assert found["place"].values.tolist() == [[0.5, 2.5], [4.5, 6.5]]
    assert "sea" not in found.coords


def test_what_does_not_divide_is_refused_or_trimmed():
    values = field((1, 7, 6))
    with pytest.raises(
        InputError, match="height has 7 voxels, which blocks of 3 do not divide; crop it to 6, or set tr"
    ):
        coarsen(grid(values), Coarsen(height=3))
    found = coarsen(grid(values), Coarsen(height=3, trim=True))
    same = coarsen(grid(values).isel(height=slice(6)), Coarsen(height=3))
    assert np.allclose(found[DATA].values, same[DATA].values, rtol=1e-12)
    with pytest.raises(
        InputError, match="width has 6 voxels, which blocks of 8 do not divide; coarsen it by 6 at most"
    ):
        coarsen(grid(values), Coarsen(width=8, trim=True))
    with pytest.raises(ValueError, match="width is to be coarsened by 0; give at least 1"):
        Coarsen(width=0)
    volume = grid(values)
    assert coarsen(volume, Coarsen()) is volume
