"""A run of time, chunk after chunk, of which the backward pass computes each chunk again from the carries entering it.

What is held until then is the input, the output and the carries at the borders of chunks, each in one piece: small
tensors that stay, made one by one between large ones that go, would leave gaps in a CPU's memory that fit nothing that
comes later (measured: 13 times the carries themselves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

Step = Callable[[slice, Tensor, list[Tensor | None]], tuple[Tensor | None, list[Tensor]]]
"""(frames, their input, the carries that enter) -> (their output, the carries that leave)."""


def in_chunks(
    step: Step,
    x: Shaped[Tensor, "time *rest"],
    carries: Sequence[Shaped[Tensor, "..."] | None],
    *,
    length: int,
    parameters: Iterable[Tensor],
    cut: int | None = None,
) -> tuple[Shaped[Tensor, "time *other"] | None, list[Shaped[Tensor, "..."]]]:
    """The outputs of all frames, and the carries that leave the last chunk; differentiable, and exact unless `cut`.

    Args:
        step: What happens to a chunk. It must do the same when called again; the precision of `torch.autocast` is
            then what it was.
        x: The input of all frames.
        carries: What enters the first chunk; `None` for what is nothing there.
        length: Frames of a chunk; the last may be shorter.
        parameters: The other tensors that `step` uses and that want gradients.
        cut: Chunks after which the gradient to the carries is dropped.
    """
    parameters = list(parameters)
    y, *left = _InChunks.apply(step, length, cut, len(carries), x, *carries, *parameters)
    return y, left


class _InChunks(torch.autograd.Function):
    """Both passes; within a chunk autograd does."""

    @staticmethod
    def forward(ctx, step, length, cut, count, x, *others):
        ctx.set_materialize_grads(False)
        carries, spans = list(others[:count]), spans_of(len(x), length)
        ys, borders = Shelf(len(x)), [Shelf(len(spans) - 1) for _ in carries]
        for span in spans:
            y, carries = step(span, x[span], carries)
            if y is not None:
                ys.put(y)
            if span is not spans[-1]:
                carries = [shelf.put(carry[None])[0] for shelf, carry in zip(borders, carries, strict=True)]
        ctx.save_for_backward(x, *others, *(shelf.room for shelf in borders))
        ctx.step, ctx.length, ctx.cut, ctx.count, ctx.given = step, length, cut, count, len(others)
        device = x.device.type
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device), False
        return ys.room, *carries

    @staticmethod
    @once_differentiable
    def backward(ctx, y_gradient, *carry_gradients):
        x, *others = ctx.saved_tensors
        others, borders = others[: ctx.given], others[ctx.given :]
        first, parameters = others[: ctx.count], others[ctx.count :]
        needs_x, *needs = ctx.needs_input_grad[4:]
        to_x = torch.zeros_like(x) if needs_x else None
        wanted = [p for p, needed in zip(parameters, needs[ctx.count :], strict=True) if needed]
        sums, to_carries = [torch.zeros_like(p) for p in wanted], list(carry_gradients)
        for number, span in reversed(list(enumerate(spans_of(len(x), ctx.length)))):
            entering = [room[number - 1] for room in borders] if number else first
            carries = [None if carry is None else carry.detach().requires_grad_() for carry in entering]
            own, alive = x[span].detach().requires_grad_(needs_x), [carry for carry in carries if carry is not None]
            with torch.enable_grad(), torch.autocast(*ctx.autocast):
                y, leaving = ctx.step(span, own, carries)
            towards = [(y, None if y_gradient is None else y_gradient[span]), *zip(leaving, to_carries, strict=True)]
            towards = [(output, gradient) for output, gradient in towards if gradient is not None]
            if not towards:
                continue
            asked = [*([own] if needs_x else []), *alive, *wanted]
            outputs, gradients = zip(*towards, strict=True)
            found = list(torch.autograd.grad(outputs, asked, gradients, allow_unused=True))
            if needs_x:
                share = found.pop(0)
                if share is not None:
                    to_x[span] = share
            for total, share in zip(sums, found[len(alive) :], strict=True):
                if share is not None:
                    total += share
            to_alive = iter(found[: len(alive)])
            dropped = ctx.cut is not None and number % ctx.cut == 0 and number > 0
            to_carries = [None if carry is None or dropped else next(to_alive) for carry in carries]
        sums = iter(sums)
        to_parameters = [next(sums) if needed else None for needed in needs[ctx.count :]]
        return None, None, None, None, to_x, *to_carries, *to_parameters


class Shelf:
    """Room for so many entries in one piece, taken when the first ones come."""

    def __init__(self, places: int):
        self.room: Tensor | None = None
        self._places, self._used = places, 0

    def put(self, entries: Shaped[Tensor, "some *rest"]) -> Shaped[Tensor, "some *rest"]:
        """A copy of the entries in the next places."""
        if self.room is None:
            self.room = entries.new_empty((self._places, *entries.shape[1:]))
        start, self._used = self._used, self._used + len(entries)
        return self.room[start : self._used].copy_(entries)


def spans_of(frames: int, length: int) -> list[slice]:
    return [slice(start, min(start + length, frames)) for start in range(0, frames, length)]
