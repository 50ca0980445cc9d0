"""A lazy volume into a store, shard by shard: memory bounded, one writer, continued where it stopped.

Some chunks are read (or computed) at a time and encoded on several threads; they are written in order, so that a file
does not depend on how many threads or how much memory there was. A shard counts once the manifest names it.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask.array
import xarray as xr

from pipeline.storage import manifest, store
from pipeline.storage.atomic import link
from pipeline.storage.blocks import Blocks, Box, box, sizes
from pipeline.storage.chunk_files import Encoded
from pipeline.storage.lazy import LazyBlocks
from pipeline.storage.means import COPIES, Means, held_bytes
from pipeline.stream import AGAIN, Clock, StoreError
from pipeline.volume import DATA, InputError


def fill(
    volume: xr.Dataset, path: Path, means: Means, *, only: Collection[str] | None = None, clock: Clock | None = None
) -> Iterator[tuple[int, int]]:
    """Writes what is not written yet of a volume into the one created at `path` (a store, or a group of one).

    Args:
        only: The keys of the files that are to be written; by default all.
        clock: Counts `reading` (and computing what is read) and `encoding`, on several threads, and `waiting for
            reads` of the one that writes.

    Yields:
        Bytes that are done, before compression, and bytes in all: once at the start, and after each shard.

    Raises:
        InputError: The memory does not hold a chunk; or what reading raises.
        StoreError: The store cannot be written.
    """
    target, data, clock = store.Target(path), volume[DATA].data, clock or Clock()
    if not isinstance(data, dask.array.Array):
        data = dask.array.from_array(data, chunks=target.blocks.shard, name=False)
    shards = list(target.blocks.shards(target.shape))
    left = [(place, part) for place, part in shards if not manifest.has(target.folder, _name(place))]
    left = [(place, part) for place, part in left if only is None or target.key(place) in only]
    item = data.dtype.itemsize
    total = data.nbytes
    done = total - sum(math.prod(sizes(part)) for _, part in left) * item
    yield done, total
    plan = plan_parts(target.blocks, data, means)
    with _threads(max(1, plan.held - 1)) as pool:
        blocks = LazyBlocks(data)
        begin = (
            ((place, part), pool.submit(_encoded, blocks, target, part, one, clock))
            for place, part in left
            for one in _parts(part, plan.extent)
        )
        encoded = _ahead(begin, plan.held - 1, means, clock)
        for (place, part), group in itertools.groupby(encoded, key=lambda one: one[0]):
            chunks = (chunk for _, some in group for chunk in some)
            try:
                digest = target.write(place, chunks)
                manifest.record(target.folder, _name(place), {target.key(place): digest})
            except OSError as error:
                if isinstance(error, StoreError):
                    raise
                raise StoreError(f"writing {target.folder / target.key(place)} failed: {error}; {AGAIN}") from error
            done += math.prod(sizes(part)) * item
            yield done, total


def take(earlier: Path, path: Path, frames: int) -> None:
    """Gives the volume created at `path` the shards that hold nothing but the first `frames` frames of another, cut
    alike: the same files under second names."""
    target, known = store.Target(path), manifest.recorded(earlier / DATA)
    for place, part in target.blocks.shards(target.shape):
        key = target.key(place)
        if part[0].stop <= frames and key in known:
            link(earlier / DATA / key, path / DATA / key)
            manifest.record(target.folder, _name(place), {key: known[key]})


@dataclass(frozen=True)
class Plan:
    """What is read and encoded at a time.

    Attributes:
        extent: The sizes of a part along each axis: whole chunks.
        held: How many parts are held at a time, that which is written among them.
    """

    extent: tuple[int, ...]
    held: int


def plan_parts(blocks: Blocks, data: dask.array.Array, means: Means) -> Plan:
    """As many chunks at a time as the memory holds of them for every thread, along time first.

    Where the source comes in longer runs of time, as many frames as it has in one, and fewer parts at a time: it would
    be read several times otherwise.

    Raises:
        InputError: The memory does not hold one chunk, or one piece of the source.
    """
    item, room, small = data.dtype.itemsize, means.room, means.piece
    extent = [min(shard, size) for shard, size in zip(blocks.shard, data.shape, strict=True)]
    for axis, chunk in enumerate(blocks.chunk):
        if math.prod(extent) * item <= small:
            break
        rest = math.prod(extent[:axis] + extent[axis + 1 :]) * item
        extent[axis] = min(extent[axis], max(1, int(small // (rest * chunk))) * chunk)
    frame_bytes, run = math.prod(extent[1:]) * item, -(-max(data.chunks[0]) // blocks.chunk[0]) * blocks.chunk[0]
    if extent[0] < run and run * frame_bytes * COPIES <= room:
        extent[0] = min(run, blocks.shard[0])
    piece_bytes = math.prod(map(max, data.chunks)) * item
    held = int(room / COPIES / max(math.prod(extent) * item, piece_bytes))
    if held < 1:
        chunk_bytes = math.prod(blocks.chunk) * item
        needed = held_bytes() + COPIES * max(chunk_bytes, piece_bytes)
        raise InputError(
            f"to write chunks of {chunk_bytes / 1e6:.1f} MB from pieces of {piece_bytes / 1e6:.1f} MB takes "
            f"{needed / 1e9:.2f} GB, and may take {(held_bytes() + room) / 1e9:.2f} GB; allow more with --memory"
            + ("" if piece_bytes > chunk_bytes else ", or make chunks smaller with --chunk")
        )
    return Plan(tuple(extent), min(held, means.hands + 1))


def _parts(shard: Box, extent: tuple[int, ...]) -> Iterator[Box]:
    """A shard in parts, such that their chunks follow each other in C order."""
    for place in itertools.product(*(range(math.ceil(n / e)) for n, e in zip(sizes(shard), extent, strict=True))):
        inner = box(place, extent, sizes(shard))
        yield tuple(slice(s.start + i.start, s.start + i.stop) for s, i in zip(shard, inner, strict=True))


def _ahead(
    begin: Iterable[tuple[tuple, Future]], ahead: int, means: Means, clock: Clock
) -> Iterator[tuple[tuple, list[tuple[tuple[int, ...], Encoded]]]]:
    """Parts with their shard, encoded, in order; so many of them are in work beside the one that is written."""
    begun: deque[tuple[tuple, Future]] = deque()
    for one in begin:
        begun.append(one)
        if len(begun) > ahead:
            yield _made(*begun.popleft(), clock)
            means.keep_within()
    while begun:
        yield _made(*begun.popleft(), clock)


def _made(key: tuple, future: Future, clock: Clock) -> tuple[tuple, list]:
    try:
        with clock("waiting for reads"):
            return key, future.result()
    except OSError as error:
        raise StoreError(f"reading failed: {error}; {AGAIN}") from error


def _encoded(
    data: LazyBlocks, target: store.Target, shard: Box, part: Box, clock: Clock
) -> list[tuple[tuple[int, ...], Encoded]]:
    """The chunks of a part: their numbers in the shard along each axis, and their bytes."""
    chunk = target.blocks.chunk
    counts = tuple(range(-(-size // c)) for size, c in zip(sizes(part), chunk, strict=True))
    corner = tuple((p.start - s.start) // c for p, s, c in zip(part, shard, chunk, strict=True))
    places = (tuple(c + n for c, n in zip(corner, number, strict=True)) for number in itertools.product(*counts))
    with clock("reading"):
        frames = data.part(part)
    with clock("encoding"):
        return list(zip(places, target.encoding.encode_all(frames), strict=True))


def _name(place: tuple[int, ...]) -> str:
    return "shard-" + "-".join(map(str, place))


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose waiting work is dropped when the block ends."""
    pool = ThreadPoolExecutor(count, "fill")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
