"""What of a store is there as it was written: every file of its arrays against the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage import arrays, manifest, store
from pipeline.storage.manifest import Digest
from pipeline.volume import DATA, InputError

MISSING, TORN, ALTERED, UNKNOWN = "missing", "torn", "altered", "not written"


@dataclass(frozen=True)
class Damage:
    """A file that is not as it was written.

    Attributes:
        array: The folder of its array.
        key: Its path in there.
        what: `missing`, `torn` (another size), `altered` (another checksum), or `not written` (nobody recorded it).
        why: The values that disagree, in words.
        frames: The frames [start, stop) that it holds, where it holds some.
    """

    array: Path
    key: str
    what: str
    why: str
    frames: tuple[int, int] | None = None

    def __str__(self) -> str:
        held = f", frames {self.frames[0]} to {self.frames[1] - 1}" if self.frames else ""
        return f"{self.what}: {self.array / self.key}{held}{'; ' if self.why else ''}{self.why}"


def arrays_of(path: Path) -> list[Path]:
    """The folders of all arrays in a store of format 3.

    Raises:
        InputError: There is none, or what describes a part of it cannot be read.
    """
    if not arrays.is_store(path):
        part = path.with_name(path.name + ".part")
        begun = f"; {part} is an unfinished one: give the command that began it again" if part.exists() else ""
        raise InputError(f"{path} is no Zarr store of format 3{begun}")
    found = []
    for described in sorted(path.rglob("zarr.json")):
        try:
            if json.loads(described.read_text())["node_type"] == "array":
                found.append(described.parent)
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{described} cannot be read ({error}); bring it back from a copy") from error
    return found


def inspect(path: Path) -> Iterator[tuple[int, int, list[Damage]]]:
    """Looks at every file of a store.

    Yields:
        Files looked at, files in all, and what is damaged of those looked at since the last time.

    Raises:
        InputError: It is no store, or none of its arrays has a manifest.
    """
    arrays = [array for array in arrays_of(path) if (array / manifest.FOLDER).is_dir()]
    if not arrays:
        raise InputError(
            f"{path} has no manifest: it was written by something else, or by a version that kept none; "
            "`chronovox rechunk` makes a store that has one"
        )
    known = {array: manifest.recorded(array) for array in arrays}
    total, seen = sum(map(len, known.values())), 0
    for array in arrays:
        spans = store.Target(array.parent).spans() if array.name == DATA else {}
        for key, digest in known[array].items():
            seen += 1
            yield seen, total, list(_damage(array, key, digest, spans.get(key)))
        unknown = [Damage(array, key, UNKNOWN, "", span) for key, span in spans.items() if key not in known[array]]
        yield seen, total, unknown


def _damage(array: Path, key: str, digest: Digest, frames: tuple[int, int] | None) -> Iterator[Damage]:
    file = array / key
    if not file.is_file():
        yield Damage(array, key, MISSING, "", frames)
        return
    size = file.stat().st_size
    if size != digest.size:
        yield Damage(array, key, TORN, f"{size} bytes, written were {digest.size}", frames)
        return
    found = Digest.of_file(file)
    if found != digest:
        why = f"its checksum is {found.checksum[:12]}, written was {digest.checksum[:12]}"
        yield Damage(array, key, ALTERED, why, frames)
