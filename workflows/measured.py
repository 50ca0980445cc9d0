"""What a stage took, as far as its processes told."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from cluster import Executor, Usage, forget_peak, own_usage
from pipeline.progress import Progress
from pipeline.storage.means import give_back
from workflows.events import Event, Finished, Pulse, Sent

PAUSE = 0.5
"""Seconds between looks at a process."""


def begin_anew() -> None:
    """Gives back what this process took and needs no more, and forgets its peak."""
    rooms = sys.modules.get("ssm_ops.memory")  # who prepares data does without it
    if rooms is not None:
        rooms.release()
    gc.collect()
    give_back()
    forget_peak()


class Measured:
    """Listens to what a stage says, and adds what its processes take.

    Args:
        executor: Where its work runs.
        tell: Is told how processes are that do not tell it themselves.
    """

    def __init__(self, executor: Executor, tell: Callable[[Event], None]):
        self._executor, self._tell = executor, tell
        self._begun = self._looked = time.monotonic()
        self._peak = self._device = self._moved = 0

    def hear(self, said: Event) -> None:
        """Takes what a stage said."""
        if isinstance(said, Pulse):
            self._take(said.usage)
        elif isinstance(said, Sent):
            self._moved += said.size
        elif isinstance(said, Progress) and time.monotonic() >= self._looked + PAUSE:
            self.look()

    def look(self) -> None:
        """Looks at the driver, and at a stage's only worker."""
        self._looked = time.monotonic()
        for usage in filter(None, (own_usage(), self._executor.used)):
            self._take(usage)
            self._tell(Pulse(None, usage))

    def _take(self, usage: Usage) -> None:
        self._peak, self._device = max(self._peak, usage.peak), max(self._device, usage.device)

    def finished(self) -> Finished:
        """All of it."""
        self.look()
        return Finished(round(time.monotonic() - self._begun, 3), self._peak, self._device, self._moved)
