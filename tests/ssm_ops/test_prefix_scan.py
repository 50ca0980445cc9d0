"""The scan with a decay for every number, both ways to it, against a loop in double precision."""

import numpy as np
import pytest
import torch

from ssm_ops.prefix_scan import diagonal_scan, in_rounds, in_turn


def case(time, kind=torch.float64):
    generator = torch.Generator().manual_seed(time)
    decay = 2 * torch.rand(time, 2, 3, dtype=kind, generator=generator) - 1
    return decay, torch.randn(time, 2, 3, dtype=kind, generator=generator), torch.ones(2, 3, dtype=kind)


@pytest.mark.parametrize("way", [in_turn, in_rounds])
@pytest.mark.parametrize("time", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("backwards", [False, True])
def test_both_ways_are_the_recurrence(way, time, backwards):
    decay, offsets, start = case(time)
    state, wanted = start.numpy(), np.zeros((time, 2, 3))
    for t in reversed(range(time)) if backwards else range(time):
        state = decay[t].numpy() * state + offsets[t].numpy()
        wanted[t] = state
    found = way(decay, offsets, start, backwards=backwards)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("way", [in_turn, in_rounds])
def test_gradients_are_those_of_finite_differences(monkeypatch, way):
    monkeypatch.setattr("ssm_ops.prefix_scan._fastest", lambda device: way if device.type == "cpu" else None)
    decay, offsets, start = (part.requires_grad_() for part in case(6))
    assert torch.autograd.gradcheck(diagonal_scan, (decay, offsets, start))


@pytest.mark.parametrize("way", [in_turn, in_rounds])
def test_what_has_decayed_away_does_no_harm(way):
    """Products of decays underflow, and some decays are zero; what divided by them would be lost."""
    decay = torch.full((300, 1), 1e-3)
    decay[100] = 0
    offsets, start = torch.ones(300, 1), torch.full((1,), 1e30)
    found = way(decay, offsets, start)
    torch.testing.assert_close(found[200:], torch.full((100, 1), 1 / (1 - 1e-3)))
    assert found[100] == 1
