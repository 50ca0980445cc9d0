"""What is done when something on a page changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.model import Model


def when_changed(model: Model, name: str, do: Callable[[Any], None]) -> None:
    """Has something done with the new value of a property, whoever changes it: a browser, or this process."""

    def changed(attr: str, old: Any, new: Any) -> None:
        del attr, old
        do(new)

    model.on_change(name, changed)
