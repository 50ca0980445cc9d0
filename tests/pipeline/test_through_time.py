"""Gradients of a window through time: recomputed, cut over workers, or truncated, against the uncut float64 window."""

import subprocess
import sys

import pytest
import torch

from pipeline.mesh import share_of
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.through_time import Run, loss, loss_across
from tests.ssm_ops.played import PlayedChain

WINDOW, BURN_IN = 14, 4
CHOICES = {
    "plain": {},
    "drifting": {"drift": True, "taps": 3},
    "kernel": {"transition": "kernel"},
    "pointwise": {"transition": "pointwise"},
    "selective": {"selective": True},
    "gru": {"mixer": "gru"},
    "convs5": {"mixer": "convs5"},
}


def forecaster(name, *, depth=1):
    torch.manual_seed(0)
    settings = ModelSettings(channels=3, states=4, layers=2, **CHOICES[name])
    boundary = ("reflect", "reflect", "periodic")
    model = Forecaster(settings, volume_channels=1, boundary=boundary, depth=depth).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def window(*, depth=1, frames=WINDOW):
    return torch.randn(frames, 1, depth, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def whole(model, frames, burn_in=BURN_IN):
    """The sum of the squared errors and its gradients, the window uncut."""
    forecasts, _ = model(frames)
    total = (forecasts[burn_in:-1] - frames[burn_in + 1 :]).square().sum()
    return [total.detach(), *torch.autograd.grad(total, list(model.parameters()))]


def chunked(model, frames, *, recompute, truncate=None, burn_in=BURN_IN):
    run = Run.of_window(frames, frames, model, first=0, burn_in=burn_in)
    total = loss(model, run, recompute=recompute, truncate=truncate)
    return [total.detach(), *torch.autograd.grad(total, list(model.parameters()))]


def across(model, frames, *, ranks, recompute, burn_in=BURN_IN):
    """The ranks in order, then their backward passes in reverse order."""
    chain, totals = PlayedChain(ranks), []
    for rank in range(ranks):
        own = share_of(len(frames) - 1, rank, ranks)
        part = frames[max(own.start - 1, 0) : own.stop + 1]
        run = Run.of_window(part, part, model, first=own.start, burn_in=burn_in)
        totals.append(loss_across(model, run, chain.rank(rank), recompute=recompute))
    model.zero_grad()
    for total in totals[::-1]:
        total.backward()
    assert not any(chain.sent.values())
    return [sum(total.detach() for total in totals), *(parameter.grad.clone() for parameter in model.parameters())]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "convs5")) for n in CHOICES])
def test_recomputed_chunks_give_the_same_gradients(name):
    model = forecaster(name)
    for recompute in (6, 50):
        same(chunked(model, window(), recompute=recompute), whole(model, window()))


@pytest.mark.parametrize(
    ("name", "recompute"),
    [
        ("drifting", None),
        ("drifting", 3),
        ("convs5", None),
        ("selective", None),
        pytest.param("selective", 3, marks=pytest.mark.slow),
    ],
)
def test_workers_along_time_give_the_same_gradients(name, recompute):
    model = forecaster(name)
    for ranks in (2, 3):  # 13 frames: 4, 4 and 5
        same(across(model, window(), ranks=ranks, recompute=recompute), whole(model, window()))


@pytest.mark.parametrize("recompute", [None, 5])
def test_a_worker_whose_frames_are_not_scored_still_has_a_gradient(recompute):
    model = forecaster("plain")
    found = across(model, window(), ranks=3, recompute=recompute, burn_in=9)
    same(found, whole(model, window(), burn_in=9))


def test_volumes_with_depth():
    model, frames = forecaster("plain", depth=2), window(depth=2)
    expected = whole(model, frames)
    same(chunked(model, frames, recompute=6), expected)
    same(across(model, frames, ranks=2, recompute=4), expected)


@pytest.mark.slow
def test_truncation_errs_less_the_longer_the_gradient_goes_back_and_is_exact_in_the_end():
    """8 chunks of 5 frames; states remember 1 to 20 steps."""
    model, frames = forecaster("plain"), window(frames=41)
    total, *exact = whole(model, frames)
    size = torch.stack([gradient.norm() for gradient in exact]).norm()
    errors = []
    for truncate in (1, 2, 4, 8):
        same_total, *found = chunked(model, frames, recompute=5, truncate=truncate)
        torch.testing.assert_close(
            same_total, total, rtol=1e-12, atol=0
        )  # carries go on, so the forecasts are the same
        differences = [one - other for one, other in zip(found, exact, strict=True)]
        errors.append((torch.stack([difference.norm() for difference in differences]).norm() / size).item())
    print("relative error of the truncated gradient by chunks:", [f"{error:.1e}" for error in errors])
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-3
    assert errors[2] < errors[0] / 2
    assert errors[-1] < 1e-12


