"""Chunks of a Zarr array, encoded and written by the thread that has them; the same bytes as zarr writes.

Zarr hands each chunk from its event loop to threads of its own and back, which waits for Python's lock beside a
computation: a scan from store to store takes about a seventh longer by it. A chunk appears whole or not at all.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from numcodecs import Blosc, GZip, Zstd
from numcodecs.abc import Codec
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec

from pipeline.atomic import write_bytes

SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


def own_compressors(array: zarr.Array) -> list[Codec] | None:
    """What compresses the chunks of an array, as numcodecs has it; `None` where only zarr can write them: sharded,
    transposed, big-endian, or compressed by something else."""
    first, *rest = array.metadata.codecs
    if not (isinstance(first, BytesCodec) and (first.endian is None or first.endian.value == sys.byteorder)):
        return None
    found = [_compressor(codec) for codec in rest]
    return None if None in found else found


def write(path: Path, array: zarr.Array, compressors: list[Codec], corner: tuple[int, ...], values: np.ndarray) -> None:
    """Writes the chunks of `array`, which lies at `path`, that `values` fill from the element `corner` on.

    A chunk that reaches beyond the array is filled up with its fill value.
    """
    for place, chunk in _chunks(array, corner, values):
        if chunk.shape != array.chunks:
            whole = np.full(array.chunks, array.fill_value, array.dtype)
            whole[tuple(map(slice, chunk.shape))] = chunk
            chunk = whole
        encoded = np.ascontiguousarray(chunk, array.dtype)
        for compressor in compressors:
            encoded = compressor.encode(encoded)
        write_bytes(path / array.metadata.encode_chunk_key(place), encoded)


def _chunks(
    array: zarr.Array, corner: tuple[int, ...], values: np.ndarray
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Chunks by their numbers along each axis, and what they hold."""
    starts = [range(0, size, chunk) for size, chunk in zip(values.shape, array.chunks, strict=True)]
    for start in itertools.product(*starts):
        place = tuple((c + s) // chunk for c, s, chunk in zip(corner, start, array.chunks, strict=True))
        yield place, values[tuple(slice(s, s + chunk) for s, chunk in zip(start, array.chunks, strict=True))]


def _compressor(codec: object) -> Codec | None:
    if isinstance(codec, BloscCodec):
        shuffle = SHUFFLES[codec.shuffle.value]
        return Blosc(codec.cname.value, codec.clevel, shuffle, codec.blocksize, typesize=codec.typesize)
    if isinstance(codec, ZstdCodec):
        return Zstd(codec.level, codec.checksum)
    return GZip(codec.level) if isinstance(codec, GzipCodec) else None
