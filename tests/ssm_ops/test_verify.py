"""The certificate tells the truth: small where the scan is right, large where it is made wrong."""

import math

import pytest
import torch

from ssm_ops import Kernel, Propagator, scan, stability_margin, verify, verify_scan
from tests.ssm_ops.cases import CHANNELS, FAMILIES, inputs, transition


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_certified(family, dtype, tolerance):
    boundary = ("reflect", "padded:3")
    found = verify_scan(inputs((5, 4), 12, dtype=dtype), transition(family, boundary), boundary=boundary, trials=3)
    assert 0 < found.worst < tolerance
    assert {"uncut", "cuts in time", "workers, chain", "workers, tree", "interruptions"} <= set(found.differences)
    assert ("pixel space" in found.differences) == (family == "kernel")
    assert 0 < found.margin < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_uneven_steps_are_certified(family):
    """Steps of 0 to 3 units; whole ones, which a kernel needs."""
    boundary = ("periodic", "reflect")
    dt = torch.tensor([1.0, 2, 0, 1, 3, 1, 1, 2], dtype=torch.float64)
    x = inputs((5, 4), 8)
    found = verify_scan(x, transition(family, boundary), boundary=boundary, dt=dt, trials=3)
    assert 0 < found.worst < 1e-12
    with pytest.raises(ValueError, match="dt holds 7 steps and x 8 frames; give one step a frame"):
        verify_scan(x, transition(family, boundary), boundary=boundary, dt=dt[1:])


def test_steps_that_are_lost_are_seen(monkeypatch):
    monkeypatch.setattr(verify, "scan", lambda *args, **more: scan(*args, **{**more, "dt": None}))
    dt = torch.tensor([1.0, 0.5, 2.0, 1.5], dtype=torch.float64)
    found = verify_scan(inputs((6,), 4), transition("decaying", ("periodic",)), boundary=("periodic",), dt=dt, trials=2)
    assert found.differences["uncut"] > 1e-2
    assert found.differences["workers, chain"] < 1e-12


def test_nan_in_one_trial_is_not_passed_over(monkeypatch):
    calls = []

    def broken(*args, **more):
        calls.append(args)
        states, carry = scan(*args, **more)
        return (states * float("nan") if len(calls) == 9 else states), carry

    monkeypatch.setattr(verify, "scan", broken)
    found = verify_scan(inputs((6,), 12), transition("decaying", ("periodic",)), boundary=("periodic",), trials=8)
    assert len(calls) > 9
    assert math.isnan(found.worst)


def test_a_carry_that_is_lost_is_seen(monkeypatch):
    """With the carry dropped at every border, the uncut scan still agrees and the cuts do not."""
    monkeypatch.setattr(verify, "scan", lambda *args, **more: scan(*args, **{**more, "carry": None}))
    found = verify_scan(inputs((6,), 12), transition("decaying", ("periodic",)), boundary=("periodic",), trials=5)
    assert found.differences["uncut"] < 1e-12
    assert found.differences["cuts in time"] > 1e-2
    assert found.differences["interruptions"] > 1e-2


def test_the_margin():
    slow = Propagator(1e-9, 0.0)
    grid = slow.basis((4,), ("periodic",), 1)
    assert stability_margin(slow, grid) == pytest.approx(1e-9, rel=1e-6)
    grows = Kernel(torch.tensor([[0.5, 0.5, 0.5]]))
    assert stability_margin(grows, grows.basis((8,), ("periodic",), 1)) == pytest.approx(-0.5)
    for family in FAMILIES:
        given = transition(family, ("periodic",))
        grid = given.basis((9,), ("periodic",), CHANNELS)
        assert stability_margin(given, grid) == pytest.approx(1 - given.power(grid, 1).abs().max().item())
