"""The pages of the reference."""

from __future__ import annotations

import json
from pathlib import Path

from tests.docs.reference import commands, python, stages

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "reference"
SCHEMA = ROOT / "workflows" / "recipe.schema.json"

MADE = "<!-- Made by `make docs` of what the code says of itself: change it there. -->\n\n"


def pages() -> dict[str, str]:
    """The text of each page by the name of its file; of stages as the published schema has them."""
    schema = json.loads(SCHEMA.read_text())
    made = {"commands.md": commands.page(), "stages.md": stages.page(schema), "python.md": python.page()}
    return {name: MADE + text for name, text in made.items()}
