"""The exchange of a run of time played by one process: ranks in order forward, in reverse order backward."""

from __future__ import annotations

from collections import deque

from ssm_ops import Affine


class PlayedChain:
    """The ranks of one run of time. Whoever plays them does so in order, so that what a rank waits for is there."""

    def __init__(self, size: int):
        self.size, self.sent = size, {}

    def rank(self, number: int) -> PlayedRank:
        return PlayedRank(self, number)


class PlayedRank:
    def __init__(self, chain: PlayedChain, number: int):
        self.chain, self.number = chain, number

    def __call__(self, summary: Affine, *, backward: bool = False):
        step, last = (-1, 0) if backward else (1, self.chain.size - 1)
        waiting = self.chain.sent.get((self.number, backward))
        carry = waiting.popleft() if waiting else None
        if self.number != last:
            self.chain.sent.setdefault((self.number + step, backward), deque()).append(summary(carry).clone())
        return carry
