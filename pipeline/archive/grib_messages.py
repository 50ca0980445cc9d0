"""Where the messages of a GRIB file lie, and which are broken: only their frames are read, so a scan is cheap.

A message begins with `GRIB` and its length and ends with `7777` (WMO Manual on Codes, FM 92). After a broken one the
next is looked for, so that a wrong length costs one message and not those behind it.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from pipeline.volume import InputError

BEGIN, END = b"GRIB", b"7777"

GZIP = b"\x1f\x8b"

STRAY_BYTES = 512
"""Bytes between two messages that may be padding or a bulletin's heading; more are what is left of a message."""

LARGE = 0x800000
"""A length of edition 1 with this bit counts 120 bytes at a time, as messages of more than 8 MB have it."""


@dataclass(frozen=True)
class Found:
    """A sound message: its first byte, its length in bytes, and how many fields are in it."""

    offset: int
    length: int
    fields: int = 1


@dataclass(frozen=True)
class Broken:
    """A message that cannot be read: where it begins, and why."""

    offset: int
    why: str


def scan(path: Path) -> tuple[list[Found], list[Broken]]:
    """The messages of a file in order, sound ones and broken ones.

    Raises:
        InputError: The file cannot be read or is empty.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:2] != GZIP:
                return _scan(content)
    except (OSError, ValueError) as error:  # mmap refuses empty files by a ValueError
        raise InputError(f"{path} cannot be read as GRIB: {error}; fetch it again") from error
    raise InputError(f"{path} is compressed by gzip, and its messages are read where they lie; unpack it with gunzip")


def _scan(content: mmap.mmap) -> tuple[list[Found], list[Broken]]:
    found: list[Found] = []
    broken: list[Broken] = []
    place = 0
    while (start := _next(content, place)) is not None:
        _stray(content, place, start, broken)
        message = _message(content, start)
        if isinstance(message, Found):
            found.append(message)
            place = start + message.length
        else:
            broken.append(message)
            following = _next(content, start + len(BEGIN))
            place = len(content) if following is None else following
    _stray(content, place, len(content), broken)
    return found, broken


def _next(content: mmap.mmap, place: int) -> int | None:
    """Where the next message begins: `GRIB`, and an edition that there is."""
    while (start := content.find(BEGIN, place)) >= 0:
        if content[start + 7 : start + 8] in (b"", b"\1", b"\2"):
            return start
        place = start + 1
    return None


def _stray(content: mmap.mmap, start: int, stop: int, broken: list[Broken]) -> None:
    if stop - start > STRAY_BYTES and len(content[start:stop].strip(b"\0 \r\n")) > STRAY_BYTES:
        broken.append(Broken(start, f"{stop - start} bytes belong to no message"))


def _message(content: mmap.mmap, start: int) -> Found | Broken:
    if start + 16 > len(content):
        return Broken(start, f"the file ends {len(content) - start} bytes after a message begins")
    length = _length_1(content, start) if content[start + 7] == 1 else _number(content, start + 8, 8)
    if start + length > len(content):
        return Broken(
            start, f"a message of {length} bytes begins, and the file ends {len(content) - start} bytes behind it"
        )
    if length < 16 or content[start + length - 4 : start + length] != END:
        return Broken(start, f"a message says that it has {length} bytes, and no '7777' ends it there")
    if content[start + 7] == 1:
        return Found(start, length)
    fields = _fields_2(content, start + 16, start + length - 4)
    if fields is None:
        return Broken(start, f"the sections of a message do not fill its {length} bytes")
    return Found(start, length, fields)


def _length_1(content: mmap.mmap, start: int) -> int:
    """The length of a message of edition 1."""
    length = _number(content, start + 4, 3)
    if not length & LARGE:
        return length
    place = start + 8
    flags = content[place + 7]
    for present in (True, flags & 0x80, flags & 0x40):  # product, grid, bitmap
        if present and place + 3 <= len(content):
            place += _number(content, place, 3)
    data = _number(content, place, 3)
    return (length & ~LARGE) * 120 - data + 4 if data < 120 else length


def _fields_2(content: mmap.mmap, place: int, stop: int) -> int | None:
    """The fields of a message of edition 2: how many data sections it has; `None` if sections do not end where it
    does."""
    fields = 0
    while place < stop:
        length = _number(content, place, 4)
        if length < 5:
            return None
        fields += content[place + 4] == 7
        place += length
    return fields if place == stop and fields else None


def _number(content: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(content[place : place + size], "big")
