"""Memory of results: lent to one at a time, kept for the next of the same size, not more than is said."""

import gc
import threading

import numpy as np
import pytest
import torch

from ssm_ops import Propagator, memory, scan
from ssm_ops.parallel import granted


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    memory._kept.clear()
    memory._most["lent"] = sum(memory._lent.values())
    yield
    memory._kept.clear()


def test_it_comes_back_when_the_last_view_has_gone():
    room, used = memory.lend(1000)
    assert not used
    assert room.ctypes.data % memory.LINE == 0
    view, address = torch.from_numpy(room).view(torch.float32)[10:], room.ctypes.data
    del room
    other, used = memory.lend(1000)
    assert not used
    assert other.ctypes.data != address
    memory._most["lent"] += 2000
    del view
    assert not memory.lend(999)[1]
    again, used = memory.lend(1000)
    assert used
    assert again.ctypes.data == address


def test_it_keeps_no_more_than_it_says(monkeypatch):
    monkeypatch.setattr(memory, "KEPT_BYTES", 5000)
    rooms = [memory.lend(1000)[0] for _ in range(20)]
    del rooms
    gc.collect()
    assert 0 < sum(len(room) for room in memory._kept.values()) <= 5000


def test_it_keeps_no_more_than_was_ever_lent():
    before, first = memory._most["lent"], memory.lend(1000)[0]
    second = memory.lend(1000)[0]
    most = memory._most["lent"]
    assert most >= before + 2000
    del first, second
    for size in (500, 1500, 700):
        memory.lend(size)
        assert sum(len(room) for room in memory._kept.values()) <= most
    assert memory._most["lent"] == most


def test_no_two_threads_share_it():
    failures = []

    def borrow(mark: int) -> None:
        for _ in range(300):
            room, _ = memory.lend(5000)
            room[:] = mark
            if (np.asarray(room) != mark).any():
                failures.append(mark)

    threads = [threading.Thread(target=borrow, args=(mark,)) for mark in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(timeout=60)
    assert not failures


def test_results_that_are_looked_at_do_not_change():
    x = torch.randn(20, 4, 16, 16)
    first, _ = scan(x, Propagator(0.1, 0.2), boundary=("periodic",) * 2)
    kept = first.clone()
    corner = first[3, 2]
    del first
    for _ in range(3):
        scan(-x, Propagator(0.1, 0.2), boundary=("periodic",) * 2)
    torch.testing.assert_close(corner, kept[3, 2], rtol=0, atol=0)


@pytest.mark.parametrize("size", [0, 1, 3 * 2**20])
def test_it_is_writable_of_the_type_and_shape_that_were_asked_for(size):
    with granted(torch.device("cpu")) as threads:
        found = threads.empty((size, 2), torch.float64)
    assert found.shape == (size, 2)
    assert found.dtype == torch.float64
    assert found.fill_(2.0).sum() == 4 * size
