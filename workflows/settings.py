"""The settings of a stage, made of plain values: as strict about types and keys as JSON, and clear about mistakes."""

from __future__ import annotations

import dataclasses
import json
import numbers
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.archive import locate
from pipeline.volume import InputError
from workflows.mistakes import Place, RecipeError, nearest
from workflows.stage import StageKind

RESERVED = ("stage", "inputs")
"""Keys of a stage in a recipe that are no settings."""

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument")


def settings_of(kind: StageKind, given: Mapping[Any, Any], place: Place, folder: Path) -> Any:
    """The settings of a stage of this kind.

    Args:
        kind: The kind.
        given: Values by key: what YAML or JSON can hold, dates, paths, tuples, and dataclasses of settings.
        place: Of the stage in its recipe, for messages.
        folder: Where relative paths of files start.

    Raises:
        RecipeError: A key is unknown or missing, a value is of another type or means nothing, or a file is not there.
    """
    body = plain(given, place)
    try:
        settings = adapter(kind.settings).validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        raise _explained(kind, body, place, error) from error
    found = {}
    for key in kind.files:
        named = getattr(settings, key)
        try:
            paths = tuple(str(locate(one, folder)) for one in ((named,) if isinstance(named, str) else named))
        except InputError as error:
            raise RecipeError(str(error), (*place, key)) from error
        found[key] = paths[0] if isinstance(named, str) else paths
    return dataclasses.replace(settings, **found)


@cache
def adapter(settings: type) -> TypeAdapter:
    """What checks a dataclass of settings."""
    return TypeAdapter(settings)


def plain(value: Any, place: Place) -> Any:
    """What JSON can hold of a value. Of a dataclass all fields.

    Raises:
        RecipeError: It holds something that a recipe cannot.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one, (*place, key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, (*place, number)) for number, one in enumerate(value)]
    if isinstance(value, date | Path):
        return str(value)
    if isinstance(value, numbers.Real):  # NumPy's
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise RecipeError(
        f"is of type {type(value).__name__}, which no recipe can hold; give texts, numbers or lists", place
    )


def _explained(kind: StageKind, body: dict, place: Place, error: ValidationError) -> RecipeError:
    first = min(  # a misspelt key is also a missing one; of a union, what went furthest was meant
        error.errors(), key=lambda one: (one["type"] not in UNKNOWN, -len(_inside(body, one["loc"])))
    )
    inner = _inside(body, first["loc"])
    where = (*place, *inner)
    if first["type"] in UNKNOWN:
        known = (*_fields(kind.settings, inner[:-1]), *(RESERVED if len(inner) == 1 else ()))
        return RecipeError(f"unknown key {inner[-1]!r}{nearest(inner[-1], known)}", where)
    if first["type"] in MISSING:
        return RecipeError(f"the key {first['loc'][-1]!r} is missing", where)
    reason = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "value_error" else f" (it is {first['input']!r})"
    return RecipeError(f"{reason[0].lower()}{reason[1:]}{given}", where)


def _inside(body: Any, place: Sequence[str | int]) -> Place:
    """The part of a validator's location that exists in the recipe (it also names members of unions)."""
    inner: list[str | int] = []
    for key in place:
        if (isinstance(body, dict) and key in body) or (isinstance(body, list) and isinstance(key, int)):
            inner.append(key)
            body = body[key]
    return tuple(inner)


def _fields(settings: type, place: Sequence[str | int]) -> list[str]:
    """The keys known at `place` inside a settings dataclass."""
    for key in place:
        hints = typing.get_type_hints(settings)
        if key in hints:  # not the place in a list nor the name in a mapping, whose members are of one kind
            settings = _dataclass_in(hints[key])
    return [field.name for field in dataclasses.fields(settings)]


def _dataclass_in(hint: Any) -> Any:
    """The dataclass that a type is, or is a union or list of."""
    if dataclasses.is_dataclass(hint):
        return hint
    return next(filter(None, map(_dataclass_in, typing.get_args(hint))), None)
