"""A draft as YAML, with its reasons as comments."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflows.init.draft import Draft, Setting, Stage

WIDTH = 118
"""Of a line."""

PLAIN = re.compile(r"[A-Za-z_./$][A-Za-z0-9_./$-]*")
"""Texts that mean themselves in YAML; dates, numbers and paths with odd letters are put in quotes."""

WORDS = ("true", "false", "null", ".inf", ".nan")
"""Plain texts that YAML 1.2 takes for something else."""


def written(draft: Draft, told: Sequence[str]) -> str:
    """The recipe as text.

    Args:
        draft: The recipe.
        told: What was seen, a line each, for its head.
    """
    lines = [line for paragraph in draft.head[:1] for line in comment(paragraph)]
    lines += ["#", "# What was seen:", *(line for one in told for line in comment(one, first="  - ", rest="    "))]
    if draft.warnings:
        lines += ["#", "# Mind:", *(line for one in draft.warnings for line in comment(one, first="  - ", rest="    "))]
    for paragraph in draft.head[1:]:
        lines += ["#", *comment(paragraph)]
    lines += [f"name: {scalar(draft.name)}", "", "stages:"]
    for number, stage in enumerate(draft.stages):
        lines += [""] * (number > 0) + of_stage(stage)
    if draft.further:
        lines += ["", "# What to try next:"]
        lines += [line for one in draft.further for line in comment(one, first="  - ", rest="    ")]
    return "\n".join(lines) + "\n"


def of_stage(stage: Stage) -> list[str]:
    """A stage, its reasons before it."""
    lines = comment(stage.why, indent=2) if stage.why else []
    lines += [f"  {stage.name}:", f"    stage: {stage.kind}"]
    if stage.inputs:
        lines.append(f"    inputs: {flow(stage.inputs)}")
    for key, setting in stage.settings.items():
        lines += of_setting(key, setting)
    return lines


def of_setting(key: str, setting: Setting) -> list[str]:
    """A setting: with a short reason behind it, or a long one before it; blocks where one line does not hold it."""
    body = block(key, setting.value, indent=4)
    if setting.off:
        body = [f"    # {line[4:]}" for line in body]
    if setting.why and len(body) == 1 and len(body[0]) + len(setting.why) + 3 <= WIDTH:
        return [f"{body[0]} # {setting.why}"]
    return (comment(setting.why, indent=4) if setting.why else []) + body


def block(key: str, value: Any, indent: int) -> list[str]:
    """`key: value` on one line where it fits, else a line for each part."""
    pad, one = " " * indent, flow(value)
    nested = isinstance(value, Mapping) and any(isinstance(part, Mapping) or _many(part) for part in value.values())
    if len(pad) + len(key) + len(one) + 2 <= WIDTH - 20 and not (nested and len(value) > 1):
        return [f"{pad}{key}: {one}"]
    if isinstance(value, Mapping):
        return [f"{pad}{key}:", *(line for k, own in value.items() for line in block(k, own, indent + 2))]
    if _many(value):
        return [f"{pad}{key}:", *(f"{pad}  - {flow(own)}" for own in value)]
    return [f"{pad}{key}: {one}"]


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(own, Mapping | str) for own in value)


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(own)}" for key, own in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(own) for own in value) + "]"
    return scalar(value)


def scalar(value: str | int | float | bool | None) -> str:
    """A number or text as YAML reads it back; a float always with a point."""
    if isinstance(value, float):
        text = f"{value:.10g}"
        return text if re.search(r"[.]", text) and "e" not in text else _decimal(value)
    if not isinstance(value, str):
        return json.dumps(value)
    plain = PLAIN.fullmatch(value) and value.lower() not in WORDS and value not in (".", "..", "~")
    return value if plain else json.dumps(value, ensure_ascii=False)


def _decimal(value: float) -> str:
    """A float without an exponent, with a point."""
    text = f"{value:.12f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def comment(text: str, *, indent: int = 0, first: str = "", rest: str = "") -> list[str]:
    """Text as lines of comment."""
    pad = " " * indent + "# "
    kept = [textwrap.wrap(line, WIDTH - len(pad), initial_indent=first, subsequent_indent=rest, break_long_words=False,
                          break_on_hyphens=False) or [""] for line in text.split("\n")]  # fmt: skip
    return [(pad + line).rstrip() for lines in kept for line in lines]


def source_in(given: str, located: Path | str, folder: Path) -> str:
    """How a recipe in a folder names a source: by the path from there where it lies beneath, else by the whole one;
    URLs and places in packages as they are."""
    if "://" in given and not given.startswith("file://"):
        return given
    path, folder = Path(located).resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else os.fspath(path)
