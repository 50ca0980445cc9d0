"""Chunks and shards of a Zarr array, encoded and written by the thread that has them; the same bytes as zarr writes.

Zarr hands each chunk from its event loop to threads of its own and back, which waits for Python's lock beside a
computation: a scan from store to store takes about a seventh longer by it. And it holds a shard in memory as a whole,
which here is written chunk after chunk. A file appears whole or not at all; what it holds is told as a digest.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
import zarr
from numcodecs.abc import Codec
from numcodecs.checksum32 import CRC32C
from zarr.abc.codec import Codec as ZarrCodec
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from pipeline.storage.atomic import replaced, write_bytes
from pipeline.storage.blocks import Box, box, overlap, sizes, touching, within
from pipeline.storage.codecs import encoder
from pipeline.storage.manifest import FOLDER, Digest
from pipeline.volume import InputError

Encoded = bytes | bytearray | np.ndarray
"""What a compressor gives; without one, the numbers themselves."""

MEND = "`chronovox verify` tells more, `chronovox repair` makes it again"

NOTHING = 2**64 - 1
"""Where the index of a shard says that it has no such chunk."""


@dataclass(frozen=True)
class Encoding:
    """How the numbers of a chunk become bytes. Picklable: chunks may be encoded elsewhere.

    Attributes:
        chunk: Its shape.
        dtype: Of its numbers.
        fill: What stands where a chunk reaches beyond the array.
        compressors: As numcodecs has them.
    """

    chunk: tuple[int, ...]
    dtype: np.dtype
    fill: np.generic
    compressors: tuple[Codec, ...]

    def encode(self, values: np.ndarray) -> Encoded:
        """The bytes of a chunk; `values` may be smaller, at the end of the array."""
        if values.shape != self.chunk:
            whole = np.full(self.chunk, self.fill, self.dtype)
            whole[tuple(map(slice, values.shape))] = values
            values = whole
        encoded = np.ascontiguousarray(values, self.dtype)
        for compressor in self.compressors:
            encoded = compressor.encode(encoded)
        return encoded

    def decode(self, encoded: Encoded, values: np.ndarray) -> None:
        """A chunk into `values`, which has its shape and is in one piece."""
        for compressor in reversed(self.compressors[1:]):
            encoded = compressor.decode(encoded)
        if self.compressors:
            self.compressors[0].decode(encoded, out=values)
        else:
            values[...] = np.frombuffer(encoded, self.dtype).reshape(self.chunk)

    def encode_all(self, values: np.ndarray) -> list[Encoded]:
        """The chunks that `values` fill from a corner of one on, in C order."""
        return [self.encode(part) for _, part in pieces(self.chunk, values)]


def encoding_of(array: zarr.Array) -> Encoding | None:
    """How the chunks of an array are encoded; `None` where only zarr can do it: transposed, big-endian, or compressed
    by something else."""
    first, *rest = array.metadata.codecs
    if isinstance(first, ShardingCodec):
        if rest or first.index_location.value != "end" or not _plain_index(first.index_codecs):
            return None
        first, *rest = first.codecs
    if not _in_native_order(first):
        return None
    compressors = tuple(encoder(codec) for codec in rest)
    fill = array.fill_value
    return None if None in compressors else Encoding(array.chunks, array.dtype, fill, compressors)


def write(path: Path, array: zarr.Array, encoding: Encoding, corner: tuple[int, ...], values: np.ndarray) -> dict:
    """Writes the chunks of an `array` without shards, which lies at `path`, that `values` fill from the element
    `corner` on; the digest of each file by its key."""
    digests = {}
    for place, chunk in pieces(array.chunks, values):
        key = array.metadata.encode_chunk_key(
            tuple(c // size + p for c, size, p in zip(corner, array.chunks, place, strict=True))
        )
        encoded = encoding.encode(chunk)
        write_bytes(path / key, encoded)
        digests[key] = Digest.of(encoded)
    return digests


def write_shard(path: Path, grid: tuple[int, ...], chunks: Iterable[tuple[tuple[int, ...], Encoded]]) -> Digest:
    """Writes one shard file at `path`, as Zarr's codec `sharding_indexed` specifies it, with the index at its end.

    Args:
        grid: Chunks along each axis.
        chunks: Their numbers along each axis, and their bytes; those that are left out are none.
    """
    index, offset, digest = np.full((*grid, 2), NOTHING, "<u8"), 0, xxhash.xxh3_128()
    with replaced(path) as file:
        for place, encoded in chunks:
            view = memoryview(encoded).cast("B")
            index[place] = offset, view.nbytes
            offset += view.nbytes
            digest.update(view)
            file.write(view)
        tail = memoryview(CRC32C(location="end").encode(index.tobytes())).cast("B")
        digest.update(tail)
        file.write(tail)
    return Digest(offset + tail.nbytes, digest.hexdigest())


def read(path: Path, array: zarr.Array, encoding: Encoding, wanted: Box) -> np.ndarray:
    """A part of an `array` that lies at `path`, read and decoded by the thread that asks. A chunk that is not there is
    fill value, as Zarr has it, unless the array has a manifest: then all of it was written.

    Raises:
        InputError: A file that was written is not there, or is damaged.
    """
    values, written = np.empty(sizes(wanted), array.dtype), (path / FOLDER).is_dir()
    shard = array.shards or array.chunks
    grid = tuple(s // c for s, c in zip(shard, array.chunks, strict=True))
    for number in touching(wanted, shard):
        now = own = overlap(wanted, box(number, shard, array.shape))
        try:
            file = _File(path / array.metadata.encode_chunk_key(number), grid if array.shards else ())
            try:
                for place in touching(own, array.chunks):
                    part = box(place, array.chunks, array.shape)
                    now = overlap(own, part)
                    encoded = file.chunk(tuple(p % g for p, g in zip(place, grid, strict=True)))
                    if encoded is None and written:
                        raise InputError(f"frames {_span(now)} of {path} are missing; {MEND}")
                    _put(encoding, encoded, within(now, part), values[within(now, wanted)])
            finally:
                file.close()
        except (RuntimeError, ValueError) as error:  # of decoders, and of an index that does not fit its checksum
            if isinstance(error, InputError):
                raise
            raise InputError(f"frames {_span(now)} of {path} are damaged ({error}); {MEND}") from error
    return values


def _put(encoding: Encoding, encoded: bytes | None, part: Box, values: np.ndarray) -> None:
    """A part of a chunk into `values`."""
    if encoded is None:
        values[...] = encoding.fill
    elif values.shape == encoding.chunk and values.flags.c_contiguous:
        encoding.decode(encoded, values)
    else:
        whole = np.empty(encoding.chunk, encoding.dtype)
        encoding.decode(encoded, whole)
        values[...] = whole[part]


def _span(part: Box) -> str:
    return f"{part[0].start} to {part[0].stop - 1}"


class _File:
    """A file of one chunk, or of a shard with a `grid` of them, open to be read; or none."""

    def __init__(self, path: Path, grid: tuple[int, ...]):
        self._index, chunks = None, math.prod(grid) if grid else 0
        try:
            self._file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self._file = None
            return
        self._size = os.fstat(self._file).st_size
        if chunks and self._size < 16 * chunks + 4:
            os.close(self._file)
            raise ValueError(f"{self._size} bytes hold no index of {chunks} chunks")
        if chunks:
            tail = os.pread(self._file, 16 * chunks + 4, self._size - 16 * chunks - 4)
            index = CRC32C(location="end").decode(tail)  # raises where the index is damaged
            self._index = np.frombuffer(index, "<u8").reshape(*grid, 2)

    def chunk(self, place: tuple[int, ...]) -> bytes | None:
        """The bytes of a chunk, by its number along each axis."""
        if self._file is None:
            return None
        offset, size = (0, self._size) if self._index is None else map(int, self._index[place])
        return None if offset == NOTHING else os.pread(self._file, size, offset)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)


def pieces(chunk: tuple[int, ...], values: np.ndarray) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The chunks of an array in C order: their numbers along each axis, and their part of it."""
    counts = [range(-(-size // length)) for size, length in zip(values.shape, chunk, strict=True)]
    for place in itertools.product(*counts):
        yield place, values[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))]


def _in_native_order(codec: ZarrCodec) -> bool:
    return isinstance(codec, BytesCodec) and (codec.endian is None or codec.endian.value == sys.byteorder)


def _plain_index(codecs: tuple[ZarrCodec, ...]) -> bool:
    return len(codecs) == 2 and _in_native_order(codecs[0]) and isinstance(codecs[1], Crc32cCodec)
