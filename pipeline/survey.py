"""One look at all frames of a series before anything is made of them: what is missing, corrupt, or met twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from pipeline.splits import Span, Splits
from pipeline.volume import InputError


@dataclass(frozen=True)
class Survey:
    """What some frames hold.

    Attributes:
        digests: Of each frame; `None` of one that has no value, which is no frame to be met again.
        missing, infinite: Values that are NaN, and that are infinite.
        alike: Whether channels lack the same voxels in every frame.
        size: Values in all.
    """

    digests: tuple[bytes | None, ...] = ()
    missing: int = 0
    infinite: int = 0
    alike: bool = True
    size: int = 0


def together(parts: Sequence[Survey]) -> Survey:
    """Of frames that follow each other, from the surveys of parts of them."""
    return Survey(
        tuple(digest for part in parts for digest in part.digests),
        sum(part.missing for part in parts),
        sum(part.infinite for part in parts),
        all(part.alike for part in parts),
        sum(part.size for part in parts),
    )


def look(block: np.ndarray) -> Survey:
    """The survey of a block."""
    from pipeline.voxelwise import look_through  # brings numba, 50 MB

    block = np.ascontiguousarray(block)
    missing, infinite = np.zeros(len(block), np.int64), np.zeros(len(block), np.int64)
    alike = look_through(block.reshape(*block.shape[:2], -1), missing, infinite)
    empty = missing == block[0].size
    digests = (None if none else xxhash.xxh3_128_digest(f) for f, none in zip(block, empty, strict=True))
    return Survey(tuple(digests), int(missing.sum()), int(infinite.sum()), bool(alike), block.size)


def refuse_gaps(surveys: dict[str, Survey], *, masked: bool) -> None:
    """Refuses series with infinite values; unless they are masked, those with missing values too."""
    for name, found in surveys.items():
        if found.infinite:
            raise InputError(
                f"series {name!r} has {found.infinite} infinite values of {found.size}: its archive is corrupt, or a "
                "value overflowed; mend it, or mark them as missing (NaN)"
            )
        if found.missing and not masked:
            raise InputError(
                f"series {name!r} has {found.missing} missing values of {found.size}; give complete fields, or set "
                "missing to mask"
            )


def refuse_leaks(surveys: dict[str, Survey], splits: Splits, spans: dict[str, list[Span]]) -> None:
    """Refuses splits that share a frame, bit for bit, even under different names (two runs with one past)."""
    seen: dict[bytes | None, str] = {}
    for split, periods in splits.items():
        own: dict[bytes | None, str] = {}
        for period, span in zip(periods, spans[split], strict=True):
            found = surveys[span.series].digests[span.start : span.stop]
            shared = [seen[digest] for digest in found if digest in seen]
            if shared:
                raise InputError(
                    f"splits leak: {len(shared)} of {len(found)} frames of {split} ({period}) are also in {shared[0]}, "
                    f"bit for bit; choose periods whose frames differ"
                )
            own |= {digest: split for digest in found if digest is not None}
        seen |= own
