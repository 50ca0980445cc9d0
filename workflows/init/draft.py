"""A recipe before it is text: stages with their settings, and why each is what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting of a stage.

    Attributes:
        value: As a recipe can hold it: numbers, texts, lists and mappings of them.
        why: What it is and why; empty where the stage's own words say it.
        off: Whether it is written as a comment, to be switched on.
    """

    value: Any
    why: str = ""
    off: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage: its name, its kind, the stages it takes, its settings in order, and why it is there."""

    name: str
    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Draft:
    """A recipe.

    Attributes:
        name: Of the run.
        head: Paragraphs before all else.
        stages: In the order in which they are written.
        further: What to try next, one paragraph each; written at the end.
        warnings: What somebody should know before running it; told on the terminal too.
    """

    name: str
    head: tuple[str, ...]
    stages: tuple[Stage, ...]
    further: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def one_or_more(names: Sequence[str]) -> str | list[str]:
    """Names as a recipe has them: one without a list."""
    return names[0] if len(names) == 1 else list(names)
