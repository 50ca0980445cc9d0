"""What was measured on this machine, kept in the user's cache: by machine, by versions, by what was measured."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.storage.atomic import replaced

VERSIONS = ("chronovox", "torch", "numba", "zarr", "numpy")

MOST = 200
"""Measurements that are kept; the oldest go."""


class Kept:
    """A file of measurements.

    Args:
        path: The file; by default `chronovox/measured.json` in the user's cache.
    """

    def __init__(self, path: Path | None = None):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.path = path or cache / "chronovox" / "measured.json"

    def get(self, name: str, identity: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was measured before, else what `measure` finds now."""
        machine = [platform.node(), platform.machine(), os.cpu_count(), list(map(importlib.metadata.version, VERSIONS))]
        told = json.dumps([name, machine, identity], sort_keys=True, default=str)
        key = f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        found = self._read().get(key)
        if found is None:
            found = measure()
            self._keep(key, found)
        return found

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):  # not there, or torn: it is measured anew
            return {}

    def _keep(self, key: str, found: dict[str, Any]) -> None:
        known = self._read() | {key: found}
        try:
            with replaced(self.path) as file:
                file.write(json.dumps(dict(list(known.items())[-MOST:]), indent=1).encode())
        except OSError:  # no cache can be written here: it is measured anew each time
            return
