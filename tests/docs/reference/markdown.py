"""Plain texts of docstrings and help as Markdown: nothing is taken for emphasis or for a tag, and lines are short."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

WIDTH = 120

CODE = re.compile(r"(`+[^`]+`+)")
MARKERS = re.compile(r" (?=(?:[-+>#=|]+|\\\*+|\d+[.)])(?: |$))")
"""A space before what would begin a list, a heading or a quotation at the beginning of a line."""
KEPT = "\0"


def escaped(text: str) -> str:
    """The text with `*` and `<` as they are meant, outside of code."""
    parts = CODE.split(text)
    return "".join(part if CODE.fullmatch(part) else re.sub(r"([*<])", r"\\\1", part) for part in parts)


def paragraph(text: str, indent: str = "", first: str | None = None) -> str:
    """One paragraph, escaped already, in lines of `WIDTH`; the first one behind `first`, the others behind `indent`."""
    kept = MARKERS.sub(KEPT, CODE.sub(lambda found: found[0].replace(" ", KEPT), " ".join(text.split())))
    lines = textwrap.fill(
        kept,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(KEPT, " ")


def item(head: str, told: str) -> str:
    """One of a list: what it is of, and what is said of it, both escaped already."""
    return paragraph(f"{head}: {told}" if told else head, "  ", "- ")


def prose(text: str, links: Mapping[str, str] | None = None) -> str:
    """A docstring: paragraphs, lists and indented blocks, which stay as they are. Code that is a name of `links` leads
    there."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        if part.startswith("    "):
            found.append(part)
        elif part.startswith("- "):
            found.append("\n".join(item(linked(escaped(one), links), "") for one in re.split(r"(?:^|\n)- ", part)[1:]))
        else:
            found.append(paragraph(linked(escaped(part), links)))
    return "\n\n".join(found)


def linked(text: str, links: Mapping[str, str] | None) -> str:
    """The text with names in code that lead somewhere."""

    def led(found: re.Match) -> str:
        name = found[0].strip("`")
        return f"[`{name}`]({links[name]})" if links and name in links else found[0]

    return CODE.sub(led, text)
