"""One training step, forward and backward, in a process of its own: its peak memory and its seconds of processor time.

python -m tests.benchmarks.length_once "ours, chunks computed again" 2048 90 [GRADIENT.pt]
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.dataset import Sample
from pipeline.mesh import Alone
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.roles import Roles
from pipeline.training.objective import Objective
from pipeline.training.settings import TrainSettings
from ssm_ops.chunks import in_chunks
from tests.benchmarks.attention import Attention
from tests.benchmarks.convlstm import ConvLSTM
from tests.benchmarks.peak_memory import peak
from tests.benchmarks.sizes import as_large_as, count

SIDE = 64
MODEL = ModelSettings(channels=16, states=32, layers=2)
CHUNK, OTHER_CHUNK = 32, 50
MOST = 6.5e9
"""Bytes that a process may ask for: what is beyond fails, and the machine goes on."""

Step = Callable[[Tensor], None]
"""Adds the gradient of the loss of a window (time, 1, 1, height, width) to the weights'."""


def our_model() -> Forecaster:
    return Forecaster(MODEL, volume_channels=1, boundary=("reflect",) * 3, depth=1)


def ours(recompute: int | None) -> tuple[nn.Module, Step]:
    """What the stage `train` does with a window."""
    model = our_model()

    def step(window: Tensor) -> None:
        settings = TrainSettings(MODEL, window=len(window), burn_in=0, recompute=recompute, threads=1)
        every = Roles(("x",), ("x",), (0,), (0,))
        Objective(settings, model, every, window[0].numel(), Alone()).loss([Sample(window, None)], settings.cut(1))

    return model, step


def conv_lstm(recompute: int | None) -> tuple[nn.Module, Step]:
    """With our patches. What computes our chunks again in the backward pass does so for it too."""
    model = as_large_as(count(our_model()), lambda hidden: ConvLSTM(1, hidden, layers=MODEL.layers))

    def losses(frames: Tensor, targets: Tensor, states: list[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        pairs = None if states[0] is None else list(zip(states[::2], states[1::2], strict=True))
        made, left = model(frames, pairs)
        return (made - targets).square().flatten(1).sum(1), [one for pair in left for one in pair]

    def step(window: Tensor) -> None:
        read, targets, nothing = window[:-1], window[1:], [None] * (2 * MODEL.layers)
        if recompute is None:
            found, _ = losses(read, targets, nothing)
        else:
            found, _ = in_chunks(
                lambda span, frames, states: losses(frames, targets[span], states),
                read,
                nothing,
                length=recompute,
                parameters=model.parameters(),
            )
        (found.sum() / targets.numel()).backward()

    return model, step


def attention(patch: int, *, fused: bool) -> tuple[nn.Module, Step]:
    model = as_large_as(
        count(our_model()), lambda width: Attention(1, width, layers=MODEL.layers, patch=patch, fused=fused)
    )

    def step(window: Tensor) -> None:
        frames = window.squeeze(2)
        (model(frames[:-1]) - frames[1:]).square().mean().backward()

    return model, step


CONTENDERS: dict[str, Callable[[], tuple[nn.Module, Step]]] = {
    "ours, chunks computed again": partial(ours, CHUNK),
    "ours, all held": partial(ours, None),
    "ConvLSTM, chunks computed again": partial(conv_lstm, CHUNK),
    "ConvLSTM, all held": partial(conv_lstm, None),
    "attention of 4 x 4 patches, fused": partial(attention, 4, fused=True),
    "attention of 4 x 4 patches, scores held": partial(attention, 4, fused=False),
    "attention of voxels, fused": partial(attention, 1, fused=True),
}
OTHERWISE = {"ours, other chunks computed again": partial(ours, OTHER_CHUNK)}


def made(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Step]:
    """A contender with weights that are not those it starts from, some of which are zero."""
    torch.manual_seed(0)
    model, step = (CONTENDERS | OTHERWISE)[name]()
    model.to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model, step


def window(frames: int, side: int = SIDE, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(frames, 1, 1, side, side, generator=torch.Generator().manual_seed(1), dtype=dtype)


def gradients(model: nn.Module) -> Tensor:
    """All of them in a row."""
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def main() -> None:
    name, frames, seconds, *kept = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (int(MOST), int(MOST)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    model, step = made(name)
    step(window(2))  # compiles
    model.zero_grad()
    before, begun = peak(), time.process_time()
    most = math.ceil(begun + float(seconds)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 10))
    step(window(int(frames)))
    taken = time.process_time() - begun
    for path in kept:
        torch.save(gradients(model), path)
    print(json.dumps({"peak": peak(), "before": before, "seconds": taken, "parameters": count(model)}))


if __name__ == "__main__":
    main()
