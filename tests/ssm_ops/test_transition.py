"""Transitions: stable for every raw parameter, exact in their powers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_ops import Grid, Kernel, Pointwise, Propagator, reference
from ssm_ops.transition import transfer
from tests.ssm_ops.cases import CHANNELS, GRIDS, inputs, relative, transition


@given(
    decay=st.floats(1e-5, 1e30),
    diffusivity=st.floats(0, 1e30),
    velocity=st.floats(-1e12, 1e12),
    rates=st.lists(st.floats(-1e30, 1e30), min_size=6, max_size=6),
    dt=st.floats(1e-2, 1e3),
)
@settings(max_examples=300)
def test_a_propagator_with_decay_is_stable_whatever_the_rest(decay, diffusivity, velocity, rates, dt):
    correction = torch.tensor(rates, dtype=torch.float64).reshape(1, 3, 2)
    any_propagator = Propagator(decay, diffusivity, (velocity, -velocity), correction)
    grid = any_propagator.basis((8, 5), ("periodic", "padded:3"), 1)
    assert any_propagator.power(grid, dt).abs().max() < 1


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
@pytest.mark.parametrize("family", ["decaying", "drifting", "corrected", "kernel", "pointwise"])
def test_powers_are_repeated_products(family, shape, boundary):
    any_transition = transition(family, boundary)
    grid = any_transition.basis(shape, boundary, CHANNELS)
    a = 1 + any_transition.change(grid)
    torch.testing.assert_close(any_transition.power(grid, 1), a, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(any_transition.power(grid, 7), a**7, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(any_transition.power(grid, 0), torch.ones_like(a), rtol=0, atol=0)


def test_long_powers_keep_their_accuracy():
    grid, steps = Grid((9,), ("reflect",)), 20_000
    slow = Propagator(torch.tensor([1e-5]), torch.tensor([1e-6]))
    exact = torch.exp(-steps * (slow.decay.double()[:, None] + slow.diffusivity.double() * grid.squared_wavenumber()))
    torch.testing.assert_close(slow.power(grid, steps), exact, rtol=1e-12, atol=0)
    rotation = Pointwise(torch.tensor([-1e-5 + 2.5j], dtype=torch.complex128))
    power = rotation.power(rotation.basis((1,), ("periodic",), 1), 1_000_000)
    angle = torch.tensor(2.5e6, dtype=torch.float64)
    torch.testing.assert_close(power.angle().squeeze(), torch.atan2(angle.sin(), angle.cos()), rtol=0, atol=1e-8)


def test_powers_of_a_frequency_that_a_kernel_removes():
    """[1, 2, 1] / 4 is zero at the Nyquist frequency: 0^0 = 1, 0^n = 0, and a gradient that is a number."""
    taps = torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64, requires_grad=True)
    grid = Grid((8,), ("periodic",))
    assert Kernel(taps).power(grid, 5)[0, -1] == 0
    assert Kernel(taps).power(grid, 0)[0, -1] == 1
    Kernel(taps).power(grid, 3).abs().sum().backward()
    assert taps.grad.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "boundary"), [case for case in GRIDS if not any("padded" in name for name in case[1])]
)
def test_the_transfer_function_is_the_convolution(shape, boundary):
    grid, x = Grid(shape, boundary), inputs(shape, 1)[0]
    taps = transition("kernel", boundary).taps
    spectral = grid.to_field(transfer(taps, grid) * grid.to_spectrum(x))
    pairs = zip(x.numpy(), taps.numpy(), strict=True)
    expected = torch.stack([torch.from_numpy(reference.convolve(field, own, boundary)) for field, own in pairs])
    assert relative(spectral, expected) < 1e-12
