"""Recipes in YAML: what is written, with changes, variables and the matrix, becomes a `Recipe`, stage by stage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from workflows.language.changes import change, reason_of
from workflows.language.environment import filled_in
from workflows.language.explained import RESERVED
from workflows.language.lines import line_of
from workflows.language.matrix import written_out
from workflows.language.mentions import OPENING
from workflows.language.recipe import Recipe, kind_at
from workflows.mistakes import RecipeError, nearest
from workflows.workflow import Workflow

KEYS = ("name", "environment", "matrix", "stages")
REQUIRED = ("name", "stages")

HINTS = (
    ("'\\t'", "; indent with spaces, not tabs"),
    ("cannot start any token", "; put the text in quotes"),
    ("could not find expected ':'", "; is a space missing behind a colon?"),
    ("<block end>", "; indent the keys of one mapping alike"),
    ("but got ':'", "; put a text with a colon in quotes"),
)
"""Of what the parser says, what to do about it."""


def parsed(text: str, path: Path) -> CommentedMap:
    """The file as YAML, each key with its line.

    Raises:
        RecipeError: It is not YAML, or no mapping.
    """
    try:
        tree = YAML(typ="rt").load(text)
    except (YAMLError, ValueError) as error:  # ValueError: a date such as 2000-02-31
        reason, mark = reason_of(error), getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if reason.startswith("could not find expected ':'"):  # it was looked for up to the next line
            mark = error.context_mark
        there = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"not YAML: {reason}{_hint(reason, there)}", where=where) from error
    if not isinstance(tree, CommentedMap):
        raise RecipeError("a recipe is a mapping with the keys name and stages", where=str(path))
    return tree


def _hint(reason: str, line: str) -> str:
    """What to do about a line that is not YAML."""
    if OPENING in line:
        return "; within braces put ${...} in quotes"
    return next((hint for word, hint in HINTS if word in reason), "")


def workflow_of(tree: CommentedMap, path: Path, changes: Sequence[str] = ()) -> Workflow:
    """The workflow that a parsed file describes.

    Args:
        tree: The file; changes are made in it.
        path: Of the file, for messages; relative paths of files start in its folder.
        changes: See `workflows.language.changes`.

    Raises:
        RecipeError: The message has the line, or the change, where the mistake is.
    """
    for number, text in enumerate(changes):
        try:
            change(tree, text, -number)  # lines of the file are above 0
        except RecipeError as error:
            raise error.at(f"--set {text}") from error
    document = _Document(tree)
    try:
        return document.workflow(path.parent)
    except RecipeError as error:
        line = line_of(document.tree, error.place)
        lined = f"{path}:{line}" if line else str(path)
        raise error.at(lined if line is None or line > 0 else f"--set {changes[-line]}") from error


class _Document:
    """A parsed file.

    Attributes:
        tree: It, as far as it is read: first as it is written, at last with all values and repetitions.
    """

    def __init__(self, tree: CommentedMap):
        self.tree = tree

    def workflow(self, folder: Path) -> Workflow:
        self._refuse_keys()
        recipe = Recipe(self.tree["name"], folder)
        if not isinstance(self.tree["stages"], CommentedMap) or not self.tree["stages"]:
            raise RecipeError(
                "must map names of stages to their settings, as in raw: {stage: ingest, source: a.nc}", ("stages",)
            )
        self.tree, taken = filled_in(self.tree, os.environ)
        written = list(self.tree["stages"])
        self.tree["stages"] = written_out(self.tree, self._gathering(recipe))
        for name, body in self.tree["stages"].items():
            if not isinstance(body, dict) or not isinstance(body.get("stage"), str):
                what = "must be a mapping with" if not isinstance(body, dict) or "stage" in body else "lacks"
                raise RecipeError(f"{what} a key stage: one of {', '.join(recipe.kinds)}", ("stages", name))
            settings = {key: value for key, value in body.items() if key not in RESERVED}
            recipe.add(name, body["stage"], body.get("inputs", {}), settings)
        return recipe.workflow(written, taken)

    def _refuse_keys(self) -> None:
        for key, value in self.tree.items():
            if key not in KEYS:
                stray = isinstance(value, dict) and "stage" in value
                hint = "; is it a stage? Indent it below stages" if stray else nearest(key, KEYS)
                raise RecipeError(f"unknown key {key!r}{hint}", (key,))
        for key in REQUIRED:
            if key not in self.tree:
                raise RecipeError(f"the key {key!r} is missing")

    def _gathering(self, recipe: Recipe) -> list[str]:
        """The kinds of its stages that gather."""
        found = []
        for name, body in self.tree["stages"].items():
            kind = body.get("stage") if isinstance(body, dict) else None
            known = isinstance(kind, str) and kind in recipe.kinds
            if known and kind_at(recipe.kinds, kind, ("stages", name, "stage")).gathers:
                found.append(kind)
        return found
