"""What travels with a run to a cluster: the recipe as it is, and the code of the four packages as it is here."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

PACKAGES = ("ssm_ops", "pipeline", "cluster", "workflows")

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def pack(recipe: Path, folder: Path, *, code: bool = True) -> str:
    """Copies the recipe into an empty folder, and beside it the packages if `code`. The same files make the same
    folder, so that a cluster that has them is not sent them again.

    Archives and all else that a recipe names stay where they are: `workflows.load.load` finds them from the recipe's
    own folder when it is told that one.

    Returns:
        The path of the recipe in the folder.
    """
    for name in PACKAGES if code else ():
        (source,) = importlib.util.find_spec(name).submodule_search_locations
        shutil.copytree(source, folder / name, ignore=IGNORED)
    copied = folder / "recipe" / recipe.name
    copied.parent.mkdir()
    copied.write_bytes(recipe.read_bytes())
    return str(copied.relative_to(folder))
