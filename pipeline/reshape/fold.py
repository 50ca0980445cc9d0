"""Groups of frames folded into one frame each, some megabytes at a time, in an order that no cut of the data changes.

Frames of a group are taken one after another. A group that is too large for one task is cut into pieces, by the size of
a frame alone, and what the pieces give is folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import dask.array
import numpy as np

from pipeline.reshape.frames import together

Fold = Callable[[np.ndarray, np.ndarray], np.ndarray]


def earlier(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The first of two frames."""
    del other
    return one


def later(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The last of two frames."""
    del one
    return other


FOLDS: dict[str, Fold] = {"sum": np.add, "min": np.fmin, "max": np.fmax, "first": earlier, "last": later}
"""Of two frames one; `min` and `max` are of what is not missing, a `sum` with something missing is missing."""


def as_it_is(frame: np.ndarray) -> np.ndarray:
    """The frame."""
    return frame


def wide(frame: np.ndarray) -> np.ndarray:
    """The frame in float64."""
    return frame.astype(np.float64)


def filled(frame: np.ndarray) -> np.ndarray:
    """The frame in float64, 0 where it is missing."""
    return np.where(np.isnan(frame), 0, wide(frame))


def there(frame: np.ndarray) -> np.ndarray:
    """1 where a frame is not missing, 0 where it is."""
    return (~np.isnan(frame)).astype(np.int64)


def folded(
    data: dask.array.Array, lengths: Sequence[int], fold: Fold, take: Callable[[np.ndarray], np.ndarray] = as_it_is
) -> dask.array.Array:
    """Groups of so many frames each, at least one, one after another: all frames of `data`, a frame a group.

    Args:
        take: What of each frame is folded.
    """
    most = max(2, together(data))  # of one frame nothing is folded
    pieces = [[min(most, length - start) for start in range(0, length, most)] for length in lengths]
    batches = _batches([piece for group in pieces for piece in group], most)
    data = data.rechunk({0: tuple(sum(batch) for batch in batches)})
    kind = take(np.zeros(1, data.dtype)).dtype
    found = data.map_blocks(
        partial(_fold_block, batches=batches, fold=fold, take=take),
        dtype=kind,
        chunks=(tuple(map(len, batches)), *data.chunks[1:]),
        meta=np.empty((0,) * 5, kind),
    )
    if all(len(group) == 1 for group in pieces):
        return found
    return folded(found, [len(group) for group in pieces], fold)


def mean(data: dask.array.Array, lengths: Sequence[int], kind: np.dtype) -> dask.array.Array:
    """Means of what is not missing in groups, as for `folded`, of type `kind`; NaN where all of it is."""
    total, count = folded(data, lengths, np.add, filled), folded(data, lengths, np.add, there)
    return (total / dask.array.where(count > 0, count, np.nan)).astype(kind)


def _batches(pieces: Sequence[int], most: int) -> list[list[int]]:
    """Pieces that follow each other, together at most `most` frames."""
    batches: list[list[int]] = [[]]
    for piece in pieces:
        if batches[-1] and sum(batches[-1]) + piece > most:
            batches.append([])
        batches[-1].append(piece)
    return batches


def _fold_block(
    block: np.ndarray,
    batches: list[list[int]],
    fold: Fold,
    take: Callable[[np.ndarray], np.ndarray],
    block_info: dict,
) -> np.ndarray:
    lengths = batches[block_info[0]["chunk-location"][0]]
    found, start = [], 0
    for length in lengths:
        frame = take(block[start])
        for other in block[start + 1 : start + length]:
            frame = fold(frame, take(other))
        found.append(frame)
        start += length
    return np.stack(found)
