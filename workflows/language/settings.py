"""The settings of a stage, made of plain values: as strict about types and keys as JSON, and clear about mistakes."""

from __future__ import annotations

import dataclasses
import json
import numbers
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.scalarbool import ScalarBoolean

from pipeline.archive import locate
from pipeline.volume import InputError
from workflows.language.explained import explained
from workflows.mistakes import Place, RecipeError
from workflows.stage import StageKind, names_in

SHELL = re.compile(r"^\$(\w+)")
"""How a shell mentions a variable."""


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
        raise explained(error, kind.settings, body, place) from error
    found = {}
    for key in kind.files:
        value = getattr(settings, key)
        paths = tuple(_located(name, folder, (*place, key)) for name in names_in(value))
        found[key] = paths if isinstance(value, tuple) else next(iter(paths), None)
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
    if isinstance(value, ScalarBoolean):  # one with an anchor, and an int to JSON
        return bool(value)
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
        f"is of type {type(value).__name__}, which no recipe can hold; give texts, numbers, lists or mappings", place
    )


@contextmanager
def elsewhere() -> Iterator[None]:
    """Within, files that recipes name are those of another machine, which will look for them: relative paths are made
    absolute, URLs and `package://` stay."""
    token = _ELSEWHERE.set(True)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


_ELSEWHERE = ContextVar("elsewhere", default=False)


def _located(name: str, folder: Path, place: Place) -> str:
    if _ELSEWHERE.get():
        return name if "://" in name else os.path.abspath(folder / Path(name).expanduser())
    try:
        return str(locate(name, folder))
    except InputError as error:
        shell = SHELL.match(name)
        hint = f"; a variable is mentioned as ${{env.{shell[1]}}}, and declared at the top" if shell else ""
        raise RecipeError(f"{error}{hint}", place) from error
