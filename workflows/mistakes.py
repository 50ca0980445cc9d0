"""Mistakes in recipes: what is wrong, where, and the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

Place = tuple[str | int, ...]
"""The keys that lead somewhere in a recipe."""


class RecipeError(ValueError):
    """A recipe that cannot be run as written.

    Attributes:
        reason: What is wrong, and the remedy.
        place: Where in the recipe; empty where it is of the whole.
        where: The file and its line, or the option; empty where that is not known.
    """

    def __init__(self, reason: str, place: Place = (), where: str = ""):
        super().__init__(reason, place, where)
        self.reason, self.place, self.where = reason, place, where

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, ".".join(map(str, self.place)), self.reason)))

    def at(self, where: str) -> RecipeError:
        """The same, of a file and line."""
        return RecipeError(self.reason, self.place, where)


def nearest(word: object, known: Iterable[object]) -> str:
    """The end of a message about an unknown word: the known one that is like it, else all of them."""
    known = list(map(str, known))
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if known else "; none is known here"


def is_word(name: object) -> bool:
    """Whether it can be the name of a recipe or a stage: letters, digits, _ and -."""
    return isinstance(name, str) and name.replace("_", "").replace("-", "").isalnum()
