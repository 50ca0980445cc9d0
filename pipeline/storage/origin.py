"""What a store was made of, kept in the folder of its data, so that it can be repaired and added to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.volume import DATA

ORIGIN = "origin.json"


def origin_of(path: Path) -> dict[str, Any]:
    """Of the volume at `path`; empty where that was not kept."""
    found = path / DATA / ORIGIN
    return json.loads(found.read_text()) if found.is_file() else {}
