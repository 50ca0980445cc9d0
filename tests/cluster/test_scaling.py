"""The simulated walk keeps closed forms, moves the bytes that are predicted, and agrees with what `auto` chooses."""

import math

import pytest

from cluster import in_time, lay_out
from cluster.cost import MANY, Hop, choose, moved
from cluster.exchange import EXCHANGES
from tests.benchmarks.simulated_owner import Load, Machine
from tests.benchmarks.simulated_time import Timeline
from tests.benchmarks.simulated_walk import simulate

SECOND = Load(frames=1.0, state=1.0, sent=1)
"""A shard of a byte, on machines that do a byte a second."""

FACTOR = 1.15
"""How much longer a walk by the exchange that `auto` chooses takes than the shortest, at most."""


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_without_exchange_time_is_divided_by_the_workers(workers):
    layout = lay_out([6] * 10, workers)
    assert simulate(layout, "chain", SECOND, Machine(through=1.0)).seconds == 60 / workers


def test_reading_and_writing_go_on_beside_computing():
    machine = Machine(through=1 / 2, read=1 / 3, write=1 / 5)
    assert simulate(in_time([7], 1), "chain", SECOND, machine).seconds == 3 + 2 + 7 * 5


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_a_chain_alone_takes_a_message_for_each_border(workers):
    machine = Machine(hop=Hop(2.0, 1.0))
    assert simulate(in_time([4 * workers], workers), "chain", SECOND, machine).seconds == 3 * (4 * workers - 1)


@pytest.mark.parametrize("workers", [2, 4, 8, 16])
def test_one_wave_of_the_others(workers):
    machine, layout = Machine(hop=Hop(2.0, 1.0)), in_time([workers], workers)
    assert simulate(layout, "all-gather", SECOND, machine).seconds == 2 + workers - 1
    rounds = simulate(layout, "tree", SECOND, Machine(hop=Hop(1.0, math.inf))).seconds
    assert math.log2(workers) <= rounds <= 2 * math.log2(workers)


@pytest.mark.parametrize(("workers", "wave"), [(2, 8), (4, 8), (8, 8), (16, 16), (32, 32)])
def test_a_wave_of_a_chain_lasts_as_long_as_its_work_or_its_hops_whichever_is_more(workers, wave):
    machine = Machine(through=1 / 6, keep=1 / 4, finish=1 / 4, hop=Hop(1.0, math.inf))
    nine, ten = (simulate(in_time([n * workers], workers), "chain", SECOND, machine).seconds for n in (9, 10))
    assert ten - nine == wave


def test_a_store_for_all_is_no_faster_with_more_workers():
    machine = Machine(read=1.0, write=1.0, shared=4.0)
    seconds = [simulate(lay_out([5] * n, n), "chain", SECOND, machine).seconds for n in (8, 16)]
    assert seconds == pytest.approx([5 * 8 * 2 / 4, 5 * 16 * 2 / 4], rel=0.05)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("workers", [1, 2, 7, 16])
def test_bytes_are_those_of_the_cost_model(workers, exchange):
    layout, load = in_time([3 * workers + 2, 5], workers), Load(frames=1.0, state=80.0, sent=10)
    found = simulate(layout, exchange, load, Machine(through=1.0, keep=1.0, finish=1.0, hop=Hop(0.1, 100.0)))
    assert found.moved == moved(layout, exchange, [10])
    assert (found.messages > 0) == (workers > 1)


@pytest.mark.parametrize("work", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("state", [10**5, 10**8])
@pytest.mark.parametrize("workers", [2, 4, 24])
def test_auto_is_about_the_best(workers, state, work):
    hop, layout = Hop(1e-3, 1e9), in_time([6 * workers], workers)
    sending = Hop(0.2e-3, math.inf)
    machine = Machine(through=1.6 / work, keep=2 / work, finish=2 / work, hop=Hop(0.8e-3, 1e9), submit=sending)
    load = Load(frames=1.0, state=float(state), sent=state)
    allowed = [name for name, kind in EXCHANGES.items() if workers >= MANY or not kind.regroups]
    seconds = {exchange: simulate(layout, exchange, load, machine).seconds for exchange in allowed}
    assert seconds[choose(layout, [state], hop, work=work).name] <= FACTOR * min(seconds.values())


def test_processes_that_all_sleep_are_an_error():
    timeline = Timeline(2)
    with pytest.raises(RuntimeError, match="2 processes sleep and nobody will wake them"):
        timeline.run([timeline.sleep] * 2)
