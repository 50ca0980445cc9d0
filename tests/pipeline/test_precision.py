"""Mixed precision: what is made in bfloat16, that the scan is not, and how near gradients are to those of float32."""

import dataclasses

import pytest
import torch

import ssm_ops.mixers.scanned
import ssm_ops.through_time
from pipeline.dataset import Sample
from pipeline.mesh import Alone
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.roles import Roles
from pipeline.training.objective import Objective
from pipeline.training.settings import TrainSettings
from ssm_ops import Propagator, scan

SETTINGS = TrainSettings(window=10, burn_in=2, precision="bfloat16")
SHAPE = (10, 1, 1, 6, 5)


def forecaster(**choice):
    torch.manual_seed(0)
    settings = ModelSettings(channels=4, states=4, layers=2, **choice)
    model = Forecaster(settings, volume_channels=1, boundary=("reflect", "reflect", "periodic"), depth=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def gradient(model, **others):
    """The gradient to all weights in one piece, and the loss."""
    model.zero_grad()
    settings = dataclasses.replace(SETTINGS, **others)
    frames = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    roles = Roles(("warmth",), ("warmth",), (0,), (0,))
    loss = Objective(settings, model, roles, frame=30, member=Alone()).loss([Sample(frames, None)], settings.cut(1))
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]), loss


def watched(monkeypatch):
    """The types of all numbers that go into the layers' scans and come out, once they were called."""
    seen = set()

    def watch(place, name):
        original = getattr(place, name)

        def call(x, *given, **named):
            found = original(x, *given, **named)
            numbers = [x, named["carry"], named["dt"], *(found if isinstance(found, tuple) else [found])]
            seen.update((name, number.dtype) for number in numbers if number is not None)
            return found

        monkeypatch.setattr(place, name, call)

    watch(ssm_ops.mixers.scanned, "scan")
    for place in (ssm_ops.mixers.scanned, ssm_ops.through_time):
        watch(place, "final_carry")
    return seen


@pytest.mark.parametrize(
    ("choice", "recompute"), [({}, None), ({"selective": True}, None), ({"transition": "pointwise"}, 4)]
)
def test_products_are_lower_and_the_scan_is_not(monkeypatch, choice, recompute):
    model = forecaster(**choice)
    plain, loss = gradient(model, precision="float32", recompute=recompute)
    seen, streams = watched(monkeypatch), set()
    for product in (model.encoder, model.decoder):
        product.register_forward_hook(lambda _module, _x, y: streams.add(y.dtype))  # also where a chunk is recomputed
    lower, lower_loss = gradient(model, recompute=recompute)
    assert streams == {torch.bfloat16}
    assert {dtype for _, dtype in seen} <= {torch.float32, torch.complex64}
    assert ("scan", torch.float32) in seen
    assert lower_loss == pytest.approx(loss, rel=0.02)
    assert 0 < (lower - plain).norm() / plain.norm() < 0.02


@pytest.mark.parametrize("boundary", ["reflect", "dirichlet"])
def test_a_scan_that_multiplies_by_matrices_is_untouched(boundary):
    """On one axis the transform of a mirrored boundary is a product with a matrix."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, 8, generator=draw)
    transition = Propagator(torch.full((3,), 0.3), torch.full((3,), 0.5))
    states, carry = scan(x, transition, boundary=(boundary,))
    with torch.autocast("cpu", torch.bfloat16):
        same, left = scan(x, transition, boundary=(boundary,))
    assert torch.equal(same, states)
    assert torch.equal(left, carry)


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="precision is 'float16'; give one of float32, bfloat16"):
        TrainSettings(precision="float16")
