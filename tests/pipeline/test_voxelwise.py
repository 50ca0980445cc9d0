"""Compiled loops over voxels: the bits of the numpy expressions that they stand for."""

import numpy as np
import pytest

from pipeline.voxelwise import look_through, normalise


@pytest.fixture
def frames():
    draw = np.random.default_rng(0)
    values = draw.standard_normal((5, 3, 1037)) * 10.0 ** draw.integers(-3, 3, (5, 3, 1037))
    values[1, 2, 4] = values[1, 0, 1036] = np.nan
    values[3, :, 7] = np.inf
    values[4] = np.nan
    return values


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_missing_and_infinite(kind, frames):
    frames = frames.astype(kind)
    missing, infinite = np.zeros(5, np.int64), np.zeros(5, np.int64)
    assert not look_through(frames, missing, infinite)
    assert missing.tolist() == np.isnan(frames).sum(axis=(1, 2)).tolist() == [0, 2, 0, 0, 3 * 1037]
    assert infinite.tolist() == np.isinf(frames).sum(axis=(1, 2)).tolist() == [0, 0, 0, 3, 0]
    frames[1, :, 4] = frames[1, :, 1036] = np.nan
    assert look_through(frames, missing, infinite)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("means", [1, 1037])
@pytest.mark.parametrize("scales", [1, 1037])
def test_normalised_frames_have_the_bits_of_numpy(kind, means, scales, frames):
    draw, frames = np.random.default_rng(1), frames.astype(kind)
    mean, scale = draw.standard_normal((3, means)), 0.1 + draw.random((3, scales))
    normal = np.empty(frames.shape, np.float32)
    normalise(frames, mean, scale, normal)
    expected = ((frames - mean) / scale).astype(np.float32)
    np.testing.assert_array_equal(
        normal.view(np.uint32) * ~np.isnan(normal), expected.view(np.uint32) * ~np.isnan(expected)
    )
    assert (np.isnan(normal) == np.isnan(expected)).all()
