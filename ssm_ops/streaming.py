"""`spectral.forward` and `spectral.backward` on CPUs: the jobs of a call (`jobs.py`), walked by compiled code.

A job is one call of `frames.py` for each of its spans, forward in time, or backward with the states before each span.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ssm_ops import frames
from ssm_ops.gradients import Gradients, Sums
from ssm_ops.jobs import Call, Calls, Changes, Frames, Job, Kept, jobs
from ssm_ops.lanes import zeros
from ssm_ops.parallel import Threads
from ssm_ops.spectrum import Grid
from ssm_ops.transition import Transition


def forward(
    threads: Threads,
    x: Tensor,
    transition: Transition,
    grid: Grid,
    *,
    dt: Tensor | None,
    carry: Tensor | None,
    with_states: bool,
    apart: Tensor | None = None,
    room: np.ndarray | None = None,
    calls: Calls | None = None,
) -> tuple[Tensor | None, Tensor, Kept | None]:
    """As `spectral.forward`; the spectra are kept in `room`, of `kept_size`, if there is one."""
    call, every = Call.shared(calls, x, transition, grid, dt), jobs(x, grid, threads.count)
    states, left = threads.empty(x.shape, x.dtype) if with_states else None, call.spectra(x)
    kept = None if room is None else Kept(every, x.shape[1], room)
    inputs, outputs = Frames(x, every[0].kind), Frames(states, every[0].kind)

    def walk(numbered: tuple[int, Job]) -> None:
        number, job = numbered
        changes, nothing = call.changes(job), zeros(0, job.kind)
        state, scratch = job.entering(carry), job.scratch()
        beside = nothing if apart is None else job.entering(apart)
        for span in changes.spans(x.shape[1], inputs.whole):
            changes.forget(span, state, beside)
            given, out, into = inputs(job, span), outputs(job, span), nothing if kept is None else kept.of(number, span)
            count = span.stop - span.start
            frames.forward(count, given, out, state, beside, *changes(span), into, job.geometry, *scratch)
        job.leave(state, left[job.place][None])

    threads.run(walk, list(enumerate(every)))
    return states, left, kept


def finish(
    threads: Threads,
    x: Tensor,
    transition: Transition,
    grid: Grid,
    kept: Kept,
    *,
    dt: Tensor | None,
    apart: Tensor | None,
    calls: Calls | None = None,
) -> Tensor:
    """The states of the call that kept its spectra; `x` tells its shape and type only."""
    call, states = Call.shared(calls, x, transition, grid, dt), threads.empty(x.shape, x.dtype)
    outputs = Frames(states, kept.jobs[0].kind)

    def walk(numbered: tuple[int, Job]) -> None:
        number, job = numbered
        changes, scratch = call.changes(job), job.scratch()
        beside = zeros(0, job.kind) if apart is None else job.entering(apart)
        for span in changes.spans(x.shape[1], True):
            changes.forget(span, beside)
            out, count = outputs(job, span), span.stop - span.start
            frames.finish(count, out, beside, *changes(span), kept.of(number, span), job.geometry, *scratch)

    threads.run(walk, list(enumerate(kept.jobs)))
    return states


def backward(
    threads: Threads,
    x: Tensor,
    states: Tensor | None,
    transition: Transition,
    grid: Grid,
    gradient: Tensor | None,
    carry_gradient: Tensor | None,
    *,
    dt: Tensor | None,
    carry: Tensor | None,
    towards_x: bool,
    towards_transition: bool,
    towards_dt: bool,
    towards_carry: bool,
) -> Gradients:
    """As `spectral.backward`."""
    call, weight = Call(x, transition, grid, dt), grid.adjoint_weight(x.dtype, x.device)
    to_x = threads.empty(x.shape, x.dtype) if towards_x else None
    left = call.spectra(x) if towards_carry else None
    sums = Sums(transition, grid, dt, call.spectra(x)) if towards_transition or towards_dt else None
    held = states is not None and not grid.cropped
    leaving = None if carry_gradient is None else carry_gradient / weight

    def walk(job: Job) -> None:
        towards, outputs = Frames(gradient, job.kind), Frames(to_x, job.kind)
        changes = call.changes(job, each=towards_dt)
        state = job.entering(leaving)
        room, room_past = job.scratch(), job.scratch()
        spans = changes.spans(x.shape[1], towards.whole and (sums is None or held))
        past, total = None, zeros(len(changes.table) if changes.once else 0, job.kind)
        if sums is not None and held:
            spans = [slice(0, 1), *([slice(1, spans[0].stop)] if spans[0].stop > 1 else []), *spans[1:]]
            past = _past_of_states(job, Frames(states, job.kind), job.entering(carry))
        elif sums is not None:
            past = _past_of_inputs(job, Frames(x, job.kind), spans, job.entering(carry), changes, room)
        for span in reversed(spans):
            change, which = changes(span)
            if not changes.once:
                total = zeros(len(change), job.kind)
            before = (zeros(0, job.kind), 0, 0) if past is None else past(span)
            given, out, count = towards(job, span), outputs(job, span), span.stop - span.start
            frames.backward(count, given, out, state, change, which, before, total, job.geometry, *room, *room_past)
            if sums is not None and not changes.once:
                sums.add(job.sample, span, job.channels, weight * job.spectra(total, call.kind))
        if sums is not None and call.uniform:
            job.leave(total, sums.uniform[job.place][None])
        elif sums is not None and changes.once:
            sums.add_distinct(job.sample, job.channels, changes.distinct, weight * job.spectra(total, call.kind))
        if left is not None:
            job.leave(state, left[job.place][None])

    alone = sums is not None and not call.uniform  # sums over a job's channels must not depend on the threads
    threads.run(walk, jobs(x, grid, threads.count, alone=alone))
    left = None if left is None else left.mul_(weight)
    to_dt, parameters = sums.gradients(weight) if sums is not None else (None, None)
    return Gradients(to_x, left, to_dt, parameters)


def _past_of_states(job: Job, states: Frames, entering: np.ndarray) -> Callable[[slice], tuple[np.ndarray, int, int]]:
    """The states before the frames of a span: fields; for the span of the first frame alone what enters, in lanes."""

    def of(span: slice) -> tuple[np.ndarray, int, int]:
        if span.start == 0:
            return entering, 0, 0
        return states(job, slice(span.start - 1, span.stop - 1))

    return of


def _past_of_inputs(
    job: Job,
    inputs: Frames,
    spans: list[slice],
    entering: np.ndarray,
    changes: Changes,
    room: tuple[np.ndarray, np.ndarray],
) -> Callable[[slice], tuple[np.ndarray, int, int]]:
    """The spectra before the frames of a span, recomputed from the inputs and the states at the borders of spans."""
    nothing, state, borders = zeros(0, job.kind), entering.copy(), {}

    def walk(span: slice, state: np.ndarray, kept: np.ndarray) -> None:
        given, out, count = inputs(job, span), (nothing, 0, 0), span.stop - span.start
        changes.forget(span, state)
        frames.forward(count, given, out, state, nothing, *changes(span), kept, job.geometry, *room)

    for span in spans:
        borders[span.start] = state.copy()
        if span is not spans[-1]:
            walk(span, state, nothing)

    def of(span: slice) -> tuple[np.ndarray, int, int]:
        kept = zeros((1 + span.stop - span.start) * job.size, job.kind)
        kept[: job.size] = borders[span.start]
        walk(span, borders[span.start].copy(), kept[job.size :])
        return kept, 0, 0

    return of
