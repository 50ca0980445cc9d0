"""What a check found, and how checks are run: none takes for ever, none ends in a traceback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

SECONDS = 30.0
"""How long a check may take, unless it says otherwise."""


class State(StrEnum):
    ok = "ok"
    warning = "warning"
    failed = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        state: Whether it is as it should be; a warning is what works and will be slow, or will end early.
        found: What was found.
        remedy: What to do; empty where there is nothing to be done.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def ok(name: str, found: str, remedy: str = "") -> Finding:
    return Finding(name, State.ok, found, remedy)


def warning(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, State.warning, found, remedy)


def failed(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, State.failed, found, remedy)


@dataclass(frozen=True)
class Check:
    """A check by name: a function of nothing that gives what it found.

    Attributes:
        seconds: How long it may take.
    """

    name: str
    look: Callable[[], Finding | Iterable[Finding]]
    seconds: float = SECONDS


def results(checks: Iterable[Check]) -> Iterator[Finding]:
    """What each check found, one after another, as soon as it is known."""
    for check in checks:
        yield from bounded(check)


def bounded(check: Check) -> list[Finding]:
    """What a check found. One that does not end in its time, or that breaks, has failed; its thread is left behind, and
    ends with the process."""
    found: list[Finding] = []
    broken: list[Exception] = []

    def run() -> None:
        try:
            one = check.look()
            found.extend([one] if isinstance(one, Finding) else one)
        except Exception as error:
            broken.append(error)

    thread = threading.Thread(target=run, daemon=True, name=f"check {check.name}")
    thread.start()
    thread.join(check.seconds)
    if thread.is_alive():
        what = f"no answer within {check.seconds:.0f} s"
        return [failed(check.name, what, "something hangs: a file system, a driver or a network that does not answer")]
    if broken:
        reason = " ".join(str(broken[0]).split()) or type(broken[0]).__name__
        what = f"{type(broken[0]).__name__}: {reason}"
        return [failed(check.name, what, "this check itself broke; tell the maintainers what it says")]
    return found
