"""A result that is being made: beside its destination, by one process at a time, from where the last one stopped.

What is made lies in the folder DEST.part, with what it is to be and a lock that a dead process does not keep. The
destination appears when all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.storage.atomic import write_text
from pipeline.volume import InputError

PLAN = "plan.json"


class Unfinished:
    """A result that is not whole yet, held by this process.

    Attributes:
        folder: What is made lies in here.
        begun: Whether an earlier process began it.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]):
        self.folder = folder
        told = json.dumps(plan, sort_keys=True, default=str)
        self._identity, self._path = hashlib.sha256(told.encode()).hexdigest(), folder / PLAN
        known = json.loads(self._path.read_text()) if self._path.exists() else {}
        self.begun = known.get("identity") == self._identity
        if known and not self.begun:
            other = " and ".join(key for key in known if _differs(known, plan, key))
            raise InputError(
                f"{folder} is the unfinished result of something else (another {other}); remove that folder, or choose "
                "another name"
            )
        self._plan = plan

    def begin(self) -> None:
        """Records what is to be made: what lies in the folder from now on belongs to it."""
        write_text(self._path, json.dumps({"identity": self._identity, **self._plan}, default=str) + "\n")
        self.begun = True

    def drop(self) -> None:
        """Removes what was made."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _differs(known: dict[str, Any], plan: dict[str, Any], key: str) -> bool:
    return key != "identity" and known[key] != json.loads(json.dumps(plan.get(key), default=str))


@contextmanager
def unfinished(destination: Path, plan: dict[str, Any]) -> Iterator[Unfinished]:
    """Holds the unfinished result of a destination.

    Whoever ends normally has moved what was made to its place; the folder is then removed. It is removed too where
    the input turned out to be bad (`InputError`). After anything else it stays, to be continued.

    Args:
        plan: All that the result depends on, as JSON has it. What was begun by another plan is refused.

    Raises:
        InputError: Another process holds it, or another plan began it, or the folder cannot be made.
    """
    folder = destination.with_name(destination.name + ".part")
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process makes {destination} at this moment; wait for it, or choose another name"
        ) from None
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}; choose another place") from error
    try:
        held = Unfinished(folder, plan)
        try:
            yield held
        except InputError:
            held.drop()
            raise
        held.drop()
    finally:
        if not (folder / PLAN).exists():  # nothing was begun in it
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()
