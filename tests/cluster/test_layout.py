"""Layouts: every shard has one owner, independent strands are given away before time is cut, the choice is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import Place, in_time, lay_out
from cluster.layout import APART


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=6), st.integers(1, 7))
def test_every_shard_that_is_left_is_walked_once(strands, workers):
    lengths, done = [d + left for d, left in strands], [d for d, _ in strands]
    layout = lay_out(lengths, workers, done=done)
    walked = sorted(place for worker in range(layout.workers) for place in layout.places(worker))
    assert walked == [
        Place(s, i) for s, (d, length) in enumerate(zip(done, lengths, strict=True)) for i in range(d, length)
    ]
    assert layout.workers <= workers
    assert sum(shards for _, shards in layout.loads()) == len(walked)
    assert max(layout.loads())[0] <= max(in_time(lengths, workers, done=done).loads())[0] + 1e-9


@pytest.mark.parametrize(
    ("lengths", "workers", "loads", "why"),
    [
        ((8, 8, 8), 3, [8, 8, 8], "3 series over 3 workers: longest worker 8 of 24 shards; time cut would take 1.74"),
        (
            (8, 8, 8, 8),
            2,
            [16, 16],
            "4 series over 2 workers: longest worker 16 of 32 shards; time cut would take 1.55",
        ),
        ((8, 8, 8), 2, [8 + 4 * APART] * 2, "3 series over 2 workers, 1 of them cut in time: longest worker 12 of 24"),
        (
            (8, 8),
            3,
            [4 * APART, 4 * APART, 8],
            "2 series over 3 workers, 1 of them cut in time: longest worker 8 of 16",
        ),
        ((24,), 2, [12 * APART] * 2, "1 series over 2 workers, cut in time: longest worker 12 of 24 shards"),
        ((24, 24), 1, [48], ""),
    ],
)
def test_series_first_then_time(lengths, workers, loads, why):
    layout = lay_out(lengths, workers)
    assert [cost for cost, _ in layout.loads()] == pytest.approx(loads)
    assert layout.why.startswith(why)
    assert bool(layout.why) == bool(why)
