"""Changes to a parsed recipe that are given beside it: `--set STAGE.KEY=VALUE`."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from workflows.language.lines import commented, put_at
from workflows.mistakes import RecipeError, nearest


def change(tree: CommentedMap, text: str, line: int) -> None:
    """Makes a change.

    Args:
        tree: The recipe, which becomes another; what other places of it share with the changed one stays there.
        text: `STAGE.KEY=VALUE`, where KEY may go on, by names and, in lists, by numbers from 0; `matrix.KEY=[..]`; or
            `name=NAME`. The value is YAML.
        line: What is told as the line of the changed key.

    Raises:
        RecipeError: The text is no such thing, or of a stage or key that is not there.
    """
    target, equals, value = text.partition("=")
    names = target.strip().split(".")
    if not equals or (len(names) < 2 and names != ["name"]):
        raise RecipeError("write STAGE.KEY=VALUE, as in --set forecast.chunk=7")
    stages = tree.get("stages")
    top = names == ["name"] or (names[0] == "matrix" and isinstance(tree.get("matrix"), dict))
    if not top and (not isinstance(stages, dict) or names[0] not in stages):
        if names[0] == "environment":
            raise RecipeError(f"set the variable itself, as in `{names[1]}={value} chronovox ..`")
        raise RecipeError(f"no stage {names[0]!r}{nearest(names[0], stages if isinstance(stages, dict) else ())}")
    try:
        found = commented(YAML(typ="safe").load(value))
    except (YAMLError, ValueError) as error:
        raise RecipeError(f"the value is not YAML: {reason_of(error)}") from error
    node: Any = tree if top else stages
    for name, below in itertools.pairwise(names):
        key = _key(node, name)
        if isinstance(node, dict) and key not in node:
            put_at(node, key, CommentedMap(), line)
        inner = copy.deepcopy(node[key])
        if not isinstance(inner, CommentedMap | CommentedSeq):
            raise RecipeError(f"{name!r} has no keys of its own")
        node[key] = inner
        node = inner
        _key(node, below)
    put_at(node, _key(node, names[-1]), found, line)


def reason_of(error: YAMLError | ValueError) -> str:
    """What the parser says is wrong, on one line."""
    return getattr(error, "problem", None) or " ".join(str(error).split())


def _key(node: CommentedMap | CommentedSeq, name: str) -> str | int:
    """The key of a mapping, or the number in a list, of this name."""
    if isinstance(node, dict):
        return name
    if not name.isdecimal() or int(name) >= len(node):
        raise RecipeError(f"{name!r} is no number from 0 to {len(node) - 1}, and there is a list")
    return int(name)
