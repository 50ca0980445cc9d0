"""A page that a stage makes. It opens alone, and the report of its run takes it in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

SECTION = "section.html"
"""What it is called in a stage's folder. What the report of a run takes in is what its element `main` holds."""


def write_section(folder: Path, template: str, page: Mapping[str, Any]) -> None:
    """Writes the page of a stage; it needs no network and nothing beside it.

    Args:
        folder: Of the stage.
        template: Its name in `pipeline/templates`; it extends `page.html.j2`.
        page: What it shows.
    """
    made = Environment(loader=PackageLoader("pipeline", "templates"), autoescape=True).get_template(template)
    (folder / SECTION).write_text(made.render(page))


def body_of(page: str) -> str | None:
    """What the element `main` of a page holds; `None` where there is none."""
    _, opened, rest = page.partition("<main>")
    body, closed, _ = rest.rpartition("</main>")
    return body if opened and closed else None
