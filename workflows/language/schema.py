"""The JSON Schema of recipes in YAML, made from the settings of all kinds of stages: editors complete and check by it.

It accepts every recipe that `load` accepts. What it refuses `load` refuses: unknown and missing keys, unknown kinds,
values of another type. What only the whole can tell it leaves to `load`: files, inputs that do not fit, numbers that
are too large.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from workflows.language.docstrings import described
from workflows.language.dump import written
from workflows.language.environment import NAME
from workflows.language.mentions import KEY
from workflows.language.settings import adapter
from workflows.language.yaml_file import REQUIRED
from workflows.stage import StageKind

DIALECT = "https://json-schema.org/draft/2020-12/schema"

WORD = r"^[^\x00-,./:-@\[-^`{-\x7f]+$"
"""Names: of ASCII only letters, digits, _ and -; the same to Python and to editors."""

MENTION, WITHIN = "mention", "mention_within"

Schema = dict[str, Any]


def recipe_schema(kinds: Mapping[str, StageKind]) -> Schema:
    """The schema of recipes whose stages are of these kinds."""
    settings, definitions = TypeAdapter.json_schemas(
        [(name, "validation", adapter(kind.settings)) for name, kind in kinds.items()], schema_generator=_Settings
    )
    shared = {name: _repeatable(one) for name, one in definitions.get("$defs", {}).items()}
    stages = {f"{name}_stage": _stage(kind, _own(settings[name, "validation"], shared)) for name, kind in kinds.items()}
    used = str([*stages.values(), *shared.values()])
    shared = {name: one for name, one in shared.items() if f"'#/$defs/{name}'" in used}
    return {
        "$schema": DIALECT,
        "title": "A recipe of Chronovox",
        "type": "object",
        "required": list(REQUIRED),
        "additionalProperties": False,
        "properties": {
            "name": {
                "description": "Of the run: results lie in the folder `runs/NAME`.",
                "type": "string",
                "pattern": WORD,
            },
            "environment": {
                "description": f"The variables of the environment that settings may mention, `${{{NAME}.VARIABLE}}`, "
                "each with a default, or with nothing where it must be set.",
                "type": "object",
                "propertyNames": {"pattern": f"^{KEY.pattern}$"},
            },
            "matrix": {
                "description": "Values by key: a stage that mentions `${KEY}` is repeated, once for each of them, and "
                "so are the stages behind it.",
                "type": "object",
                "propertyNames": {"pattern": f"^{KEY.pattern}$", "not": {"const": NAME}},
                "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, _reference(MENTION)]},
            },
            "stages": {
                "description": "The stages by name, in any order.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": WORD},
                "additionalProperties": _reference("stage"),
            },
        },
        "$defs": {
            "stage": {
                "type": "object",
                "required": ["stage"],
                "properties": {
                    "stage": {
                        "description": "The kind of stage; it decides which other keys there are.",
                        "anyOf": [{"enum": list(kinds)}, _reference(WITHIN)],
                    }
                },
                "allOf": [
                    {
                        "if": {"properties": {"stage": {"const": name}}, "required": ["stage"]},
                        "then": _reference(f"{name}_stage"),
                    }
                    for name in kinds
                ],
            },
            MENTION: {
                "description": f"A value of the matrix, `${{KEY}}`, or of the environment, `${{{NAME}.VARIABLE}}`.",
                "type": "string",
                "pattern": r"^\$\{[^{}]+\}$",
            },
            WITHIN: {"type": "string", "pattern": r"\$\{[^{}]+\}"},
            **stages,
            **shared,
        },
    }


def as_json(schema: Schema) -> str:
    """The schema as a file has it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


class _Settings(GenerateJsonSchema):
    """Of dataclasses of settings, with what their docstrings say and defaults that are made when they are wanted."""

    def dataclass_schema(self, schema: Any) -> Schema:
        found, kind = super().dataclass_schema(schema), schema["cls"]
        summary, told = described(kind)
        factories = {field.name: field.default_factory for field in dataclasses.fields(kind)}
        for name, own in found["properties"].items():
            own.pop("title", None)
            if factories[name] is not dataclasses.MISSING:
                own["default"] = to_jsonable_python(_told(factories[name]()))
            found["properties"][name] = ({"description": told[name]} if name in told else {}) | own
        rest = {key: value for key, value in found.items() if key not in ("title", "description")}
        return ({"description": summary} if summary else {}) | rest


def _told(default: Any) -> Any:
    """A default as it would be written."""
    return dict(written(default)) if dataclasses.is_dataclass(default) else default


def _own(schema: Schema, shared: Mapping[str, Schema]) -> Schema:
    """The schema of a stage's settings, which the generator may have put among the shared ones."""
    return shared[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else _repeatable(schema)


def _stage(kind: StageKind, settings: Schema) -> Schema:
    """Of a stage of this kind: its settings, `stage` and `inputs`."""
    needed = list(settings.get("required", []))
    if kind.roles or kind.others:
        needed = ["inputs", *needed]
    properties = {"stage": {"const": kind.name}, "inputs": _inputs(kind), **settings["properties"]}
    return settings | {"required": ["stage", *needed], "properties": properties, "additionalProperties": False}


def _inputs(kind: StageKind) -> Schema:
    def of(*expected: str) -> Schema:
        told = f"The name of a stage of kind {' or '.join(expected)}."
        return {"description": told, "type": "string", "pattern": WORD}

    found: Schema = {
        "description": "The stages whose results it takes, by role."
        if kind.roles or kind.optional
        else "The stages whose results it takes, each by a name that you choose."
        if kind.others
        else "It takes none.",
        "type": "object",
        "properties": {role: of(expected) for role, expected in {**kind.roles, **kind.optional}.items()},
        "required": list(kind.roles),
        "additionalProperties": of(*kind.others) if kind.others else False,
    }
    if kind.others:
        found["minProperties"] = 1
    return found


def _repeatable(schema: Schema) -> Schema:
    """The same, where each value may be a mention instead."""
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: _or_mention(one) for name, one in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _or_mention(found[key])
    for key, each in (("prefixItems", _or_mention), ("anyOf", _repeatable)):
        if key in found:
            found[key] = [each(one) for one in found[key]]
    return found


def _or_mention(schema: Schema) -> Schema:
    """A value, or a mention of one; what it is for stands first, what it is by default last."""
    first, last = ({key: schema[key]} if key in schema else {} for key in ("description", "default"))
    kind = {key: value for key, value in _repeatable(schema).items() if key not in ("description", "default")}
    options = kind["anyOf"] if list(kind) == ["anyOf"] else [kind]
    if {"type": "string"} not in options:
        words = any(isinstance(word, str) for one in options for word in (*one.get("enum", ()), one.get("const")))
        kind = {"anyOf": [*options, _reference(WITHIN if words else MENTION)]}
    return first | kind | last


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
