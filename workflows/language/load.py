"""Recipes: files read into a `Workflow` and checked before anything runs. Errors name line, key and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflows.language.dump import as_tree
from workflows.language.python_file import run_file
from workflows.language.yaml_file import parsed, workflow_of
from workflows.mistakes import RecipeError, nearest
from workflows.workflow import Workflow

__all__ = ["RecipeError", "load"]

SHIPPED = Path(__file__).parents[1] / "recipes"


def load(path: str | Path, changes: Sequence[str] = ()) -> Workflow:
    """Reads a recipe and checks it; no stage is run.

    Args:
        path: A YAML file; or a Python file (`.py`), whose code is run in its folder.
        changes: `STAGE.KEY=VALUE` settings that replace those of the file, values written as in YAML; also
            `matrix.KEY=[VALUE, ..]`. A stage that is repeated is changed as it is written, in all repetitions.

    Raises:
        RecipeError: The file or a change is wrong; the message says where and what to write instead.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise RecipeError(f"{error.strerror or error}{_meant(path)}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not a text file; give the path of a recipe, in YAML or Python") from error
    if path.suffix != ".py":
        return workflow_of(parsed(text, path), path, changes)
    workflow = run_file(text, path)
    return workflow_of(as_tree(workflow), path, changes) if changes else workflow


def _meant(path: Path) -> str:
    """What to give instead of a path that cannot be read."""
    ours = {one.stem: one for one in SHIPPED.glob("*.yaml")}
    if path.stem in ours:
        return f"; the recipe of this name that comes with Chronovox is {ours[path.stem]}"
    beside = [one.name for one in path.parent.glob("*") if one.suffix in (".yaml", ".yml", ".py")]
    near = nearest(path.name, beside)
    return near if near.endswith("?") else "; give the path of a recipe"
