"""Mentions in a recipe, `${NAME}`: where they are, and values in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from workflows.language.lines import put, with_lines
from workflows.mistakes import Place, RecipeError

OPENING = "${"
MENTION = re.compile(r"\$\{([^{}]*)\}")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What can be mentioned."""


def texts(node: Any, place: Place) -> Iterator[tuple[Place, str, bool]]:
    """The texts in part of a recipe that look as if they mentioned something: where, and whether as a key."""
    if isinstance(node, str):
        if OPENING in node:
            yield place, node, False
    elif isinstance(node, dict):
        for key, value in node.items():
            if OPENING in str(key):
                yield (*place, key), str(key), True
            yield from texts(value, (*place, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from texts(value, (*place, number))


def filled(
    node: Any,
    place: Place,
    mention: re.Pattern[str],
    value: Callable[[str, Place], Any],
    text: Callable[[str, Place], str],
) -> Any:
    """A part of a recipe with values for mentions; every key knows the line that it came from.

    Args:
        node: The part.
        place: Where it is.
        mention: What a mention looks like; its first group is what is mentioned.
        value: What becomes of a text that is a mention and nothing else.
        text: What is written for a mention within a longer text.
    """
    if isinstance(node, str):
        whole = mention.fullmatch(node)
        return value(whole[1], place) if whole else mention.sub(lambda found: text(found[1], place), node)
    if isinstance(node, dict):
        result = CommentedMap()
        for key, one in node.items():
            put(result, key, filled(one, (*place, key), mention, value, text), node, key)
        return result
    if isinstance(node, list):
        each = (filled(one, (*place, number), mention, value, text) for number, one in enumerate(node))
        return with_lines(CommentedSeq(each), node)
    return node


def as_text(value: Any, mentioned: str, place: Place) -> str:
    """A value within a longer text.

    Raises:
        RecipeError: It is none that can be written there.
    """
    if value is None or isinstance(value, dict | list | bool):
        told = json.dumps(value, default=str)
        raise RecipeError(f"${{{mentioned}}} is {told}, and only texts and numbers fit within a text", place)
    return str(value)
