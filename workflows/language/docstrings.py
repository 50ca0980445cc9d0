"""What the docstring of a dataclass says: of the whole, and of each attribute."""

from __future__ import annotations

import inspect
import re

ATTRIBUTES = re.compile(r"^Attributes:\n", re.MULTILINE)
ENTRY = re.compile(r"^    (?! )([\w, ]+): ", re.MULTILINE)


def described(kind: type) -> tuple[str, dict[str, str]]:
    """What stands before the section `Attributes`, and in it of each attribute; lines are joined to paragraphs.

    A class without a docstring, which dataclasses then make up, has neither.
    """
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    if text.startswith(f"{kind.__name__}("):
        return "", {}
    head, *sections = ATTRIBUTES.split(text)
    found: dict[str, str] = {}
    if sections:
        section = re.split(r"^\S", sections[0], maxsplit=1, flags=re.MULTILINE)[0]
        _, *pairs = ENTRY.split(section)
        for names, told in zip(pairs[::2], pairs[1::2], strict=True):
            found |= dict.fromkeys(map(str.strip, names.split(",")), _joined(told))
    return "\n\n".join(filter(None, map(_joined, head.split("\n\n")))), found


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())
