"""What travels with a run to a cluster: its workflow as a recipe, and the code of the four packages as it is here."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from workflows.language.dump import dump
from workflows.workflow import Workflow

PACKAGES = ("ssm_ops", "pipeline", "cluster", "workflows")

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def pack(workflow: Workflow, folder: Path, *, code: bool = True) -> str:
    """Writes the workflow as a recipe into an empty folder, and copies the packages beside it if `code`. The same
    workflow and code make the same folder, so that a cluster that has it is not sent it again.

    Returns:
        The path of the recipe in the folder.

    Raises:
        RecipeError: The workflow cannot be written as a recipe, see `workflows.dump`.
    """
    for name in PACKAGES if code else ():
        (source,) = importlib.util.find_spec(name).submodule_search_locations
        shutil.copytree(source, folder / name, ignore=IGNORED)
    recipe = folder / f"{workflow.name}.yaml"
    recipe.write_text(dump(workflow))
    return recipe.name
