"""A workflow written as a recipe in YAML: every stage, and every setting that is not the default."""

from __future__ import annotations

import dataclasses
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from workflows.language.lines import commented
from workflows.language.mentions import texts
from workflows.mistakes import RecipeError
from workflows.workflow import Workflow


def dump(workflow: Workflow) -> str:
    """The recipe, which loads as an equal workflow of the same fingerprints. Paths in it are absolute; a matrix is
    written out, and variables of the environment are values.

    Raises:
        RecipeError: A text would be read as a mention, `${..}`.
    """
    stream = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(as_tree(workflow), stream)
    return stream.getvalue()


def as_tree(workflow: Workflow) -> CommentedMap:
    """The same as it is parsed."""
    tree = CommentedMap(name=workflow.name, stages=CommentedMap())
    for name, stage in workflow.stages.items():
        body = CommentedMap(stage=stage.kind.name)
        if stage.inputs:
            body["inputs"] = CommentedMap(stage.inputs)
        body.update(written(stage.settings))
        tree["stages"][name] = body
    for place, text, _ in texts(tree, ()):
        raise RecipeError(f"{text!r} cannot be written in YAML, where ${{..}} is a mention", place)
    return tree


def written(settings: Any) -> CommentedMap:
    """What of a dataclass of settings is not the default, as YAML holds it."""
    found = CommentedMap()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if repr(value) != repr(default_of(field)):  # 0 and 0.0 are equal, and fingerprints tell them apart
            found[field.name] = commented(_plain(value))
    return found


def default_of(field: dataclasses.Field) -> Any:
    """What a setting is that is left out; `MISSING` where it cannot be."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _plain(value: Any) -> Any:
    """A value without dataclasses."""
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return written(value) if dataclasses.is_dataclass(value) else value
