"""When a step counts as diverged: told from its loss and the norm of its gradient, before the weights are touched.

Both are sums over all workers, the same bits at each of them, so all decide alike without a word.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from pipeline.volume import InputError


class Diverged(InputError):
    """A training diverged, and did so again as often as it may go back."""


class Guard:
    """Remembers the norms of the last steps.

    Args:
        spike: How many times their median a norm may be; `None` if it may be anything finite.
        steps: How many steps are remembered. Before there were so many, no norm is too large.
    """

    def __init__(self, spike: float | None, steps: int):
        self.spike = spike
        self._norms: deque[float] = deque(maxlen=steps)

    @property
    def norms(self) -> np.ndarray:
        """What a checkpoint keeps: the norms of the last steps, float64, the oldest first; none without `spike`."""
        return np.array(self._norms, np.float64)

    def restore(self, norms: np.ndarray) -> None:
        """Remembers these norms and no other."""
        self._norms.clear()
        self._norms.extend(norms.tolist())

    def forget(self) -> None:
        """Remembers none: what is trained on is another."""
        self._norms.clear()

    def wrong(self, loss: float, norm: float) -> str:
        """What is wrong with a step, with the numbers; empty if nothing is."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            return f"the norm of the gradient is {norm}"
        if self.spike is not None and len(self._norms) == self._norms.maxlen:
            median = float(np.median(self._norms))
            if norm > self.spike * median:
                return (
                    f"the norm of the gradient is {norm:.4g}, beyond spike ({self.spike:g}) times {median:.4g}, the "
                    f"median of the last {len(self._norms)} steps"
                )
        return ""

    def passed(self, norm: float) -> None:
        """Remembers the norm of a step that was taken."""
        if self.spike is not None:
            self._norms.append(norm)
