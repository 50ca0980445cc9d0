"""Work beside a page: on a thread of its own, so that the page never waits for a disk; of what is asked, the newest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from bokeh.document import Document

from pipeline.volume import InputError

Result = TypeVar("Result")


class Beside:
    """Does one thing at a time on a thread, and shows what comes of it in the document.

    Where something else is asked meanwhile, what is underway ends after its next result, and what waits is forgotten:
    of ten places of a slider only the last one is read.

    Args:
        document: Whose page it works for; it ends with the page's session.
        failed: Shows the message of an `InputError`, or that something else went wrong.
    """

    def __init__(self, document: Document, failed: Callable[[str], None]):
        self._document, self._failed = document, failed
        self._news = threading.Condition()
        self._asked: tuple[Callable[[], Iterator], Callable] | None = None
        self._closed, self._pending = False, 0
        self._thread: threading.Thread | None = None
        document.on_session_destroyed(lambda _: self.close())

    @property
    def busy(self) -> bool:
        """Whether something is underway, waits, or is not shown yet."""
        with self._news:
            return self._asked is not None or self._pending > 0

    def ask(self, work: Callable[[], Iterator[Result]], show: Callable[[Result], None]) -> None:
        """Has `work` done on the thread and each result given to `show`, in the page's own thread."""
        with self._news:
            if self._closed:
                return
            self._asked = work, show
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="beside the page", daemon=True)
                self._thread.start()
            self._news.notify()

    def close(self) -> None:
        """Ends the thread after what it does now."""
        with self._news:
            self._closed, self._asked = True, None
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._asked is not None)
                if self._closed:
                    return
                (work, show), self._asked = self._asked, None
                self._pending += 1
            try:
                for result in work():
                    self._deliver(partial(show, result))
                    if self._closed or self._asked is not None:
                        break
            except InputError as error:
                self._deliver(partial(self._failed, str(error)))
            except Exception:
                logging.getLogger(__name__).exception("a bug of the page")
                self._deliver(partial(self._failed, "something went wrong; the terminal tells more"))
            self._deliver(self._done)

    def _deliver(self, show: Callable[[], None]) -> None:
        if not self._closed:
            self._document.add_next_tick_callback(show)

    def _done(self) -> None:
        with self._news:
            self._pending -= 1
