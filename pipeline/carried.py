"""Carries that travel and carries that stay: what crosses between machines, and the index of them in Zarr."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.model import Forecaster
from pipeline.storage import arrays
from pipeline.storage.rows import Rows, rows_in
from ssm_ops import Affine
from ssm_ops.carry import Carry
from ssm_ops.classes import Classes
from ssm_ops.mixers.mixer import Sequel


@dataclass
class Travelling:
    """A shard's summary whose carries are numpy arrays, and which is sent without what the receiver can make itself.

    Attributes:
        offset: The final state from zero, as far as it is sent.
        span: The time that the shard spans, from which a receiver makes `power`; `None` where that depends on what the
            shard holds, and `power` is sent.
        power: The transition over that time.
    """

    offset: np.ndarray
    span: Any
    power: np.ndarray | float | None = field(default=None)

    @property
    def forgets(self) -> bool:
        """Whether what leaves does not depend on what enters."""
        return self.power is not None and not np.any(self.power)

    @property
    def nbytes(self) -> int:
        return self.offset.nbytes + (np.asarray(self.power).nbytes if self.span is None else 0)

    def __call__(self, carry: np.ndarray | None) -> np.ndarray:
        return self._map()(None if self.forgets else carry)

    def then(self, later: Travelling) -> Travelling:
        both = later._map() if later.forgets else self._map().then(later._map())
        span = None if self.span is None or later.span is None else self.span + later.span
        return Travelling(both.offset, span, both.transition)

    def _map(self) -> Affine:
        return Affine(self.power, self.offset)

    def __getstate__(self) -> tuple:
        return self.offset, self.span, self.power if self.span is None else None

    def __setstate__(self, state: tuple) -> None:
        self.offset, self.span, self.power = state


class Following:
    """A shard's summary where only a run of the shard tells what leaves it: it stays with the shard's worker, and the
    carry that leaves goes to the next.

    Args:
        sequel: The run.
        clock: Times it, as an activity of its shard.
        device: Of the model.
    """

    forgets = False

    def __init__(self, sequel: Sequel, device: torch.device, clock: Callable[[], AbstractContextManager]):
        self._sequel, self._device, self._clock = sequel, device, clock
        self._leaving: np.ndarray | None = None

    def __call__(self, carry: np.ndarray | None) -> np.ndarray:
        if self._leaving is None:
            with self._clock():
                self._leaving = self._sequel(to_device(carry, self._device)).cpu().numpy()
        return self._leaving


def travelling(summary: Affine) -> Travelling:
    """A summary of tensors as one of arrays."""
    power = summary.transition
    return Travelling(
        summary.offset.cpu().numpy(), summary.span, power.cpu().numpy() if isinstance(power, torch.Tensor) else power
    )


class Travel:
    """What of a model's carries and summaries travels. The first exchange point's, a frame, does as it is; of those of
    layers what the tolerance leaves.

    Args:
        model: The model, on its device.
        shape: (depth, height, width).
        tolerance: See `ssm_ops.classes`; 0 sends everything.
    """

    def __init__(self, model: Forecaster, shape: tuple[int, int, int], tolerance: float):
        self._model, self._shape = model, shape
        self._classes = [None, *model.classes(shape, tolerance)] if tolerance > 0 else None

    def pack(self, summary: Affine, point: int) -> Travelling:
        """A summary of an exchange point as it travels."""
        classes = self._of(point)
        if classes is None:
            return travelling(summary)
        offset = classes.pack(summary.offset.cpu().numpy())
        return Travelling(offset, summary.span, classes.power(summary.span, summary.offset.dtype))

    def pack_carry(self, carry: Carry, point: int) -> Carry:
        classes = self._of(point)
        return carry if classes is None or carry is None else classes.pack(carry)

    def unpack(self, carry: Carry, point: int) -> Carry:
        """The whole carry of what travelled."""
        classes = self._of(point)
        return carry if classes is None or carry is None else classes.unpack(np.asarray(carry))

    def adopt(self, summary: Travelling, point: int) -> Travelling:
        """A summary from another worker, with what was not sent: this model's own transition."""
        if summary.power is None:
            classes = self._of(point)
            if classes is not None:
                summary.power = classes.power(summary.span, torch.from_numpy(summary.offset).dtype)
            else:
                power = self._model.power(point, self._shape, summary.span)
                summary.power = power if isinstance(power, float) else power.cpu().numpy()
        return summary

    def _of(self, point: int) -> Classes | None:
        return None if self._classes is None else self._classes[point]


class CarryIndex:
    """The carry that enters each shard at each exchange point: a Zarr group a strand, in it an array a point with a row
    a shard, written when the shard before it is done. A run continues from it, and any span can be computed alone.

    Args:
        folder: Where the groups lie; one itself.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._rows: dict[tuple[str, str], Rows] = {}

    def prepare(self, strands: Sequence[str]) -> None:
        """Makes the groups, unless they are there."""
        arrays.make_groups(self.folder, list(strands))

    def write(
        self, strand: str, index: int, shards: int, carries: Sequence[np.ndarray], *, last_frame: bytes | None = None
    ) -> None:
        """The carries that enter the shard `index` of a strand of `shards` shards, or leave the last (`index` is
        `shards`), and the digest of the frame before it."""
        if last_frame is not None:
            self._of(strand, LAST_FRAME).write(index, shards + 1, np.frombuffer(last_frame, np.uint8))
        for point in reversed(range(len(carries))):  # the first comes last: where it is, all are
            self._of(strand, _point(point)).write(index, shards + 1, carries[point])

    def last_frame(self, strand: str, index: int) -> bytes:
        """The digest of the frame before a shard."""
        return self._of(strand, LAST_FRAME).read(index).tobytes()

    def take_over(self, earlier: CarryIndex, strand: str, stop: int, shards: int) -> None:
        """The carries that enter the shards before `stop` as another index has them."""
        for path in rows_in(earlier.folder / strand):
            self._of(strand, path.name).take_over(earlier._of(strand, path.name), stop, shards + 1)

    def read(self, strand: str, index: int, point: int) -> Carry:
        """The carry that enters a shard at an exchange point; nothing enters the first."""
        return None if index == 0 else self._of(strand, _point(point)).read(index)

    def has(self, strand: str, index: int) -> bool:
        return index == 0 or self._of(strand, _point(0)).has(index)

    def _of(self, strand: str, name: str) -> Rows:
        return self._rows.setdefault((strand, name), Rows(self.folder / strand / name))


LAST_FRAME = "last_frame"


def _point(point: int) -> str:
    return f"point_{point}"


def digest(frame: np.ndarray) -> bytes:
    """By which a frame is known again: 32 bytes."""
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()


def to_device(carry: Carry, device: torch.device) -> Carry:
    """A copy on the device: arrays that arrive from another worker are read-only."""
    return None if carry is None else torch.from_numpy(np.array(carry)).to(device)
