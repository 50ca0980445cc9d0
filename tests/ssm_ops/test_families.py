"""Families by name: how they start, and what they refuse."""

import pytest
import torch

from ssm_ops import Kernel, Pointwise, Propagator, learned_family
from ssm_ops.families import FAMILIES, initial_scales

BOUNDARY = ("reflect", "periodic")


@pytest.mark.parametrize(("name", "kind"), list(zip(FAMILIES, (Propagator, Kernel, Pointwise), strict=True)))
@pytest.mark.parametrize("states", [1, 3, 16, 64])
def test_every_family_starts_stable_with_its_longest_memory(name, kind, states):
    transition = learned_family(name, states, BOUNDARY)()
    assert isinstance(transition, kind)
    a = transition.power(transition.basis((8, 6), BOUNDARY, states), 1)
    assert a.shape[0] == states
    assert a.abs().max() < 1
    if states > 4:  # fewer are all of one memory and several widths
        assert -1 / a.abs().max().log() >= 19.9


def test_a_kernel_starts_as_blurs_of_the_propagators_memories():
    memory, diffusivity = initial_scales(8, 20.0)
    taps = learned_family("kernel", 8, BOUNDARY, taps=(9, 8))().taps
    torch.testing.assert_close(taps.sum((1, 2)), torch.exp(-1 / memory))
    torch.testing.assert_close(taps, taps.flip(1))
    distance = torch.arange(9) - 4
    spread = (taps.sum(2) * distance**2).sum(1) / taps.sum((1, 2))
    torch.testing.assert_close(spread[1:3], 2 * diffusivity[1:3], rtol=0.1, atol=0.1)  # a Gaussian that is sampled
    assert spread[0] < 1e-4


def test_pointwise_rates_are_no_faster_than_half_a_turn():
    for states in (2, 8, 16, 64):
        rate = learned_family("pointwise", states)().rate
        assert rate.imag.abs().max() <= torch.pi + 1e-5
        assert torch.unique(rate.imag).numel() == states


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_only_decay(name):
    drifts = {"drift": True, "taps": 3} if name == "propagator" else {}
    family = learned_family(name, 3, BOUNDARY, **drifts)
    for parameter in family.parameters():
        parameter.normal_()
    family.only_decay(1, torch.tensor(0.3))
    transition = family()
    a = transition.power(transition.basis((8, 6), BOUNDARY, 3), 1)[1]
    torch.testing.assert_close(a, torch.full_like(a, 0.7408182), rtol=0, atol=5e-5)


@torch.no_grad()
def test_decay_and_diffuse():
    family = learned_family("propagator", 3, BOUNDARY, drift=True, taps=3)
    for parameter in family.parameters():
        parameter.normal_()
    family.decay_and_diffuse(1, torch.tensor(0.3), torch.tensor(2.0))
    transition = family()
    a = transition.power(transition.basis((8, 6), BOUNDARY, 3), 1)[1]
    squares = (torch.pi * torch.arange(8) / 8)[:, None] ** 2 + (2 * torch.pi * torch.arange(4) / 6) ** 2
    torch.testing.assert_close(a.abs().float(), torch.exp(-0.3 - 2 * squares), rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("name", "boundary", "parts", "message"),
    [
        ("kernal", BOUNDARY, {}, "transition is 'kernal'; give one of propagator, kernel, pointwise"),
        ("kernel", BOUNDARY, {"drift": True}, "drift with transition 'kernel'; only 'propagator' has a velocity"),
        ("pointwise", BOUNDARY, {"taps": 3}, "taps with transition 'pointwise'"),
        ("kernel", BOUNDARY, {"taps": 0}, "taps is 0; give at least 1"),
        ("kernel", BOUNDARY, {"taps": 4}, "taps is 4 on axis 0, whose boundary is reflect; give an odd number"),
        ("propagator", BOUNDARY, {"taps": (3, 3, 3)}, r"taps \(3, 3, 3\) for 2 axes; give one size, or one for each"),
        ("propagator", ("reflect", "dirichlet"), {"drift": True}, "nothing drifts along mirrored axes"),
        ("kernel", (), {}, "give the boundary of each"),
        ("propagator", (), {"drift": True}, "give the boundary of each"),
    ],
)
def test_what_cannot_be(name, boundary, parts, message):
    with pytest.raises(ValueError, match=message):
        learned_family(name, 4, boundary, **parts)
