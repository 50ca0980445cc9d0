"""What describes a compiled scan on CPUs: its jobs, and what each takes of the call's frames, changes and spectra.

A job is a channel or few of them. Where every step is the same and the states hold all of it, it is walked in one span;
where a transition changes from frame to frame, or a guard band must be recomputed, in spans of at most `SPAN_BYTES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ssm_ops import planes
from ssm_ops.gradients import change_of_all, steps_of
from ssm_ops.lanes import LANES, zeros
from ssm_ops.resets import Resets, endless
from ssm_ops.spectrum import Grid
from ssm_ops.transition import Transition, of_channels

SPAN_BYTES = 2**20
"""Bytes of the spectra that a thread holds at a time, where it must hold those of several frames."""


@dataclass(frozen=True)
class Job:
    """One channel of one sample, or several that are walked together."""

    grid: Grid
    sample: int
    channels: slice
    kind: np.dtype

    @cached_property
    def geometry(self) -> planes.Geometry:
        count = self.channels.stop - self.channels.start
        return planes.geometry(self.grid.shape, self.grid.ring, self.grid.kinds, count, self.kind.name)

    @cached_property
    def size(self) -> int:
        return planes.lanes_size(self.geometry)

    @property
    def place(self) -> tuple[int, slice]:
        return self.sample, self.channels

    @cached_property
    def half_axis(self) -> int:
        """The halved axis of the public spectrum, among three."""
        return -1 if self.grid.half_axis is None else 3 + self.grid.half_axis

    def spans(self, time: int, whole: bool) -> list[slice]:
        count = 1 if whole else math.ceil(time / max(1, SPAN_BYTES // (self.size * self.kind.itemsize)))
        return [slice(time * i // count, time * (i + 1) // count) for i in range(count)]

    def scratch(self) -> tuple[np.ndarray, np.ndarray]:
        return planes.scratch(self.geometry, self.kind)

    def enter(self, spectra: Tensor) -> np.ndarray:
        """Spectra (time, channel, *spectrum) in lanes, one behind the other."""
        found = zeros(len(spectra) * self.size, self.kind)
        for t, spectrum in enumerate(self._parts(spectra)):
            planes.enter(spectrum, self.half_axis, self.geometry, found[t * self.size : (t + 1) * self.size])
        return found

    def entering(self, spectra: Tensor | None) -> np.ndarray:
        """The job's own of spectra (batch, channel, *spectrum) in lanes; zeros for `None`."""
        return zeros(self.size, self.kind) if spectra is None else self.enter(spectra[self.place][None])

    def spectra(self, lanes: np.ndarray, kind: torch.dtype) -> Tensor:
        """Lanes as spectra (time, channel, *spectrum)."""
        channels = self.channels.stop - self.channels.start
        found = torch.zeros((len(lanes) // self.size, channels, *self.grid.spectrum_shape), dtype=kind)
        self.leave(lanes, found)
        return found

    def leave(self, lanes: np.ndarray, spectra: Tensor) -> None:
        """Adds lanes to spectra (time, channel, *spectrum)."""
        for t, spectrum in enumerate(self._parts(spectra)):
            planes.leave(lanes[t * self.size : (t + 1) * self.size], self.geometry, spectrum)

    def forget(self, lanes: np.ndarray, channels: Bool[Tensor, "channel_or_one"]) -> None:
        """Sets a spectrum in lanes to zero, that of some channels alone if only they are True."""
        if bool(channels.all()):
            lanes[:] = 0
            return
        count, half = self.channels.stop - self.channels.start, self.geometry.along.size * LANES
        kind = self.grid.spectrum_dtype(getattr(torch, self.kind.name))
        ones = torch.ones((1, count, *self.grid.spectrum_shape), dtype=kind)
        which = self.enter(ones * channels.expand(count).reshape(-1, *[1] * len(self.grid.shape))).reshape(-1, 2, half)
        if kind.is_complex:
            which[:, 1] = which[:, 0]  # the imaginary parts of the same frequencies
        lanes.reshape(-1, 2, half)[which != 0] = 0

    def _parts(self, spectra: Tensor) -> Iterator[np.ndarray]:
        """Views (channel, plane, row, column, real or imaginary)."""
        for spectrum in spectra.unbind(0):
            parts = torch.view_as_real(spectrum) if spectrum.is_complex() else spectrum.unsqueeze(-1)
            yield parts.numpy()[(slice(None), *[None] * (5 - parts.ndim))]


class Call:
    """What all jobs of a call share.

    Attributes:
        kind: The type of the spectra.
        uniform: Whether every step is the same.
        endless: Which steps are infinite, if any is.
        of_all: Then, a^dt - 1 of all channels, if it is not large.
        turn: Held by who computes with spectra in float64: they are large, and one at a time is enough.
    """

    def __init__(self, x: Tensor, transition: Transition, grid: Grid, dt: Tensor | None):
        self.transition, self.grid, self.dt, self.turn = transition, grid, dt, Lock()
        self.endless = endless(dt)
        self.kind, channels = grid.spectrum_dtype(x.dtype), x.shape[2]
        self.uniform = dt is None or dt.shape[1] == 1
        small = channels * math.prod(grid.spectrum_shape) * self.kind.itemsize <= SPAN_BYTES
        self.of_all = change_of_all(transition, grid, dt, channels, self.kind) if self.uniform and small else None
        self._changes: dict[tuple[int, int, int], Changes] = {}

    @classmethod
    def shared(cls, calls: Calls | None, x: Tensor, transition: Transition, grid: Grid, dt: Tensor | None) -> Call:
        """A call, or one of `calls` that is the same in all but its frames."""
        if calls is None or dt is not None:
            return cls(x, transition, grid, dt)
        key = x.shape[2:], x.dtype
        if key not in calls:
            calls[key] = cls(x, transition, grid, dt)
        return calls[key]

    def changes(self, job: Job, *, each: bool = False) -> Changes:
        """Those of a job; they are small where `of_all` is, and then made once."""
        if self.of_all is None:
            return Changes(self, job, each=each)
        key = job.sample, job.channels.start, job.channels.stop
        if key not in self._changes:
            self._changes[key] = Changes(self, job)
        return self._changes[key]

    def spectra(self, x: Tensor) -> Tensor:
        """Zeros for the carries of all channels."""
        return torch.zeros((x.shape[0], x.shape[2], *self.grid.spectrum_shape), dtype=self.kind)


Calls = dict[tuple[torch.Size, torch.dtype], Call]
"""Calls by the shape and the type of their frames, of one transition, boundary, and steps of 1."""


class Changes:
    """a^dt - 1 of the frames of a job, in lanes.

    Where a job has few different steps, or one, they are taken once for all of its frames; else, and where `each` frame
    is asked for, span by span. An infinite step is none of them: nothing is taken of it but zero.
    """

    def __init__(self, call: Call, job: Job, *, each: bool = False):
        self.call, self.job, self.own = call, job, of_channels(call.transition, job.channels)
        self.steps = self.distinct = self.table = None
        self.which = np.zeros(1, np.int64)
        self.resets = Resets(steps_of(call.endless, job.sample, job.channels))
        if call.of_all is not None:
            self.table = job.enter(call.of_all[job.sample if len(call.of_all) > 1 else 0, job.channels][None])
            return
        self.steps = steps_of(call.dt, job.sample, job.channels)
        if call.uniform:
            self.table = self._lanes(self.steps)
        elif not each:
            self.distinct, which = torch.unique(self.steps.detach(), dim=0, return_inverse=True)
            lengths = len(self.distinct) - int(torch.isinf(self.distinct).all(1).any())
            if lengths <= 1 or lengths * job.size * job.kind.itemsize <= SPAN_BYTES:
                self.table, self.which = self._lanes(self.distinct), which.numpy()

    @property
    def once(self) -> bool:
        return self.table is not None

    def spans(self, time: int, whole: bool) -> list[slice]:
        """The spans in which the job is walked; see `Job.spans`. What is forgotten is so where one begins."""
        return self.resets.cut(self.job.spans(time, self.once and whole))

    def forget(self, span: slice, *states: np.ndarray) -> None:
        """Forgets of states in lanes, empty ones left alone, what is forgotten where a span begins."""
        channels = self.resets.of(span)
        for state in states:
            if channels is not None and len(state):
                self.job.forget(state, channels)

    def __call__(self, span: slice) -> tuple[np.ndarray, np.ndarray]:
        """The changes, and for each frame of the span which of them is its own."""
        count = span.stop - span.start
        if not self.once:
            return self._lanes(self.steps[span]), np.arange(count)
        return self.table, np.broadcast_to(self.which, count).copy() if len(self.which) == 1 else self.which[span]

    def _lanes(self, steps: Tensor | None) -> np.ndarray:
        grid, width = self.call.grid, self.job.channels.stop - self.job.channels.start
        with self.call.turn:
            spectra = self.own.change(grid)[None] if steps is None else self.own.change(grid, steps)
            spectra = spectra.to(self.call.kind)
        return self.job.enter(spectra.expand(len(spectra), width, *grid.spectrum_shape))


class Frames:
    """The frames of a tensor (batch, time, channel, *grid) as compiled code takes them: a flat array, start and step.

    Each frame lies in one piece and they may lie apart, as those of some of the channels of an array do. Others are
    copied span by span.
    """

    def __init__(self, tensor: Tensor | None, kind: np.dtype):
        self.tensor, self.kind = tensor, kind
        self.whole = tensor is None or tensor[0, 0].is_contiguous()
        self.flat = None
        if tensor is not None and self.whole:
            own = tensor.detach()
            reach = 1 + sum((size - 1) * stride for size, stride in zip(own.shape, own.stride(), strict=True))
            self.flat = own.as_strided((reach,), (1,)).numpy()

    def __call__(self, job: Job, span: slice) -> tuple[np.ndarray, int, int]:
        """The array, the index of the span's first frame, and the distance of frames."""
        if self.tensor is None:
            return zeros(0, self.kind), 0, 0
        size = math.prod(self.tensor.shape[3:])
        if not self.whole:
            own = self.tensor.detach()[job.sample, span, job.channels].contiguous()
            return own.reshape(-1).numpy(), 0, size * own.shape[1]
        sample, frame = self.tensor.stride()[:2]
        return self.flat, job.sample * sample + span.start * frame + job.channels.start * size, frame


def jobs(x: Tensor, grid: Grid, threads: int, *, alone: bool = False) -> list[Job]:
    """The jobs of a call; `alone` gives each channel one of its own, whatever the number of threads."""
    batch, _, channels = x.shape[:3]
    kind = np.dtype(str(x.dtype).removeprefix("torch."))
    most = 1 if alone else min(channels, batch * channels // (2 * threads))
    width = planes.grouped(grid.shape, grid.ring, grid.kinds, most, kind)
    parts = [slice(c, min(c + width, channels)) for c in range(0, channels, width)]
    return [Job(grid, n, part, kind) for n in range(batch) for part in parts]


@dataclass(frozen=True)
class Kept:
    """The spectra of all states of a call, in lanes, one job's behind the other's.

    Attributes:
        jobs: The jobs of the call.
        time: Its frames.
        room: The numbers.
    """

    jobs: list[Job]
    time: int
    room: np.ndarray

    def of(self, number: int, span: slice) -> np.ndarray:
        """Those of a job's frames."""
        start = self.time * sum(job.size for job in self.jobs[:number])
        size = self.jobs[number].size
        return self.room[start + span.start * size : start + span.stop * size]


def kept_size(x: Tensor, grid: Grid, threads: int) -> int:
    """Numbers that a call's `Kept` takes."""
    return x.shape[1] * sum(job.size for job in jobs(x, grid, threads))
