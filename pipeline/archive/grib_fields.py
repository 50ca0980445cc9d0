"""The fields of GRIB files by their place, decoded by ecCodes when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
from cfgrib import dataset as cubes_of
from cfgrib.messages import MISSING_VAUE_INDICATOR as MISSING
from cfgrib.messages import Message, multi_enabled
from dask.utils import SerializableLock

from pipeline.archive.grib_messages import Broken, Found, scan
from pipeline.volume import InputError

_DECODING = SerializableLock()
"""Held while ecCodes works: what it keeps of files with several fields in a message, all threads share."""

BAD = (eccodes.CodesInternalError, EOFError, KeyError)
"""What ecCodes and cfgrib raise for what they do not understand."""

UNDECODABLE = (*BAD, OSError, ValueError)
"""What they raise where the numbers of a field cannot be unpacked."""

FieldId = tuple[int, int, int]
"""The number of the file, the first byte of the message, and the number of the field in the message."""


class Fields(Mapping):
    """The fields of sound messages by their place, decoded when asked for."""

    def __init__(self, paths: tuple[Path, ...], skip_bad: bool):
        scans = [scan(path) for path in paths]
        self.paths, self.skip_bad = paths, skip_bad
        self.found: list[list[Found]] = [found for found, _ in scans]
        self.broken: list[list[Broken]] = [broken for _, broken in scans]
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"

    def __len__(self) -> int:
        return sum(message.fields for found in self.found for message in found)

    def __iter__(self) -> Iterator[FieldId]:
        for number, found in enumerate(self.found):
            for message in found:
                yield from ((number, message.offset, part) for part in range(message.fields))

    def items(self) -> Iterator[tuple[FieldId, Mapping[str, Any]]]:
        """The fields that ecCodes understands; messages with others are noted as broken."""
        for place in list(self):
            number, offset, _ = place
            try:
                message = self[place]
                _ = message["gridType"], message["numberOfPoints"]
            except BAD as error:
                self.broken[number].append(Broken(offset, f"ecCodes cannot read a message: {error}"))
                self.found[number] = [one for one in self.found[number] if one.offset != offset]
            else:
                yield place, message

    def __getitem__(self, place: FieldId) -> Mapping[str, Any]:
        number, offset, part = place
        with _DECODING, self.paths[number].open("rb") as file:
            file.seek(offset)
            if part == 0:
                return Message(eccodes.codes_grib_new_from_file(file), errors="ignore")
            with multi_enabled(file):
                for _ in range(part):
                    eccodes.codes_release(eccodes.codes_grib_new_from_file(file))
                return Message(eccodes.codes_grib_new_from_file(file), errors="ignore")

    def values(self, place: FieldId, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of a field as float32, those that are missing NaN.

        Raises:
            InputError: They cannot be unpacked.
        """
        try:
            return self._unpacked(place, shape)
        except UNDECODABLE as error:
            raise InputError(
                f"{self.paths[place[0]]}: {self._told(place, error)}; fetch the file again, or read the rest with "
                "--skip-bad"
            ) from error

    def why_undecodable(self, place: FieldId, shape: tuple[int, ...]) -> str:
        """Why a field cannot be unpacked; empty where it can."""
        try:
            self._unpacked(place, shape)
        except UNDECODABLE as error:
            return self._told(place, error)
        return ""

    def _unpacked(self, place: FieldId, shape: tuple[int, ...]) -> np.ndarray:
        message = self[place]
        with _DECODING:
            values = cubes_of.get_values_in_order(message, shape).reshape(shape)
        return np.where(values == MISSING, np.nan, values).astype(np.float32)

    def _told(self, place: FieldId, error: Exception) -> str:
        return f"the message at byte {place[1]} cannot be unpacked: {error}"

    def digest(self, place: FieldId) -> tuple[str, int]:
        """What tells messages apart that differ in any byte."""
        number, offset, part = place
        length = next(message.length for message in self.found[number] if message.offset == offset)
        with self.paths[number].open("rb") as file:
            file.seek(offset)
            return hashlib.sha256(file.read(length)).hexdigest(), part
