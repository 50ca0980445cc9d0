"""`commands.md`: every command with its arguments and options, of the functions that Typer calls.

Typer's own page (`typer workflows.cli utils docs`) cuts off what the list of commands says, calls a number
`<int range>`, and is another one with each version of Typer.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from tests.docs.reference.markdown import escaped, item, paragraph
from workflows.cli import app

GROUPS = {
    "Recipes and runs": ("init", "check", "plan", "run", "board", "cancel", "schema"),
    "Models": ("mixers", "compare"),
    "Archives and stores": ("ingest", "rechunk", "verify", "repair", "export", "view"),
    "Trained models": ("export-model", "import-model"),
    "The recurrence alone": ("scan", "verify-scan"),
    "Runs on a cluster": ("cluster up", "submit", "status", "logs", "list"),
    "This machine": ("doctor",),
}

INTRODUCTION = """# Commands

`--help` behind a command shows the same in a terminal. Sizes of memory are written as in `800MB` or `2GB`.

| exit code | |
| --- | --- |
| 0 | it is done |
| 1 | it ran and found something (damaged files, a scan that differs, a failed check), or workers or a store were lost |
| 2 | a mistake that you can mend: the message says what happened and what to do |
| 130, 143 | Ctrl-C or `chronovox cancel` ended it, or SIGTERM; the same command goes on from what is committed |

Anything else that fails is a bug, and shows its traceback.
"""

METAVARS = {Path: "PATH", int: "N", float: "NUMBER", str: "TEXT"}


def page() -> str:
    """The page.

    Raises:
        ValueError: A command is in no group, or one of a group is not there.
    """
    known = dict(all_commands())
    listed = [name for names in GROUPS.values() for name in names]
    if sorted(known) != sorted(listed):
        raise ValueError(f"the groups have {sorted(set(listed) ^ set(known))} too many or too few")
    parts = [INTRODUCTION.strip()]
    for title, names in GROUPS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += section(name, known[name])
    return "\n\n".join(parts) + "\n"


def all_commands() -> Iterator[tuple[str, Callable]]:
    """Every command by its name, that of its group before it."""
    for command in app.registered_commands:
        yield _name(command), command.callback
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            yield f"{group.name} {_name(command)}", command.callback


def section(name: str, function: Callable) -> Iterator[str]:
    """A command: its heading, how it is called, what it does, and what it takes."""
    hints = typing.get_type_hints(function, include_extras=True)
    arguments, options = [], []
    for parameter in inspect.signature(function).parameters.values():
        kind, info = typing.get_args(hints[parameter.name])[:2]
        (arguments if isinstance(info, ArgumentInfo) else options).append((parameter, kind, info))
    called = [_argument(parameter, info) for parameter, _, info in arguments]
    yield f"### `chronovox {name}`"
    yield f"`{' '.join(['chronovox', name, *called, *(['[OPTIONS]'] if options else [])])}`"
    yield paragraph(escaped(inspect.cleandoc(function.__doc__)))
    taken = [(word, one) for word, one in zip(called, arguments, strict=True)] + [
        (_option(*one), one) for one in options
    ]
    if taken:
        yield "\n".join(item(f"`{word}`", _told(*one)) for word, one in taken)


def _name(command: Any) -> str:
    return command.name or command.callback.__name__.replace("_", "-")


def _argument(parameter: inspect.Parameter, info: ArgumentInfo) -> str:
    return info.metavar or parameter.name.upper()


def _option(parameter: inspect.Parameter, kind: Any, info: OptionInfo) -> str:
    """As it is written: `-f, --follow` or `--runs PATH`."""
    first = [info.default] if isinstance(info.default, str) else []
    names = sorted([*first, *info.param_decls], key=len) or [f"--{parameter.name.replace('_', '-')}"]
    one = _plain(kind)
    if one is bool:
        return ", ".join(names)
    values = "|".join(one) if issubclass(one, Enum) else METAVARS.get(one)
    return f"{', '.join(names)} {info.metavar or values}"


def _told(parameter: inspect.Parameter, kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """What is said of an argument or an option."""
    told = [escaped(info.help)]
    one = _plain(kind)
    if isinstance(info, ArgumentInfo) and issubclass(one, Enum):
        told.append(f"One of {', '.join(f'`{value}`' for value in one)}.")
    bounds = (info.min, info.max)
    if bounds != (None, None):
        told.append(f"At least {info.min}." if info.max is None else f"From {info.min} to {info.max}.")
    if info.envvar:
        told.append(f"Or by the variable {' or '.join(f'`{name}`' for name in info.envvar)}.")
    default = parameter.default
    if isinstance(info, OptionInfo) and default is inspect.Parameter.empty:
        told.append("Required.")
    elif info.show_default and default is not False and default not in (inspect.Parameter.empty, None, ""):
        told.append(f"By default `{default:g}`." if isinstance(default, float) else f"By default `{default}`.")
    return " ".join(told)


def _plain(kind: Any) -> Any:
    """The type of one value, of what may be several or none."""
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    return _plain(inner[0]) if inner else kind
