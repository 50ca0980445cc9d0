"""Linear regridding: exact for linear fields, the same bits on the same grid, around the world, never outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.grid import closes, natural_boundary
from pipeline.reshape.coarsen import Coarsen, coarsen
from pipeline.reshape.orient import orient
from pipeline.reshape.regrid import Regrid, regrid
from pipeline.reshape.take import Crop, crop
from pipeline.volume import DATA, InputError
from tests.reshape.test_orient import CODES, oblique
from tests.reshape.volumes import WORLD, grid, places, scan


@settings(max_examples=30, deadline=None)
@given(
    code=st.sampled_from(CODES),
    wanted=st.sampled_from(CODES),
    first=st.integers(0, 2),
    factor=st.integers(1, 2),
    spacing=st.floats(0.8, 7),
)
def test_a_field_that_is_linear_in_space_stays_that_field(code, wanted, first, factor, spacing):
    """However a scan is turned, cut, coarsened and regridded, its values are those of the places that it says."""
    affine, slopes = oblique(code), np.array([0.5, -1.25, 2.0])
    values = 3 + places(affine, (4, 6, 8)) @ slopes
    volume = crop(orient(scan(values[None, None], affine), wanted), Crop(width=(first, 4)))
    volume = coarsen(volume, Coarsen(width=factor, trim=True))
    found = regrid(volume, Regrid(spacing=spacing))
    expected = 3 + places(found.attrs["affine"], found[DATA].shape[2:]) @ slopes
    np.testing.assert_allclose(found[DATA].values[0, 0], expected, rtol=1e-12, atol=1e-10)
    sizes = np.linalg.norm(np.array(found.attrs["affine"])[:3, :3], axis=0)
    for axis, size in zip(("width", "height", "depth"), sizes, strict=True):
        assert found.sizes[axis] == 1 or size == pytest.approx(spacing)


def test_linear_in_latitude_and_level():
    latitude, level = np.array([-60.0, -10, 0, 35, 70]), np.array([1000.0, 850, 500])
    values = latitude[:, None] * 0.5 + level[:, None, None] * 0.01 + np.zeros((2, 1, 3, 5, 4))
    volume = grid(values, latitude, level=("depth", level, {"units": "hPa"}))
    found = regrid(volume, Regrid(latitude=(70, -60, -6.5), level=(500, 1000, 125)))
    expected = found["latitude"].values[:, None] * 0.5 + found["level"].values[:, None, None] * 0.01
    np.testing.assert_allclose(found[DATA].values, np.broadcast_to(expected, found[DATA].shape), rtol=1e-13)
    assert found["level"].attrs == {"units": "hPa"}
    assert found["latitude"].values[[0, -1]].tolist() == [70, -60]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_same_grid_has_the_same_bits(kind):
    values = np.random.default_rng(0).normal(size=(2, 16, 30)).astype(np.float32)
    values[0, 3, 3], values[1, 0, 0] = np.nan, np.inf
    latitude, longitude = (20.1 + 0.3 * np.arange(16)).astype(kind), (200.2 + 0.7 * np.arange(30)).astype(kind)
    volume = grid(values, latitude, longitude)
    found = regrid(volume, Regrid(latitude=(20.1, 24.6, 0.3), longitude=(200.2, 220.5, 0.7)))
    assert np.array_equal(found[DATA].values[:, 0, 0], values, equal_nan=True)
    assert found[DATA].dtype == np.float32
    assert found["latitude"].dtype == kind
    np.testing.assert_allclose(found["latitude"].values, latitude, rtol=1e-7)
    every_second = regrid(volume, Regrid(latitude=(24.6, 20.1, -0.9)))
    assert np.array_equal(every_second[DATA].values[:, 0, 0], values[:, ::-3], equal_nan=True)
    labels = grid(np.arange(12, dtype=np.uint16).reshape(1, 3, 4), [0, 1, 2], [0, 1, 2, 3])
    assert regrid(labels, Regrid(latitude=(0, 2, 2)))[DATA].dtype == np.uint16


@settings(max_examples=20, deadline=None)
@given(
    begin=st.integers(-200, 400),
    target=st.floats(-360, 360),
    step=st.sampled_from([1.0, 2.5, 5.0, 7.5]),
    west=st.booleans(),
)
def test_longitudes_that_close_go_around(begin, target, step, west):
    """Each new place has the two old ones beside it, across the ends too."""
    longitude = begin + WORLD[1]
    values = np.random.default_rng(0).normal(size=(1, 2, 72))
    order = slice(None, None, -1) if west else slice(None)
    volume = grid(values[..., order], [0, 1], longitude[order])
    found = regrid(volume, Regrid(longitude=(target, target + 360 - step, step)))
    places = (found["longitude"].values - begin) % 360 / 5
    before = np.floor(places).astype(int)
    share = places - before
    expected = values[..., before % 72] * (1 - share) + values[..., (before + 1) % 72] * share
    np.testing.assert_allclose(found[DATA].values[:, 0, 0], expected, atol=1e-9)
    assert natural_boundary(found)[2] == "periodic"


def test_a_region_is_found_in_other_longitudes():
    volume = grid(np.arange(12.0).reshape(1, 2, 6), [0, 1], [350, 355, 0, 5, 10, 15])
    found = regrid(volume, Regrid(longitude=(-10, 12.5, 2.5)))
    assert found[DATA].values[0, 0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]
    assert natural_boundary(found)[2] == "reflect"
    with pytest.raises(InputError, match=r"longitude is to be 16 to 20 and is known from 350 to 375; stay inside"):
        regrid(volume, Regrid(longitude=(16, 20, 1)))


def test_missing_voxels_that_count_make_new_ones_missing():
    values = np.zeros((1, 1, 5))
    values[..., 2], values[..., 4] = np.nan, np.inf
    found = regrid(grid(values, [0], np.arange(5.0)), Regrid(longitude=(0, 4, 0.5)))
    assert np.isnan(found[DATA].values.ravel()).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert np.isinf(found[DATA].values.ravel()).tolist() == [False] * 7 + [True] * 2


def test_what_cannot_be_regridded_is_refused():
    volume = grid(np.zeros((1, 3, 4)), [0, 10, 20])
    with pytest.raises(InputError, match=r"latitude is to be -10 to 20 and is known from 0 to 20; stay inside"):
        regrid(volume, Regrid(latitude=(-10, 20, 5)))
    with pytest.raises(InputError, match=r"places along level and has no such .* it has latitude, longitude"):
        regrid(volume, Regrid(level=(0, 1, 1)))
    with pytest.raises(InputError, match=r"latitude along height, which is no length; .*give latitude: \[first"):
        regrid(volume, Regrid(spacing=2.0))
    with pytest.raises(InputError, match="no coordinates of length"):
        regrid(volume.drop_vars(["latitude", "longitude"]), Regrid(spacing=2.0))
    with pytest.raises(InputError, match="latitude has 3 places that do not run one way"):
        regrid(grid(np.zeros((1, 3, 4)), [0, 10, 5]), Regrid(latitude=(0, 5, 5)))
    for settings_, message in (
        ({"latitude": (0, 10, 3)}, "from 0 to 10 in steps of 3, which are not a whole number of steps"),
        ({"latitude": (0, 10, -5)}, "not a whole number of steps"),
        ({"latitude": (0, 10, 0)}, "not a whole number of steps"),
        ({}, "give either spacing, or the places"),
        ({"spacing": 1.0, "x": (0, 1, 1)}, "give either spacing, or the places"),
        ({"spacing": 0.0}, "spacing is 0.0; give more than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Regrid(**settings_)


def test_a_crop_of_a_fine_world_no_longer_closes():
    world = np.arange(0, 360, 0.25)
    assert closes(world)
    assert closes(world.astype(np.float32))
    assert not closes(world[:-1])
    assert not closes(np.append(world, 360))
