"""Messages between workers: what is sent lies in a mailbox until it is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Hashable, Iterable
from typing import Any

Key = Hashable
Receiving = Generator[Key, None, Any]
"""A coroutine that yields the key of each message it waits for, and is continued when that is here."""


CONTINUE = "what was committed stands: run the same command again to continue"


class WorkerLost(RuntimeError):
    """A worker died or fell silent; what was committed stands, and the same command continues from there."""


class Mailbox:
    """One worker's messages, each under a key that is used once. Any thread may put one in."""

    def __init__(self):
        self._here: dict[Key, Any] = {}
        self._news = threading.Condition()

    def put(self, key: Key, value: Any) -> None:
        with self._news:
            self._here[key] = value
            self._news.notify_all()

    def here(self, key: Key) -> bool:
        return key in self._here

    def take(self, key: Key) -> Any:
        """The message; afterwards it is gone."""
        return self._here.pop(key)

    def comes(self, keys: Iterable[Key], seconds: float) -> bool:
        """Returns when one of the messages is here, or after so many seconds; whether one is."""
        keys = list(keys)
        with self._news:
            return self._news.wait_for(lambda: any(key in self._here for key in keys), timeout=seconds)

    def wait(self, keys: Iterable[Key], seconds: float, what: Callable[[], str]) -> None:
        """Returns when one of the messages is here.

        Raises:
            WorkerLost: None came within `seconds`; the message says what was waited for.
        """
        if not self.comes(keys, seconds):
            raise WorkerLost(f"waited {seconds:.0f} s for {what()}; {CONTINUE}")


class Post:
    """What one worker sends and receives; counts what goes to others.

    Args:
        rank: This worker.
        mail: Its mailbox.
        deliver: Puts a message into the mailbox of another worker: (worker, key, value).
        adopt: Completes a summary that another worker sent: (summary, exchange point).
    """

    def __init__(
        self,
        rank: int,
        mail: Mailbox,
        deliver: Callable[[int, Key, Any], None],
        adopt: Callable[[Any, int], Any] = lambda summary, _: summary,
    ):
        self.rank, self.mail, self._deliver, self.adopt = rank, mail, deliver, adopt
        self.sent_bytes = self.sent = 0

    def send(self, to: int, key: Key, value: Any) -> None:
        if to == self.rank:
            self.mail.put(key, value)
            return
        self.sent_bytes += getattr(value, "nbytes", 0)
        self.sent += 1
        self._deliver(to, key, value)

    def receive(self, key: Key) -> Receiving:
        while not self.mail.here(key):
            yield key
        return self.mail.take(key)
