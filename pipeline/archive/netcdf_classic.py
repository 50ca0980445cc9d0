"""How long a classic NetCDF file must be: of one that breaks off libraries read zeros, and say nothing.

The file format: NetCDF Classic Format Specification (Unidata), versions 1, 2 and 5.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a number of each type."""

STREAMED = {4: 2**32 - 1, 8: 2**64 - 1}
"""The number of records of a file that was not closed, by its bytes."""


def promised_bytes(path: Path) -> int | None:
    """The bytes that a file's header promises; `None` of a file that is not classic, or does not know.

    Raises:
        struct.error: The header itself breaks off.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        return None if magic[:3] != b"CDF" else _Header(file, magic[3]).promised()


class _Header:
    def __init__(self, file: BinaryIO, version: int):
        self._file, self._count = file, 8 if version == 5 else 4
        self._offset = 4 if version == 1 else 8

    def promised(self) -> int | None:
        records = self._number()
        lengths = [length for _ in range(self._list()) for _, length in [(self._name(), self._number())]]
        self._attributes()
        whole, parts = [], []  # (begin, bytes) of variables, and of a record of others
        for _ in range(self._list()):
            self._name()
            axes = [lengths[self._number()] for _ in range(self._number())]
            self._attributes()
            size = SIZES[self._number(4)]
            self._number()  # its bytes, too small a field for large ones
            begin = self._number(self._offset)
            of_records = bool(axes) and axes[0] == 0
            (parts if of_records else whole).append((begin, size * prod(axes[1:] if of_records else axes)))
        ends = [begin + size for begin, size in whole if size]
        if parts and records == STREAMED[self._count]:
            return None
        if parts and records:
            step = parts[0][1] if len(parts) == 1 else sum(-(-size // 4) * 4 for _, size in parts)
            ends += [begin + (records - 1) * step + size for begin, size in parts]
        return max(ends, default=0)

    def _number(self, size: int | None = None) -> int:
        size = size or self._count
        return struct.unpack(">I" if size == 4 else ">Q", self._file.read(size))[0]

    def _list(self) -> int:
        """How many elements a list has; before that comes its tag, which is of four bytes."""
        self._number(4)
        return self._number()

    def _name(self) -> None:
        self._skip(self._number())

    def _attributes(self) -> None:
        for _ in range(self._list()):
            self._name()
            size = SIZES[self._number(4)]
            self._skip(size * self._number())

    def _skip(self, size: int) -> None:
        self._file.seek(-(-size // 4) * 4, 1)
