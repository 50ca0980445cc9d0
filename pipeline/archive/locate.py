"""Where a source lies: a path, a URL, or a file inside an installed package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.volume import InputError

PACKAGE = "package://"


def locate(source: str, folder: Path) -> Path | str:
    """The file or folder that `source` names: relative paths start at `folder`; `package://NAME/PATH` lies in a Python
    package. A URL `file://` is a path; other URLs stay as they are.

    Raises:
        InputError: There is no such file or package; the message names what was looked for.
    """
    if source.startswith(PACKAGE):
        name, _, inside = source[len(PACKAGE) :].partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() and name != "__main__" else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"{source}: no Python package {name!r} is installed; pip install 'chronovox[examples]'")
        path = Path(spec.submodule_search_locations[0]) / inside
    elif source.startswith("file://"):
        path = Path(unquote(urlsplit(source).path))
    elif "://" in source:
        return source
    else:
        path = Path(source)
    try:
        if not str(source).strip():
            raise InputError("a source has no name; name a file, a folder or a store")
        path = folder / path.expanduser()
        check_there(path, source)
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a user who is not there, a zero byte
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source!r} cannot be looked for: {error}; name a file or folder that is there") from error


def check_there(path: Path, name: str) -> None:
    """Refuses a path where nothing is, which messages call `name`.

    Raises:
        InputError: Nothing is there; or a link that leads nowhere, or back to itself.
    """
    if path.exists():
        return
    if path.is_symlink():
        raise InputError(
            f"{name}: {os.path.abspath(path)} is a link to {os.readlink(path)}, which leads nowhere; mend it"
        )
    raise InputError(f"{name}: no file or folder {os.path.abspath(path)}")
