"""Grid, propagator and scan against the float64 recurrence in pixel space, closed forms, and every cut of time."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from ssm_ops import Grid, Propagator, reference, scan
from ssm_ops.layer import MIN_DECAY, ConvSSM
from ssm_ops.scan import add_carry, recurrence

GRIDS = [
    ((8,), ("periodic",)),
    ((7,), ("reflect",)),
    ((1,), ("reflect",)),
    ((1,), ("periodic",)),
    ((2,), ("periodic",)),
    ((6, 5), ("periodic", "periodic")),
    ((6, 5), ("reflect", "reflect")),
    ((5, 8), ("reflect", "periodic")),
    ((4, 7), ("periodic", "reflect")),
    ((3, 4, 5), ("reflect", "periodic", "reflect")),
    ((4, 3, 6), ("periodic", "reflect", "periodic")),
]


def propagator(dtype=torch.float64):
    return Propagator(torch.tensor([0.05, 0.7], dtype=dtype), torch.tensor([0.3, 0.02], dtype=dtype))


def inputs(grid, frames=9, dtype=torch.float64, seed=0):
    return torch.randn(frames, 2, *grid, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def truth(x, transition, boundary):
    numbers = (transition.decay.numpy(), transition.diffusivity.numpy())
    return torch.from_numpy(np.stack(list(reference.recurrence(x.double().numpy(), *numbers, boundary))))


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_spectrum_inverts(shape, boundary):
    grid, x = Grid(shape, boundary), inputs(shape)
    torch.testing.assert_close(grid.to_field(grid.to_spectrum(x)), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_scan_is_the_reference(shape, boundary, dtype, tolerance):
    x = inputs(shape, dtype=dtype)
    states, carry = scan(x, propagator(), boundary=boundary)
    expected = truth(x, propagator(), boundary)
    assert states.dtype == dtype
    assert (states.double() - expected).norm() <= tolerance * expected.norm()
    final = Grid(shape, boundary).to_field(carry)
    assert (final.double() - expected[-1]).norm() <= tolerance * expected[-1].norm()


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_gradients(shape, boundary):
    x = inputs(shape, frames=3).requires_grad_()
    carry = Grid(shape, boundary).to_spectrum(inputs(shape, frames=1, seed=1)[0]).requires_grad_()
    decay, diffusivity = (p.clone().requires_grad_() for p in (propagator().decay, propagator().diffusivity))

    def call(x, decay, diffusivity, carry):
        states, left = scan(x, Propagator(decay, diffusivity), boundary=boundary, carry=carry)
        return states, Grid(shape, boundary).to_field(left)

    assert torch.autograd.gradcheck(call, (x, decay, diffusivity, carry))


@given(cut=st.integers(1, 15), parts=st.integers(1, 4), case=st.sampled_from(GRIDS))
@settings(deadline=None, max_examples=40)
def test_any_cut_of_time_gives_the_same(cut, parts, case):
    shape, boundary = case
    x = inputs(shape, frames=16, dtype=torch.float32)
    whole, final = scan(x, propagator(), boundary=boundary)
    borders = sorted({0, cut, min(cut * parts, 15), 16})
    carry, pieces = None, []
    for start, stop in itertools.pairwise(borders):
        states, carry = scan(x[start:stop], propagator(), boundary=boundary, carry=carry)
        pieces.append(states)
    assert (torch.cat(pieces) - whole).norm() <= 1e-6 * whole.norm()
    assert (carry - final).norm() <= 1e-6 * final.norm()


def test_add_carry_is_what_a_scan_from_zero_lacks():
    shape, boundary = (5, 8), ("reflect", "periodic")
    grid, x = Grid(shape, boundary), inputs(shape)
    change = propagator().change(grid, torch.float64)
    carry = grid.to_spectrum(inputs(shape, frames=1, seed=3)[0])
    with torch.no_grad():
        expected = recurrence(change, grid.to_spectrum(x), carry)
        states, left = add_carry(change, recurrence(change, grid.to_spectrum(x)), carry)
    torch.testing.assert_close(states, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(left, propagator().power(grid, len(x), torch.float64) * carry)


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_the_input_is_left_alone(shape, boundary):
    x = inputs(shape)
    before = x.clone()
    scan(x, propagator(), boundary=boundary)
    assert torch.equal(x, before)


def test_one_mode_decays_geometrically():
    size, k, frames = 16, 3, 6
    mode = torch.cos(2 * np.pi * k * torch.arange(size, dtype=torch.float64) / size)
    x = torch.zeros(frames, 2, size, dtype=torch.float64)
    x[0] = mode
    states, _ = scan(x, propagator(), boundary=("periodic",))
    rate = torch.exp(-propagator().decay - propagator().diffusivity * (2 * np.pi * k / size) ** 2)
    for t in range(frames):
        torch.testing.assert_close(states[t], rate[:, None] ** t * mode)


def test_diffusion_is_the_heat_kernel_and_keeps_the_mass():
    size, diffusivity, steps = 64, 0.5, 9
    x = torch.zeros(steps + 1, 1, size, dtype=torch.float64)
    x[0, 0, size // 2] = 1
    states, _ = scan(
        x, Propagator(torch.zeros(1).double(), torch.tensor([diffusivity]).double()), boundary=("periodic",)
    )
    position = torch.arange(size, dtype=torch.float64) - size // 2
    variance = 2 * diffusivity * steps
    heat = torch.exp(-(position**2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5
    torch.testing.assert_close(states[-1, 0], heat, rtol=0, atol=1e-9)
    assert abs(states[-1].sum().item() - 1) < 1e-12


def test_no_flux_through_a_reflecting_border():
    x = torch.zeros(30, 1, 11, dtype=torch.float64)
    x[0, 0, 1] = 1
    states, _ = scan(x, Propagator(torch.zeros(1).double(), torch.ones(1).double()), boundary=("reflect",))
    torch.testing.assert_close(states.sum((1, 2)), torch.ones(30, dtype=torch.float64))


def test_long_powers_keep_their_accuracy():
    grid = Grid((9,), ("reflect",))
    steps = 20_000
    slow = Propagator(torch.tensor([1e-5]), torch.tensor([1e-6]))
    exact = torch.exp(
        -steps * (slow.decay.double()[:, None] + slow.diffusivity.double()[:, None] * grid.squared_wavenumber())
    )
    torch.testing.assert_close(slow.power(grid, steps, torch.float32).double(), exact, rtol=1e-7, atol=0)


def test_slow_modes_stay_exact_over_long_times_in_any_cut():
    """A memory of 10,000 steps over 30,000 frames: float32 against the float64 recurrence, whole and in chunks."""
    slow = Propagator(torch.tensor([1e-4]), torch.tensor([0.0]))
    x = torch.rand(30_000, 1, 1, generator=torch.Generator().manual_seed(0))
    expected, state = [], 0.0
    for value in x.double().flatten().tolist():
        state = np.exp(-slow.decay.double().item()) * state + value
        expected.append(state)
    expected = torch.tensor(expected, dtype=torch.float64)
    whole, _ = scan(x, slow, boundary=("reflect",))
    grid = Grid((1,), ("reflect",))
    carry, pieces, change = None, [], slow.change(grid, torch.float32)
    for chunk in x.split(64):
        local = recurrence(change, chunk.clone())
        leaving = local[-1].clone() if carry is None else slow.power(grid, 64, torch.float32) * carry
        pieces.append(local if carry is None else add_carry(change, local, carry)[0])
        carry = leaving if carry is None else leaving + local[-1]
    for states in (whole, torch.cat(pieces)):
        assert (states.double().flatten() - expected).norm() <= 1e-5 * expected.norm()


def test_gradients_reach_a_carry_that_is_all_that_needs_them():
    carry = torch.ones(2, 4, dtype=torch.float64, requires_grad=True)
    states, _ = scan(inputs((4,)), propagator(), boundary=("reflect",), carry=carry)
    states.sum().backward()
    assert carry.grad is not None


def test_a_carry_of_another_shape_is_refused_by_the_annotations():
    with pytest.raises(TypeCheckError):
        add_carry(torch.ones(2, 3), torch.ones(4, 2, 3), torch.ones(1, 3))
    with pytest.raises(TypeCheckError):
        Propagator(torch.ones(2), torch.ones(2, 2))


@given(raw=st.floats(-(2.0**90), 2.0**90, width=32), spread=st.floats(-(2.0**90), 2.0**90, width=32))
def test_every_raw_parameter_is_stable(raw, spread):
    layer = ConvSSM(1, 1)
    with torch.no_grad():
        layer.raw_decay.fill_(raw)
        layer.raw_diffusivity.fill_(spread)
    a = layer.transition().power(Grid((8, 5), ("periodic", "reflect")), 1, torch.float32)
    assert MIN_DECAY > 0
    assert a.abs().max() < 1


def test_unknown_boundary_names_the_axis():
    with pytest.raises(ValueError, match="boundary 'mirror' of axis 1 is unknown; use one of periodic, reflect"):
        Grid((4, 4), ("periodic", "mirror"))
    with pytest.raises(ValueError, match="one boundary for each"):
        Grid((4, 4), ("periodic",))
