"""Where a source lies: a path, a URL, or a file inside an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.volume import InputError

PACKAGE = "package://"


def locate(source: str, folder: Path) -> Path | str:
    """The file or folder that `source` names: relative paths start at `folder`; `package://NAME/PATH` lies in a Python
    package. Other URLs stay as they are.

    Raises:
        InputError: There is no such file or package; the message names what was looked for.
    """
    if source.startswith(PACKAGE):
        name, _, inside = source[len(PACKAGE) :].partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() and name != "__main__" else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"{source}: no Python package {name!r} is installed; pip install 'chronovox[examples]'")
        path = Path(spec.submodule_search_locations[0]) / inside
    elif "://" in source:
        return source
    else:
        path = folder / Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{source}: no file or folder {path.resolve()}")
    return path.resolve()
