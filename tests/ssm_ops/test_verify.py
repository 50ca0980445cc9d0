"""The certificate tells the truth: small where the scan is right, large where it is made wrong."""

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