def saved(model, frames, kind):
    """What autograd holds between the two passes, in fields of one channel."""
    run = Run.of_window(frames, frames, model, first=0, burn_in=BURN_IN)
    held = {}

    def pack(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        if kind == "whole":
            model(frames)[0].square().sum()
        elif kind == "recomputed":
            loss(model, run, recompute=2, truncate=None)
        else:
            loss_across(model, run, PlayedChain(1).rank(0), recompute=2)
    return sum(held.values()) / (frames[0].numel() * frames.itemsize)


def test_what_is_held_for_each_further_frame():
    """Channels: 1 of the frames, 3 of the stream, 4 of each carry; a spectrum of 5 x 6 reals has 5 x 4 complexes."""
    model, carry = forecaster("plain"), 4 * (2 * 20 / 30) / 2  # one for each chunk of two frames
    held = {
        kind: (saved(model, window(frames=49), kind) - saved(model, window(frames=25), kind)) / 24
        for kind in ("whole", "recomputed", "across")
    }
    assert held["recomputed"] == pytest.approx(1 + 2 * carry)  # increments; carries of two layers
    assert held["across"] == pytest.approx(1 + 3 * 3 + 2 * 2 * carry, abs=1.1)  # increments; streams; carries
    assert held["whole"] > 3 * held["across"]


MEMORY = """
import sys
from pathlib import Path
import torch
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.through_time import Run, loss, loss_across
from tests.ssm_ops.played import PlayedChain

kind, frames = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
model = Forecaster(ModelSettings(channels=8, states=16), volume_channels=1, boundary=("reflect",) * 3, depth=1)

def step(count):
    frames = torch.randn(count, 1, 1, 48, 48)
    run = Run.of_window(frames, frames, model, first=0, burn_in=4)
    if kind == "whole":
        total = (model(frames)[0][4:-1] - frames[5:]).square().sum()
    elif kind == "recomputed":
        total = loss(model, run, recompute=16, truncate=None)
    else:
        total = loss_across(model, run, PlayedChain(1).rank(0), recompute=16)
    total.backward()

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

step(33)
before = peak()
step(frames)
print((peak() - before) / (48 * 48 * 4))
"""


def most_held(kind, frames):
    """The most memory that the process of a step ever held beyond that of a step of two chunks, in fields."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, str(frames)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_does_not_grow_with_time_beyond_inputs_outputs_and_a_carry_a_chunk():
    """Channels: 1 of the frames, 8 of the stream, 16 of each carry of 16 frames. What an allocator wastes is in it."""
    grown = {}
    for kind, few, many in (("whole", 128, 384), ("recomputed", 512, 2048), ("across", 512, 2048)):
        grown[kind] = (most_held(kind, many) - most_held(kind, few)) / (many - few)
    print("fields held for each further frame:", {kind: round(value, 1) for kind, value in grown.items()})
    assert grown["recomputed"] < 3 + 2 + 3  # frames, increments, another of them on the way; carries; waste
    assert (
        grown["across"] < 3 + 3 * 8 + 2 * 8 + 2 * 2 + 3
    )  # the same; streams, two gradients to streams; carries; waste
    assert grown["whole"] > 150


@pytest.mark.parametrize("masks", [1, 2])
def test_masked_voxels(masks):
    """What the whole window's loss leaves out is left out however it is cut, and counted alike."""
    torch.manual_seed(0)
    settings = ModelSettings(channels=3, states=4, layers=2)
    model = Forecaster(settings, volume_channels=2, boundary=("reflect",) * 3, depth=1, masks=masks).double()
    draw = torch.Generator().manual_seed(1)
    mask = (torch.rand(WINDOW, masks, 1, 5, 6, generator=draw) < 0.7).double()
    frames = torch.cat([torch.randn(WINDOW, 2, 1, 5, 6, generator=draw, dtype=torch.float64) * mask, mask], dim=1)

    forecasts, _ = model(frames)
    errors = (forecasts[BURN_IN:-1] - frames[BURN_IN + 1 :, :2])[mask.expand(-1, 2, -1, -1, -1)[BURN_IN + 1 :] == 1]
    total = errors.square().sum()
    expected = [total.detach(), *torch.autograd.grad(total, list(model.parameters()))]
    same(chunked(model, frames, recompute=5), expected)
    same(across(model, frames, ranks=2, recompute=None), expected)
    runs = []
    for rank in range(3):
        own = share_of(WINDOW - 1, rank, 3)
        part = frames[max(own.start - 1, 0) : own.stop + 1]
        runs.append(Run.of_window(part, part, model, first=own.start, burn_in=BURN_IN))
    assert sum(run.valued() for run in runs) == len(errors)
