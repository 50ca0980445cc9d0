"""The manifest of an array: the size and checksum of every file that was written of it.

Zarr takes a chunk that is not there for fill value. So what was written is told beside it, in the array's own folder
(`data/manifest/`, where Zarr's readers do not look): one small file for each time that something was written, itself
whole or not there. A chunk that no file names was never written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from pipeline.storage.atomic import write_bytes

FOLDER = "manifest"
BLOCK = 8 << 20


@dataclass(frozen=True)
class Digest:
    """What a file holds: its bytes, and their XXH3 checksum of 128 bits in hexadecimal digits."""

    size: int
    checksum: str

    @staticmethod
    def of(content: bytes | np.ndarray) -> Digest:
        view = memoryview(content).cast("B")
        return Digest(view.nbytes, xxhash.xxh3_128(view).hexdigest())

    @staticmethod
    def of_file(path: Path) -> Digest:
        """Of what lies at `path`, read a piece at a time."""
        digest, size = xxhash.xxh3_128(), 0
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
        return Digest(size, digest.hexdigest())


def record(array: Path, name: str, digests: dict[str, Digest]) -> None:
    """Records files of an array by their keys; what was recorded under this name before is forgotten."""
    told = {key: [digest.size, digest.checksum] for key, digest in digests.items()}
    write_bytes(array / FOLDER / f"{name}.json", json.dumps(told).encode())


def recorded(array: Path) -> dict[str, Digest]:
    """All that is recorded of an array."""
    files = sorted((array / FOLDER).glob("*.json"))
    return {key: Digest(*told) for path in files for key, told in json.loads(path.read_bytes()).items()}


def has(array: Path, name: str) -> bool:
    """Whether something is recorded under a name."""
    return (array / FOLDER / f"{name}.json").exists()


def seal(array: Path) -> None:
    """Records all files of an array that was just written, as they are now."""
    files = [path for path in sorted(array.rglob("*")) if path.is_file()]
    record(array, "sealed", {str(path.relative_to(array)): Digest.of_file(path) for path in files})


def take_over(earlier: Path, array: Path, keys: Iterable[str], name: str) -> None:
    """Records under one name what is recorded of another array whose files this one has too."""
    known, wanted = recorded(earlier), set(keys)
    record(array, name, {key: digest for key, digest in known.items() if key in wanted})
