"""What a validator has against settings, in words of YAML: where, what is wrong, and what may have been meant."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from workflows.mistakes import Place, RecipeError, nearest

RESERVED = ("stage", "inputs")
"""Keys of a stage in a recipe that are no settings."""

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
BOOLEANS = ("true", "false", "yes", "no", "on", "off")
YAML_WORDS = (("a valid array", "a list"), ("a valid list", "a list"), ("an object", "a mapping"))


def explained(error: ValidationError, settings: type, body: dict, place: Place) -> RecipeError:
    """The first mistake, of those that it finds.

    Args:
        error: What it says of `body`.
        settings: The dataclass.
        body: What the settings were to be made of.
        place: Of it in the recipe.
    """
    first = min(  # a misspelt key is also a missing one; of a union, what went furthest was meant
        error.errors(), key=lambda one: (one["type"] not in UNKNOWN, -len(_inside(body, one["loc"])))
    )
    inner, reason = _inside(body, first["loc"]), first["msg"].removeprefix("Value error, ")
    if first["type"] in UNKNOWN:
        known = (*_fields(settings, inner[:-1]), *(RESERVED if len(inner) == 1 else ()))
        reason = f"unknown key {inner[-1]!r}{nearest(inner[-1], known)}"
    elif first["type"] in MISSING:
        reason = f"the key {first['loc'][-1]!r} is missing"
    elif first["type"] == "value_error":
        inner = _inside(body, (*first["loc"], reason.split()[0]))  # it begins with the setting that cannot be so
    else:
        for word, own in YAML_WORDS:
            reason = reason.replace(word, own)
        if first["type"] == "dataclass_type":
            reason = f"{reason} with keys such as {', '.join(_fields(settings, inner)[:3])}"
        told = "it is empty" if first["input"] is None else f"it is {first['input']!r}"
        reason = f"{reason} ({told}){_hint(first['type'], first['input'])}"
    return RecipeError(f"{reason[0].lower()}{reason[1:]}", (*place, *inner))


def _hint(wanted: str, given: Any) -> str:
    """What to write where a value is of another type than wanted, if that can be guessed."""
    if wanted == "bool_type" and str(given).lower() in BOOLEANS:
        return "; write true or false"
    if wanted in ("int_type", "float_type") and isinstance(given, str) and NUMBER.fullmatch(given):
        return "; write it without quotes"
    if wanted == "int_type" and isinstance(given, float) and given.is_integer():
        return f"; write {int(given)}"
    if wanted == "string_type" and isinstance(given, int | float):
        return "; put it in quotes"
    return ""


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
