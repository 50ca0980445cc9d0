"""Waves: an archive longer than the workers' memory runs as one shard a worker, then the next ones, then the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cluster.exchange import chain
from cluster.executor import Group


def run_waves(group: Group, shards: Sequence[Any], exchanges: int) -> Iterator[tuple[Any, ...]]:
    """Runs the programs of consecutive shards, and yields the shards of each wave when all of it is done.

    The workers' object has `program(shard)`, a generator with `exchanges` exchange points (see `ssm_ops.carry`), and
    `entering_carry(shard, point)`, the carry that enters a shard whose predecessor is finished.
    """
    for first in range(0, len(shards), group.size):
        wave = tuple(shards[first : first + group.size])
        calls = [group.call(worker, "begin", shard) for worker, shard in enumerate(wave)]
        for point in range(exchanges):
            leaving = chain(group, len(wave), group.call(0, "ask", "entering_carry", wave[0], point))
            calls.append(group.call(len(wave) - 1, "arrived", leaving))
            calls += [group.call(worker, "resume") for worker in range(len(wave))]
        group.wait(calls)  # in the order they were made, so that the first failure is the one reported
        yield wave
