"""The certificate: how far a scan of your own data is from the plain recurrence, however it is cut."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ssm_ops import reference
from ssm_ops.ranks import EXCHANGES, sharded_scan
from ssm_ops.scanning import scan
from ssm_ops.spectrum import Grid
from ssm_ops.transition import Kernel, Pointwise, Propagator, Transition, tensors


@dataclass(frozen=True)
class Certificate:
    """What `verify_scan` found.

    Attributes:
        differences: For each way of cutting, the largest difference of its trials from the float64 recurrence, relative
            to the largest state; NaN where a state is.
        margin: 1 - max |a| of one unit of time over channels and frequencies; negative where states can grow.
        trials: Trials of each random way.
        frames: Frames of the data.
    """

    differences: dict[str, float]
    margin: float
    trials: int
    frames: int

    @property
    def worst(self) -> float:
        """The largest of all differences; NaN if one is."""
        return _largest(self.differences.values())


@torch.no_grad()
def verify_scan(
    x: Float[Tensor, "time channel *grid"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    dt: Float[Tensor, "steps"] | Float[Tensor, "steps channel"] | None = None,
    trials: int = 10,
    seed: int = 0,
) -> Certificate:
    """Scans a piece of data in many cuts and compares each with the plain float64 recurrence in pixel space.

    The ways: one uncut scan; random cuts in time, carry handed on; random numbers of workers, 1 to 8, with a chain and
    with a tree; random interruptions, the carry written to bytes and read again; and, for kernels, pixel space.

    Args:
        x: The data, float32 or float64: a few dozen frames are enough, the reference is slow.
        transition: A `Propagator`, a `Kernel` or a `Pointwise`.
        boundary: As for `scan`.
        dt: The step before each frame, (time,) or (time, channel), infinite where the state is to be forgotten; `None`
            is 1.
        trials: Random cuts of each way.
        seed: Of the cuts.

    Raises:
        ValueError: As for `scan`; or the transition is none that the reference knows, or `dt` has not one step a frame.
    """
    if dt is not None and len(dt) != len(x):
        raise ValueError(f"dt holds {len(dt)} steps and x {len(x)} frames; give one step a frame")
    frames, dice = x.shape[0], random.Random(seed)
    grid = transition.basis(tuple(x.shape[2:]), tuple(boundary), x.shape[1], dt)
    expected = torch.from_numpy(np.stack(list(_recurrence(x, transition, grid, dt))))
    scale = expected.abs().max().item() or 1.0

    def cuts() -> list[int]:
        borders = sorted(dice.sample(range(1, frames), min(dice.randint(0, 7), frames - 1))) if frames > 1 else []
        return [stop - start for start, stop in zip([0, *borders], [*borders, frames], strict=True)]

    def carried(pass_on: Callable[[Tensor], Tensor]) -> Tensor:
        carry, pieces, lengths = None, [], cuts()
        steps = [None] * len(lengths) if dt is None else dt.split(lengths)
        for part, own in zip(x.split(lengths), steps, strict=True):
            states, carry = scan(part, transition, boundary=boundary, carry=carry, dt=own, backend="spectral")
            carry = pass_on(carry)
            pieces.append(states)
        return torch.cat(pieces)

    def workers(exchange: str) -> Tensor:
        return sharded_scan(x, transition, boundary=boundary, lengths=cuts(), exchange=exchange, dt=dt)[0]

    ways = {"uncut": (1, lambda: scan(x, transition, boundary=boundary, dt=dt, backend="spectral")[0])}
    if isinstance(transition, Kernel) and dt is None:
        ways["pixel space"] = (1, lambda: scan(x, transition, boundary=boundary, backend="pixel")[0])
    ways["cuts in time"] = (trials, lambda: carried(lambda carry: carry))
    for exchange in EXCHANGES:
        ways[f"workers, {exchange}"] = (trials, partial(workers, exchange))
    ways["interruptions"] = (trials, lambda: carried(_through_bytes))
    differences = {
        name: _largest((call().cpu().to(expected.dtype) - expected).abs().max().item() for _ in range(count)) / scale
        for name, (count, call) in ways.items()
    }
    return Certificate(differences, stability_margin(transition, grid), trials, frames)


@torch.no_grad()
def stability_margin(transition: Transition, grid: object) -> float:
    """1 - max |a| of one unit of time over channels and frequencies, without the cancellation where |a| is close to 1:
    how far the slowest mode is from never fading. Negative where states can grow.

    Args:
        transition: Of any family.
        grid: What `transition.basis` returns: a `Grid`, of a `Pointwise` its voxels.
    """
    change = transition.change(grid)
    # |a|^2 - 1 = 2 Re(a - 1) + |a - 1|^2
    excess = (2 * change.real + change.abs().square()).max()
    return (-excess / (1 + torch.sqrt((1 + excess).clamp(min=0)))).item()


def _largest(differences: Iterable[float]) -> float:
    """The largest of some differences; NaN if one is, which `max` would pass over."""
    return float(np.max(list(differences)))


def _through_bytes(carry: Inexact[Tensor, "*spectrum"]) -> Inexact[Tensor, "*spectrum"]:
    """A carry as a checkpoint gives it back."""
    written = io.BytesIO()
    np.save(written, carry.cpu().numpy())
    written.seek(0)
    return torch.from_numpy(np.load(written)).to(carry.device)


def _recurrence(x: Tensor, transition: Transition, grid: object, dt: Tensor | None) -> Iterator[np.ndarray]:
    """The reference's states for any family."""
    fields, channels = x.double().cpu().numpy(), x.shape[1]
    numbers = {name: value.detach().cpu().numpy() for name, value in tensors(transition).items()}
    numbers = {name: np.broadcast_to(value, (channels, *value.shape[1:])) for name, value in numbers.items()}
    steps = np.ones((len(x), channels))
    if dt is not None:
        steps *= dt.detach().double().cpu().numpy().reshape(len(x), -1)
    forgets = np.isinf(steps)
    steps = np.where(forgets, 0, steps)
    if isinstance(transition, Pointwise):
        rate, ones = numbers["rate"].astype(np.complex128), [1] * len(grid.shape)
        yield from reference.recurrence(
            fields, lambda state, t: np.exp(steps[t] * rate).reshape(-1, *ones) * state, forgets=forgets
        )
        return
    assert isinstance(grid, Grid)
    boundary = grid.uncropped.boundary
    guards = tuple(ring - size for ring, size in zip(grid.ring, grid.shape, strict=True))
    inside = tuple(slice(size) for size in grid.shape)
    if isinstance(transition, Kernel):

        def advance(state: np.ndarray, t: int) -> np.ndarray:
            result = []
            for field, taps, count in zip(state, numbers["taps"], steps[t], strict=True):
                for _ in range(int(count)):  # a kernel's steps are whole
                    field = reference.convolve(field, taps, boundary)
                result.append(field)
            return np.stack(result)

    elif isinstance(transition, Propagator):

        def advance(state: np.ndarray, t: int) -> np.ndarray:
            return reference.propagate(state, boundary, dt=steps[t], **numbers)

    else:
        raise ValueError(f"a {type(transition).__name__} has no reference; give a Propagator, a Kernel or a Pointwise")
    for state in reference.recurrence(reference.on_ring(fields, guards), advance, forgets=forgets):
        yield state[(..., *inside)]
