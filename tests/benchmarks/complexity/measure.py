"""One measurement: a training step of a mixer alone, forward and backward, and a step of inference."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from ssm_ops.mixers.mixer import Mixer
from tests.benchmarks.complexity.contenders import BOUNDARIES, CHANNELS, Contender

WARM, TRAINED, STEPPED = 2, 5, 30
"""How often a training step is taken before it is measured, which takes memory from the system, and how often it and a
step of inference are measured; the medians count."""
BRIEF = 0.1
"""Seconds below which a step is measured behind another of the same size, its own numbers in the caches."""

FRAME_COUNTS = tuple(2**power for power in range(4, 12))
SIDES = {2: (8, 16, 32, 64, 128, 256), 3: (4, 6, 8, 12, 16, 24, 32)}
TAPS = {2: (3, 5, 7, 9, 13), 3: (3, 5, 7, 9)}
FRAMES = 16
"""Where voxels or taps grow."""
SIDE = {"frames": {2: 16, 3: 8}, "taps": {2: 64, 3: 16}}
"""Of a frame by axes, where frames or taps grow."""

ENOUGH, LEAST = 0.4, 3
"""Seconds of a training step beyond which nothing larger is tried, unless there are fewer sizes than this: smaller ones
show what calls cost on top of the sums, and not how these grow."""


def same_in_all_modes(contender: Contender, axes: int) -> float:
    """By how much, relative, chunks and single frames of a run differ from the whole; float64."""
    shape, boundary = (4,) * axes, BOUNDARIES[axes]
    mixer = contender.make(axes, 12).double()
    x = torch.randn(12, CHANNELS, *shape, dtype=torch.float64)
    with torch.no_grad():
        whole, _ = mixer(x, boundary)
        worst = 0.0
        for cuts in ([5, 7], [1] * 12):
            carry, outputs = None, []
            for chunk in x.split(cuts):
                y, carry = mixer(chunk, boundary, carry)
                outputs.append(y)
            worst = max(worst, ((torch.cat(outputs) - whole).abs().max() / whole.abs().max()).item())
    assert worst < 1e-10, f"{contender.name} in chunks is off by {worst:.1e}"
    return worst


def measured(contender: Contender, axes: int) -> tuple[float, dict[str, dict]]:
    """What `same_in_all_modes` and all sweeps find."""
    grow = ("frames", "voxels", *(["taps"] if contender.has_taps else []))
    return same_in_all_modes(contender, axes), {what: sweep(contender, axes, what) for what in grow}


def sweep(contender: Contender, axes: int, what: str) -> dict[int, dict[str, float]]:
    """By frames, voxels of a frame or taps, up to where a training step takes too long: its seconds, the bytes that its
    forward pass holds for the backward pass, those of the carry that it leaves, and seconds of a step of inference
    from this carry."""
    boundary = BOUNDARIES[axes]
    found: dict[int, dict[str, float]] = {}
    training: dict[int, Callable[[], object]] = {}
    inference: dict[int, Callable[[], object]] = {}
    for size in {"frames": FRAME_COUNTS, "voxels": SIDES[axes], "taps": TAPS[axes]}[what]:
        frames = size if what == "frames" else FRAMES
        side = size if what == "voxels" else SIDE[what][axes]
        key = size**axes if what == "voxels" else size
        mixer = contender.make(axes, frames, size if what == "taps" else None)
        x = torch.randn(frames, CHANNELS, *(side,) * axes, requires_grad=True)
        training[key], inference[key] = steps(mixer, x, boundary)
        found[key] = {
            "train_bytes": float(held(mixer, x, boundary)),
            "carry_bytes": float(mixer.carry_bytes(tuple(x.shape[2:]), boundary)),
        }
        if [timed(training[key]) for _ in range(WARM)][-1] > ENOUGH and len(found) >= LEAST:
            break
    for key, seconds in in_turns(training, TRAINED).items():
        found[key]["train_seconds"] = seconds
    for key, seconds in in_turns(inference, STEPPED).items():
        found[key]["step_seconds"] = seconds
    return found


def steps(
    mixer: Mixer, x: torch.Tensor, boundary: tuple[str, ...]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A step of training, forward and backward; and one of inference, from the carry behind the run."""
    with torch.no_grad():
        _, carry = mixer(x, boundary)
    frame = x[0].detach().clone()

    def train() -> None:
        y, _ = mixer(x, boundary)
        y.square().mean().backward()

    def infer() -> None:
        with torch.no_grad():
            mixer.step(frame, boundary, carry)

    return train, infer


def in_turns(calls: Mapping[int, Callable[[], object]], rounds: int) -> dict[int, float]:
    """Seconds of each call, the median of those that are made in turns: a slow spell of the machine is one for all. The
    first round does not count."""
    seconds: dict[int, list[float]] = {size: [] for size in calls}
    for _ in range(rounds + 1):
        for size, call in calls.items():
            taken = timed(call)
            seconds[size].append(timed(call) if taken < BRIEF else taken)
    return {size: statistics.median(own[1:]) for size, own in seconds.items()}


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def held(mixer: Mixer, x: torch.Tensor, boundary: tuple[str, ...]) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, without the weights and the input."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (x, *mixer.parameters())}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # a place in memory is not used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mixer(x, boundary)
    alive.clear()  # these tensors know the hooks, and the hooks them: nothing of it would ever be freed
    return sum(kept.values())
