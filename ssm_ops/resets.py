"""Infinite steps of time: the frames at which the state before is forgotten, and walks that begin anew there.

At such a frame a - 1 is -1, and adding -1 times a state to that state would leave the rounding of what was before in
what follows. So a walk is cut there and the state set to zero: what follows is what a walk that begins there gives.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def endless(dt: Float[Tensor, "*steps"] | None) -> Bool[Tensor, "*steps"] | None:
    """Which steps of a call are infinite, on the CPU; `None` where none is.

    Steps on another device are read back for it. Those on the meta device cannot be: none is known.
    """
    if dt is None or dt.is_meta:
        return None
    found = torch.isinf(dt.detach()).cpu()
    return found if bool(found.any()) else None


class Resets:
    """The frames of some channels of one sample at which something is forgotten.

    Args:
        infinite: Which of their steps are infinite; `None` where none is.
    """

    def __init__(self, infinite: Bool[Tensor, "time_or_one channel_or_one"] | None):
        self._forgotten: dict[int, Bool[Tensor, "channel_or_one"]] = {}
        if infinite is not None:
            self._forgotten = {t: infinite[t] for t in infinite.any(dim=1).nonzero().flatten().tolist()}

    def cut(self, spans: Iterable[slice]) -> list[slice]:
        """The spans, so that each of these frames begins one."""
        if not self._forgotten:
            return list(spans)
        frames, found = list(self._forgotten), []
        for span in spans:
            inside = frames[bisect_right(frames, span.start) : bisect_left(frames, span.stop)]
            found += [slice(*borders) for borders in pairwise([span.start, *inside, span.stop])]
        return found

    def of(self, span: slice) -> Bool[Tensor, "channel_or_one"] | None:
        """Which channels are forgotten where a span begins; `None` where none is."""
        return self._forgotten.get(span.start)

    def forget(self, span: slice, *states: Tensor | None) -> None:
        """Sets what is forgotten where a span begins to zero in states (channel, *spectrum)."""
        which = self._forgotten.get(span.start)
        for state in states:
            if which is not None and state is not None:
                state[which.to(state.device).expand(len(state))] = 0
