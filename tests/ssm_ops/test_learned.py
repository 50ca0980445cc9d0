"""Learned transitions: stable for every raw parameter, on every boundary; a search tries to break it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_ops import LearnedKernel, LearnedPointwise, LearnedPropagator, SelectiveSteps, initial, scan
from ssm_ops.learned import SHORTEST
from tests.ssm_ops.cases import inputs

BOUNDARIES = [("periodic", "periodic"), ("reflect", "periodic"), ("dirichlet", "padded:2"), ("reflect", "dirichlet")]


def families(boundary):
    ones = torch.ones(2)
    return [
        LearnedPropagator(0.1 * ones, ones),
        LearnedPropagator(0.1 * ones, ones, boundary, drift=True, taps=3),
        LearnedKernel(torch.ones(2, 3, 3) / 10, boundary),
        LearnedKernel(torch.ones(2, 5, 3) / 10, boundary),
        LearnedPointwise(initial.s4d_lin(2).to(torch.complex64)),
    ]


def largest(family, boundary, dt=1.0):
    """The largest |a| in float32, on an even and an odd grid."""
    transition = family()
    values = []
    for shape in ((8, 6), (7, 5), (1, 2)):
        a = transition.power(transition.basis(shape, boundary, 2), dt)
        assert a.isfinite().all()
        values.append(a.abs().float().max().item())
    return max(values)


@given(
    raw=st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=4, max_size=4),
    boundary=st.sampled_from(BOUNDARIES),
    which=st.integers(0, 4),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=300, deadline=None)
def test_every_raw_parameter_is_stable(raw, boundary, which, seed):
    family, noise = families(boundary)[which], torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in family.parameters():
            pick = torch.randint(len(raw), parameter.shape, generator=noise)
            parameter.copy_(torch.tensor(raw)[pick])
    assert largest(family, boundary) < 1


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("which", range(5))
def test_a_search_finds_no_growth(boundary, which):
    """Gradient ascent on the largest |a| over all raw parameters."""
    torch.manual_seed(0)
    family = families(boundary)[which]
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.normal_(std=3)
    optimiser = torch.optim.Adam(family.parameters(), lr=0.5)
    for _ in range(60):
        optimiser.zero_grad()
        transition = family()
        a = transition.power(transition.basis((8, 5), boundary, 2), 1)
        (-a.abs().max()).backward()
        optimiser.step()
        assert largest(family, boundary) < 1
    assert largest(family, boundary, SHORTEST if which in (0, 1, 4) else 1) < 1


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("which", range(5))
def test_gradients_reach_every_parameter(boundary, which):
    family, x = families(boundary)[which], inputs((6, 5), dtype=torch.float32)
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) / 10)
    states, _ = scan(x, family(), boundary=boundary, backend="spectral")
    states.abs().square().sum().backward()
    for name, parameter in family.named_parameters():
        mirrored = all(kind in ("reflect", "dirichlet") for kind in boundary)
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0 or (name == "raw_velocity" and mirrored)


def test_small_kernels_stay_as_they_are():
    taps = torch.tensor([[[0.1, 0.2, 0.1]]])
    assert torch.equal(LearnedKernel(taps, ("periodic", "periodic"))().taps, taps)


def test_selective_steps_move_the_state_as_the_input_says():
    boundary, x = ("reflect", "periodic"), inputs((4, 6), 7, dtype=torch.float32)
    steps, family = SelectiveSteps(2, 2, step=1.0), LearnedPropagator(torch.ones(2) / 10, torch.ones(2))
    plain, _ = scan(x, family(), boundary=boundary)
    torch.testing.assert_close(scan(x, family(), boundary=boundary, dt=steps(x))[0], plain, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        steps.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, -3.0]]))
    dt = steps(x)
    assert dt.shape == (7, 2)
    assert dt.min() > SHORTEST
    x.requires_grad_()
    states, _ = scan(x, family(), boundary=boundary, dt=steps(x))
    states.square().sum().backward()
    assert steps.weight.grad.abs().min() > 0
    assert scan(x[None], family(), boundary=boundary, dt=steps(x[None]))[0].shape == (1, *x.shape)
