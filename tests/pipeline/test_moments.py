"""Moments: the numbers of a float64 computation in memory, and the same bits however frames were cut and merged."""

import itertools

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.moments import Moments, Period, Tree, merged, moments_of

FRAMES = 45
SHAPE = (2, 1, 3, 4)


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    values = 280 + draw.standard_normal((FRAMES, *SHAPE)).astype(np.float32)
    values[draw.random(values.shape) < 0.2] = np.nan
    values[:, 0, 0, 0, 0] = np.nan  # a voxel without any value
    return values


def bits(moments):
    return moments.count.tobytes(), moments.mean.tobytes(), moments.squares.tobytes()


def lazy(values, cuts):
    borders = [0, *sorted(set(cuts)), len(values)]
    return dask.array.from_array(values, chunks=(tuple(np.diff(borders).tolist()), *values.shape[1:]))


def test_numbers(data):
    (found,) = moments_of(lazy(data, [7]))
    values, known = data.astype(np.float64), found.count > 0
    np.testing.assert_array_equal(found.count, np.isfinite(values).sum(0))
    assert not known[0, 0, 0, 0]
    np.testing.assert_allclose(found.mean[known], np.nanmean(values[:, known], axis=0), rtol=1e-14)
    np.testing.assert_allclose(
        found.squares[known], (np.nanvar(values[:, known], axis=0) * found.count[known]), rtol=1e-11
    )
    assert found.mean[0, 0, 0, 0] == found.squares[0, 0, 0, 0] == 0


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, FRAMES - 1), max_size=8), voxels=st.sampled_from([-1, 1, 2]))
def test_any_chunks_give_the_same_bits(data, cuts, voxels):
    groups = np.arange(FRAMES) % 3
    whole, cut = moments_of(lazy(data, []), groups, 4), moments_of(lazy(data, cuts).rechunk({3: voxels}), groups, 4)
    assert [bits(one) for one in whole[:3]] == [bits(one) for one in cut[:3]]
    assert whole[3] is cut[3] is None


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, FRAMES - 1), max_size=12), draw=st.randoms(use_true_random=False))
def test_blocks_merge_in_any_order(data, cuts, draw):
    borders = [0, *sorted(cuts), FRAMES]
    period = Period(0, FRAMES)
    parts = [period.nodes(data[a:b], a)[0] for a, b in itertools.pairwise(borders)]
    draw.shuffle(parts)
    tree = Tree()
    for nodes in parts:
        tree.update(nodes)
    (expected,) = moments_of(lazy(data, []))
    assert bits(tree.total()) == bits(expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize(("first", "last"), [(0, FRAMES), (7, 40), (44, 45)])
def test_frames_folded_at_once_have_the_bits_of_frames_merged_one_by_one(data, kind, first, last):
    values = (np.nan_to_num(data) * 10).astype(kind) if kind == np.int16 else data.astype(kind)
    whole = Tree()
    whole.update(Period(first, last).nodes(values, 0)[0])
    one_by_one = Tree()
    for number, frame in enumerate(values[first:last]):
        one_by_one.add((0, number), Moments.of_frame(frame))
    assert bits(whole.total()) == bits(one_by_one.total())


def test_frames_that_never_came_are_not_passed_over(data):
    tree = Tree()
    tree.add((0, 0), Moments.of_frame(data[0]))
    tree.add((0, 2), Moments.of_frame(data[2]))
    with pytest.raises(AssertionError, match="frames are missing"):
        tree.total()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_every_type_becomes_float64(dtype):
    values = np.arange(24).reshape(6, 1, 1, 2, 2).astype(dtype)
    (found,) = moments_of(lazy(values, [4]))
    np.testing.assert_array_equal(found.mean, values.astype(np.float64).mean(0))
    assert found.mean.dtype == found.squares.dtype == np.float64


def test_a_level_far_from_zero_does_not_drown_the_deviations():
    """The sum of squares less the square of the sum has no right digit here."""
    wave = np.where(np.arange(64) % 2, 1.0, -1.0)[:, None, None, None, None]
    (found,) = moments_of(lazy(1e9 + wave, [5, 50]))
    assert found.squares.item() / 64 == pytest.approx(1.0, rel=1e-12)


def test_periods_merge_in_their_order(data):
    (one,), (other,) = moments_of(lazy(data[:20], [])), moments_of(lazy(data[20:], []))
    both = merged([one, None, other], SHAPE)
    np.testing.assert_array_equal(both.count, np.isfinite(data).sum(0))
    assert bits(both) == bits(one.then(other))
    assert merged([None], SHAPE).count.sum() == 0
