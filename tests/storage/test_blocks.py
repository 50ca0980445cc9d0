"""How arrays are cut: sizes that stream, whole frames where they fit, whatever is given kept, the rest fitting it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage.blocks import LARGEST_CHUNK, Blocks, choose, of_frames, refuse_shared, sizes
from pipeline.volume import AXES, InputError


@pytest.mark.parametrize(
    ("shape", "itemsize", "chunk", "shard"),
    [
        ((240, 1, 1, 37, 49), 4, (240, 1, 1, 37, 49), (240, 1, 1, 37, 49)),  # all of it in one
        ((100_000, 8, 1, 128, 128), 4, (8, 8, 1, 128, 128), (512, 8, 1, 128, 128)),
        ((1000, 3, 64, 512, 512), 4, (1, 1, 4, 512, 512), (1, 3, 64, 512, 512)),  # a frame of 201 MB is cut in space
        ((5, 1, 1, 20_000, 20_000), 2, (1, 1, 1, 105, 20_000), (1, 1, 1, 20_055, 20_000)),
    ],
)
def test_what_is_chosen(shape, itemsize, chunk, shard):
    assert choose(shape, itemsize) == Blocks(chunk, shard)


@given(
    st.tuples(*[st.integers(1, 300)] * 5),
    st.sampled_from([1, 2, 4, 8]),
    st.dictionaries(st.sampled_from(AXES), st.integers(1, 400), max_size=3),
)
def test_every_element_lies_in_one_shard_and_chunks_are_of_a_good_size(shape, itemsize, given_chunk):
    blocks = choose(shape, itemsize, given_chunk)
    for axis, size in given_chunk.items():
        assert blocks.chunk[AXES.index(axis)] == min(size, shape[AXES.index(axis)])
    if not given_chunk:
        assert math.prod(blocks.chunk) * itemsize <= LARGEST_CHUNK
    assert all(chunk <= size for chunk, size in zip(blocks.chunk, shape, strict=True))
    parts = [part for _, part in blocks.shards(shape)]
    assert sum(math.prod(sizes(part)) for part in parts) == math.prod(shape)
    assert parts == sorted(parts, key=lambda part: [one.start for one in part])


@pytest.mark.parametrize(
    ("chunk", "shard", "message"),
    [
        ({"time": 7}, {"time": 16}, "shards of 16 along time hold no whole chunks of 7; give 21"),
        ({"time": 0}, {}, "0 along time; give at least 1"),
        ({"x": 3}, {}, "no axis 'x' to be cut; the axes are time, channel"),
    ],
)
def test_what_cannot_be_is_refused(chunk, shard, message):
    with pytest.raises(InputError, match=message):
        choose((100, 1, 1, 4, 4), 4, chunk, shard)


def test_a_shard_longer_than_the_array_is_all_of_it():
    assert choose((100, 1, 1, 4, 4), 4, {"time": 7}, {"time": 1000}).shard[0] == 105
    assert of_frames((5, 4, 1, 2, 2), 8, 2) == Blocks((5, 2, 1, 2, 2), (5, 2, 1, 2, 2))


def test_two_writers_of_one_chunk_are_found_when_the_plan_is_made():
    parts = [slice(0, 2), slice(2, 5)]
    refuse_shared((4, 2), 10, [(0, 8), (8, 10)], parts)
    with pytest.raises(ValueError, match="two would write the chunk of 4 frames around 6"):
        refuse_shared((4, 2), 10, [(0, 6), (6, 10)], parts)
    with pytest.raises(ValueError, match="two would write the chunk of 4 channels around 2"):
        refuse_shared((4, 4), 10, [(0, 8), (8, 10)], parts)
    with pytest.raises(ValueError, match="do not follow each other from 0 to 10"):
        refuse_shared((4, 2), 10, [(0, 4), (8, 10)], parts)
