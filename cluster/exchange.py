"""Exchange: from the summaries of the shards of a wave to the carry that enters each of them."""

from __future__ import annotations

from cluster.executor import Future, Group


def chain(group: Group, workers: int, entering: Future) -> Future:
    """Each worker passes the carry on to the next one: carry_{k+1} = summary_k(carry_k).

    Carries travel from worker to worker as futures; nobody else looks at them. Returns the one that leaves the last.
    """
    carry = entering
    for worker in range(workers):
        carry = group.call(worker, "pass_on", carry)
    return carry
