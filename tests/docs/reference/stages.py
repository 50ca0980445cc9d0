"""`stages.md`: every kind of stage with its inputs and settings, of the schema by which editors complete recipes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.docs.reference.markdown import escaped, item, linked, prose
from workflows.catalog import MODULES
from workflows.language.schema import MENTION, WITHIN, Schema

INTRODUCTION = """# Stages and their settings

What a recipe may say. How recipes are written, changed and repeated is told in [recipes.md](../recipes.md), what the
settings of models, training, rollouts and scores are for in [learning.md](../learning.md).

A setting that is not required may be left out. Instead of any value there may be a mention, `${KEY}` of the matrix or
`${env.NAME}` of the environment.
"""

TOP = {
    "name": "text",
    "environment": "a mapping, names of variables to defaults",
    "matrix": "a mapping, keys to lists of values",
    "stages": "a mapping, names to stages",
}

WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "mapping",
}


def page(schema: Schema) -> str:
    """The page, of the schema of recipes."""
    shared = {name: one for name, one in schema["$defs"].items() if one.get("properties") and _is_settings(name)}
    links = {name: f"#{name.lower()}" for name in shared}
    parts = [INTRODUCTION.strip(), "## A recipe"]
    needed = schema["required"]
    parts.append(
        "\n".join(_setting(name, TOP[name], one, name in needed) for name, one in schema["properties"].items())
    )
    for name in MODULES:
        one = schema["$defs"][f"{name}_stage"]
        own = {key: value for key, value in one["properties"].items() if key not in ("stage", "inputs")}
        parts += [f"## `{name}`", prose(one["description"], links), "Inputs:", _inputs(one["properties"]["inputs"])]
        parts += ["Settings:", "\n".join(_settings(own, one.get("required", []), links))]
    parts.append("## Settings within settings")
    for name, one in shared.items():
        parts += [f"### {name}", prose(one["description"], links)]
        parts.append("\n".join(_settings(one["properties"], one.get("required", []), links)))
    return "\n\n".join(parts) + "\n"


def _is_settings(name: str) -> bool:
    """Whether a definition is of a dataclass of settings, and not of a stage or a mention."""
    return name not in ("stage", MENTION, WITHIN) and not name.endswith("_stage")


def _inputs(schema: Schema) -> str:
    """What a stage takes."""
    found = [
        item(f"`{role}`", _of(one) + ("" if role in schema["required"] else "; it may be left out"))
        for role, one in schema["properties"].items()
    ]
    others = schema["additionalProperties"]
    if others:
        found.append(item("names of your own", _of(others)))
    return "\n".join(found) or "- none"


def _of(schema: Schema) -> str:
    """The kind of stage that an input must be."""
    kinds = re.fullmatch(r"The name of a stage of kind (.+)\.", schema["description"])[1].split(" or ")
    return "a stage of kind " + " or ".join(f"[`{kind}`](#{kind})" for kind in kinds)


def _settings(properties: Mapping[str, Schema], needed: list[str], links: Mapping[str, str]) -> Iterator[str]:
    for name, one in properties.items():
        yield _setting(name, _type(one, links), one, name in needed, links)


def _setting(name: str, kind: str, schema: Schema, needed: bool, links: Mapping[str, str] | None = None) -> str:
    """`- **steps**: whole number, by default 150. Training steps; ...`"""
    default = ", required" if needed else ""
    if schema.get("default") is not None:
        default = f", by default {_value(schema['default'])}"
    told = linked(escaped(schema["description"]), links)
    return item(f"**`{name}`**", f"{kind}{default}. {told}")


def _value(value: Any) -> str:
    """A value as it is written in YAML."""
    return "empty" if value == "" else f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _type(schema: Schema, links: Mapping[str, str], *, several: bool = False) -> str:
    """The type of a value in words: `whole number or text`; `several` behind "list of". Nothing is not told: it is
    what a setting is that is left out."""
    if "anyOf" in schema:
        told = [_type(one, links, several=several) for one in schema["anyOf"] if not _is_told_apart(one)]
        whole = WORDS["integer"] + "s" * several
        if WORDS["number"] + "s" * several in told and whole in told:
            told.remove(whole)
        return " or ".join(dict.fromkeys(told))
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}]({links[name]})"
    if "const" in schema or "enum" in schema:
        *first, last = map(_value, schema.get("enum", [schema.get("const")]))
        return f"{', '.join(first)} or {last}" if first else last
    kind, plural = schema.get("type"), "s" * several
    if kind == "array" and "prefixItems" in schema:
        each = {_type(one, links, several=True) for one in schema["prefixItems"]}
        return f"list{plural} of {len(schema['prefixItems'])} {' or '.join(sorted(each))}"
    if kind == "array":
        return f"list{plural} of {_type(schema['items'], links, several=True)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping{plural} of names to {_type(schema['additionalProperties'], links, several=True)}"
    return WORDS[kind] + (plural if kind != "boolean" else "") if kind else "any value"


def _is_told_apart(schema: Schema) -> bool:
    """Whether an alternative is a mention, which any value may be, or nothing."""
    return schema.get("$ref", "").rsplit("/", 1)[-1] in (MENTION, WITHIN) or schema.get("type") == "null"
