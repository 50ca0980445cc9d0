"""How an array is cut in a store: chunks, which are read as one, and shards, which are files and have one writer each.

Whole frames in runs of time, because scans and training read them so. Only a frame that is too large for a chunk is cut
in space. Nothing that is computed depends on it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.volume import AXES, CHUNK_BYTES, InputError

LARGEST_CHUNK = 16 << 20
"""A frame that is larger is cut in space."""
SHARD_CHUNKS = 64
"""Chunks of a shard: a file of 256 MB, before compression."""

Box = tuple[slice, ...]
"""A part of an array, a slice along each axis."""


@dataclass(frozen=True)
class Blocks:
    """How an array is cut.

    Attributes:
        chunk: The sizes of a chunk along each axis.
        shard: The sizes of a shard, each a multiple of the chunk's.
    """

    chunk: tuple[int, ...]
    shard: tuple[int, ...]

    def __post_init__(self):
        for axis, chunk, shard in zip(AXES, self.chunk, self.shard, strict=True):
            if chunk < 1 or shard < 1:
                raise InputError(f"chunks of {chunk} and shards of {shard} along {axis}; give at least 1 of each")
            if shard % chunk:
                whole = (shard // chunk + 1) * chunk
                raise InputError(f"shards of {shard} along {axis} hold no whole chunks of {chunk}; give {whole}")

    def shards(self, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Box]]:
        """The number of each shard of an array along each axis, and its part of the array; time goes slowest."""
        for place in itertools.product(*(range(math.ceil(n / s)) for n, s in zip(shape, self.shard, strict=True))):
            yield place, box(place, self.shard, shape)


def box(place: tuple[int, ...], block: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """The part of an array that a block has, by its number along each axis; those at the end may be smaller."""
    return tuple(slice(p * b, min((p + 1) * b, n)) for p, b, n in zip(place, block, shape, strict=True))


def sizes(part: Box) -> tuple[int, ...]:
    return tuple(one.stop - one.start for one in part)


def touching(part: Box, block: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The number along each axis of each block that a part has something of."""
    return itertools.product(*(range(p.start // b, -(-p.stop // b)) for p, b in zip(part, block, strict=True)))


def overlap(one: Box, other: Box) -> Box:
    """What two parts share."""
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def within(part: Box, whole: Box) -> Box:
    """A part of an array, counted from where another part begins."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))


def of_frames(shape: tuple[int, ...], frames: int, channels: int | None = None) -> Blocks:
    """Chunks of so many frames, and channels, by default all, each a file."""
    chunk = (min(frames, shape[0]), channels or shape[1], *shape[2:])
    return Blocks(chunk, chunk)


def choose(
    shape: tuple[int, ...], itemsize: int, chunk: dict[str, int] | None = None, shard: dict[str, int] | None = None
) -> Blocks:
    """Chunks of about 4 MB, shards of about 256 MB, both runs of whole frames where frames have at most 16 MB.

    Args:
        shape: (time, channel, depth, height, width).
        itemsize: Bytes of a number.
        chunk, shard: What is given of them, by axis; the rest is chosen.

    Raises:
        InputError: What is given is no size, or shards are no whole number of chunks.
    """
    for given in (chunk or {}, shard or {}):
        for axis, size in given.items():
            if axis not in AXES:
                raise InputError(f"no axis {axis!r} to be cut; the axes are {', '.join(AXES)}")
            if size < 1:
                raise InputError(f"{size} along {axis}; give at least 1")
    asked = tuple(min((chunk or {}).get(axis, n), n) for axis, n in zip(AXES, shape, strict=True))
    frame = _fitting(asked, itemsize, {AXES.index(axis) for axis in chunk or {}})
    row = math.prod(frame) * itemsize
    frames = min((chunk or {}).get("time", max(1, CHUNK_BYTES // max(1, row))), shape[0])
    cut = (frames, *frame)
    reach = [-(-n // c) * c for n, c in zip(shape, cut, strict=True)]  # whole chunks, so that zarr accepts them
    together = max(1, SHARD_CHUNKS * CHUNK_BYTES // (math.prod(reach[1:]) * frames * itemsize))
    reach[0] = min(max(1, together - together % 8 if together > 8 else together) * frames, reach[0])
    for number, (axis, c) in enumerate(zip(AXES, cut, strict=True)):
        if axis in (shard or {}):
            whole = -(-shape[number] // c) * c
            reach[number] = whole if shard[axis] >= shape[number] else shard[axis]
    return Blocks(cut, tuple(reach))


def _fitting(shape: tuple[int, ...], itemsize: int, fixed: set[int]) -> tuple[int, ...]:
    """The sizes (channel, depth, height, width) of a chunk of one frame: whole, or cut along the first axes that are
    not `fixed` until it is small enough."""
    part = list(shape[1:])
    for axis in range(len(part)):
        if axis + 1 in fixed:
            continue
        bytes_now = math.prod(part) * itemsize
        if bytes_now <= LARGEST_CHUNK:
            break
        pieces = min(part[axis], math.ceil(bytes_now / CHUNK_BYTES))
        part[axis] = math.ceil(part[axis] / pieces)
    return tuple(part)


def refuse_shared(chunk: tuple[int, int], length: int, times: list[tuple[int, int]], channels: list[slice]) -> None:
    """Refuses a plan in which two would write one chunk, or nobody some of them.

    Args:
        chunk: Frames and channels of a chunk.
        length: Frames in all.
        times: The frames [start, stop) of each shard.
        channels: The channels of each part.

    Raises:
        ValueError: A border of two writers lies inside a chunk, or shards or parts leave something out. A bug.
    """
    for what, size, spans in (
        ("frames", chunk[0], times),
        ("channels", chunk[1], [(part.start, part.stop) for part in channels]),
    ):
        stops = [stop for _, stop in spans]
        if [start for start, _ in spans] != [0, *stops[:-1]] or (what == "frames" and stops[-1] != length):
            raise ValueError(f"{what} {spans} do not follow each other from 0 to {length}; each needs one writer")
        shared = next((stop for stop in stops[:-1] if stop % size), None)
        if shared is not None:
            raise ValueError(f"two would write the chunk of {size} {what} around {shared}; cut at its multiples")
