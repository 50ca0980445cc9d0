"""The chain of pages in a TIFF file: each says where the next one begins, which in a damaged file may be before it."""

from __future__ import annotations

import struct
from pathlib import Path

import tifffile

from pipeline.volume import InputError


def refuse_circle(path: Path, file: tifffile.TiffFile) -> None:
    """Refuses a chain that comes back to a page, which a reader would follow for ever. Where it breaks off is left to
    who reads the pages.

    Raises:
        InputError: It does.
    """
    form, content = file.tiff, file.filehandle

    def number(at: int, size: int, code: str) -> int:
        content.seek(at)
        read = content.read(size)
        return struct.unpack(code, read)[0] if len(read) == size else 0

    seen: dict[int, int] = {}
    place = number(form.offsetsize, form.offsetsize, form.offsetformat)  # behind 4 bytes of magic, or 8
    while place and place not in seen:
        seen[place] = len(seen)
        tags = number(place, form.tagnosize, form.tagnoformat)
        place = number(place + form.tagnosize + tags * form.tagsize, form.offsetsize, form.offsetformat)
    if place:
        raise InputError(
            f"{path} is damaged: after its page {len(seen) - 1} comes page {seen[place]} again; fetch it again"
        )
