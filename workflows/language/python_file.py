"""Recipes in Python: a file that is run, in its folder, and leaves `workflow` behind, or a function of that name.

It is a program like any other, and may do what its user may do: run only what you trust.
"""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from workflows.language.recipe import Recipe
from workflows.mistakes import RecipeError
from workflows.workflow import Workflow

NAME = "workflow"


def run_file(text: str, path: Path) -> Workflow:
    """The workflow that a recipe in Python makes.

    The code runs in the folder of its file, so relative paths start there, and modules beside it can be imported.

    Raises:
        RecipeError: It is not Python, a stage in it is wrong, it raises something, or it leaves no workflow; the
            message has the line of the file.
    """
    path = path.absolute()
    try:
        code = compile(text, str(path), "exec")
    except (SyntaxError, ValueError) as error:  # ValueError: a zero byte
        line = getattr(error, "lineno", None)
        raise RecipeError(
            f"not Python: {getattr(error, 'msg', error)}", where=f"{path}:{line}" if line else str(path)
        ) from error
    names: dict[str, Any] = {"__name__": "recipe", "__file__": str(path)}
    try:
        with _at_home(path.parent):
            exec(code, names)
            made = names.get(NAME)
            made = made() if callable(made) else made
    except RecipeError as error:
        raise error.at(f"{path}:{_line(error.__traceback__, path)}") from error
    except Exception as error:  # whatever its code does
        line = _line(error.__traceback__, path)
        there = linecache.getline(str(path), line).strip()
        raise RecipeError(f"{type(error).__name__}: {error}; raised by: {there}", where=f"{path}:{line}") from error
    if not isinstance(made, Workflow):
        what = f"{NAME} is a {type(made).__name__}" if NAME in names else f"nothing in it is called {NAME}"
        mend = (
            "write workflow = recipe.workflow()"
            if isinstance(made, Recipe)
            else "end it with workflow = recipe.workflow()"
        )
        raise RecipeError(f"{what}; {mend}", where=str(path))
    return made


@contextlib.contextmanager
def _at_home(folder: Path) -> Iterator[None]:
    """The folder is the current one, and modules are looked for in it first."""
    with contextlib.chdir(folder):
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))


def _line(trace: TracebackType | None, path: Path) -> int:
    """The line of the file that an exception passed last."""
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
