"""A recipe's environment: the variables that it may read, and their values in the place of mentions.

    environment: {DATA: /data/era5, YEARS: }

`${env.DATA}` in a setting, or in a value of the matrix, is the variable DATA of the environment; where that is not set,
or empty, the default, if one is given. No other variable is looked at, and one that nothing mentions is not either.

A variable whose default is a text is a text. Any other is read as YAML, as if it stood in the place of the mention.
Within a longer text it is as it is.

Nothing else becomes of it: the recipe means what it means with the values written out, fingerprints included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from workflows.language.lines import put
from workflows.language.mentions import KEY, OPENING, as_text, filled, texts
from workflows.mistakes import Place, RecipeError, nearest

NAME = "env"
"""What mentions begin with."""

MENTION = re.compile(rf"\$\{{{NAME}(?:\.([^{{}}]*))?\}}")


@dataclass(frozen=True)
class Taken:
    """What a recipe took for a variable: its text in the environment, or the default that the recipe gives."""

    value: Any
    is_default: bool


def filled_in(tree: CommentedMap, environ: Mapping[str, str]) -> tuple[CommentedMap, dict[str, Taken]]:
    """The recipe with values for all mentions of variables, and what was taken for each that is mentioned.

    Raises:
        RecipeError: The declaration is no mapping of names to defaults; a mention is of what it does not have, or
            where none can be; a variable is not set and has no default, or is no YAML.
    """
    variables = _Variables(tree.get("environment", {}), environ)
    result = CommentedMap()
    for key, node in tree.items():
        if key in ("stages", "matrix"):
            _refuse_names(node, (key,))
            node = filled(node, (key,), MENTION, variables.value, variables.text)
        put(result, key, node, tree, key)
    return result, variables.taken


def _refuse_names(node: Any, place: Place) -> None:
    for where, text, is_key in texts(node, place):
        if not MENTION.search(text):
            continue
        if is_key:
            raise RecipeError(f"{text!r} is a name, and names cannot be mentions; mention variables in settings", where)
        if where[0] == "stages" and where[2:3] == ("inputs",):
            raise RecipeError("inputs name stages as they are written; mention variables in settings", where)


class _Variables:
    """The variables that a recipe declares."""

    def __init__(self, declared: Any, environ: Mapping[str, str]):
        place = ("environment",)
        if not isinstance(declared, dict):
            raise RecipeError("must map names of variables to defaults, or to nothing, as in {DATA: /data}", place)
        for name, default in declared.items():
            if not isinstance(name, str) or not KEY.fullmatch(name):
                raise RecipeError(f"{name!r} is no name for a variable; use letters, digits and _", (*place, name))
            for where, text, _ in texts(default, (*place, name)):
                raise RecipeError(f"{text!r} mentions something within a default; write the value out", where)
        self.declared, self.environ = declared, environ
        self.taken: dict[str, Taken] = {}

    def value(self, name: str | None, place: Place) -> Any:
        found = self._take(name, place)
        if found.is_default or isinstance(self.declared[name], str):
            return found.value
        try:
            return YAML(typ="safe").load(found.value)
        except (YAMLError, ValueError) as error:
            raise RecipeError(
                f"${{{NAME}.{name}}} is {found.value!r}, which is not YAML; set it otherwise", place
            ) from error

    def text(self, name: str | None, place: Place) -> str:
        return as_text(self._take(name, place).value, f"{NAME}.{name}", place)

    def _take(self, name: str | None, place: Place) -> Taken:
        if name is None:
            raise RecipeError(f"${{{NAME}}} is no mention; write ${{{NAME}.VARIABLE}}", place)
        if name not in self.declared:
            near = nearest(name, self.declared) if self.declared else ""
            mend = f"; declare it at the top, environment: {{{name}: }}, with a default behind the colon or without"
            raise RecipeError(f"the recipe declares no variable {name!r}{near or mend}", place)
        given, default = self.environ.get(name), self.declared[name]
        if not given and default is None:
            raise RecipeError(
                f"the variable {name} is not set in the environment and has no default; set it, as in "
                f"`{name}=VALUE chronovox ..`, or give a default, environment: {{{name}: VALUE}}",
                place,
            )
        if given and OPENING in given:
            raise RecipeError(f"the variable {name} is {given!r}, which mentions something; write the value out", place)
        self.taken[name] = Taken(given or default, is_default=not given)
        return self.taken[name]
