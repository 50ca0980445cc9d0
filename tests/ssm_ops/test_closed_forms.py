"""Closed forms before curves: what the scan must give where the answer is known on paper."""

import math

import pytest
import torch

from ssm_ops import Grid, Kernel, Pointwise, Propagator, scan, wraparound


def impulse(frames, *grid, at):
    x = torch.zeros(frames, 1, *grid, dtype=torch.float64)
    x[(0, 0, *at)] = 1
    return x


def test_one_mode_decays_geometrically():
    size, k, frames = 16, 3, 6
    mode = torch.cos(2 * math.pi * k * torch.arange(size, dtype=torch.float64) / size)
    x = torch.zeros(frames, 2, size, dtype=torch.float64)
    x[0] = mode
    decay, diffusivity = torch.tensor([0.05, 0.7]).double(), torch.tensor([0.3, 0.02]).double()
    states, _ = scan(x, Propagator(decay, diffusivity), boundary=("periodic",))
    rate = torch.exp(-decay - diffusivity * (2 * math.pi * k / size) ** 2)
    for t in range(frames):
        torch.testing.assert_close(states[t], rate[:, None] ** t * mode)


@pytest.mark.parametrize("velocity", [1.0, -2.0, 0.37, -1.61])
@pytest.mark.parametrize("size", [32, 33])
def test_velocity_alone_moves_a_blob(size, velocity):
    """A blob of few frequencies, between two voxels and over the border, stands where it was carried to."""

    def blob(centre):
        position = torch.arange(size, dtype=torch.float64) - centre
        return sum(math.exp(-((k / 3) ** 2)) * torch.cos(2 * math.pi * k * position / size) for k in range(9))

    frames = 40
    x = torch.zeros(frames, 1, size, dtype=torch.float64)
    x[0, 0] = blob(5.25)
    states, _ = scan(x, Propagator(0.0, 0.0, velocity), boundary=("periodic",))
    for t in range(frames):
        torch.testing.assert_close(states[t, 0], blob(5.25 + velocity * t), rtol=0, atol=1e-11)


def test_a_whole_voxel_a_step_is_a_roll_in_every_direction():
    x = torch.zeros(4, 1, 7, 5, 9, dtype=torch.float64)
    x[0] = torch.randn(1, 7, 5, 9, dtype=torch.float64)
    states, _ = scan(x, Propagator(0.0, 0.0, (1, -2, 3)), boundary=("periodic",) * 3)
    for t in range(4):
        torch.testing.assert_close(states[t, 0], x[0, 0].roll((t, -2 * t, 3 * t), (0, 1, 2)), rtol=0, atol=1e-12)


def test_diffusion_alone_is_the_heat_kernel_and_keeps_the_mass():
    size, diffusivity, steps = 64, 0.5, 9
    states, _ = scan(impulse(steps + 1, size, at=(size // 2,)), Propagator(0.0, diffusivity), boundary=("periodic",))
    position = torch.arange(size, dtype=torch.float64) - size // 2
    variance = 2 * diffusivity * steps
    heat = torch.exp(-(position**2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5
    torch.testing.assert_close(states[-1, 0], heat, rtol=0, atol=1e-9)
    torch.testing.assert_close(states.sum((1, 2)), torch.ones(steps + 1, dtype=torch.float64))


def test_no_flux_through_a_reflecting_border_and_none_held_back_by_a_dirichlet_one():
    x = impulse(200, 11, at=(1,))
    kept, _ = scan(x, Propagator(0.0, 1.0), boundary=("reflect",))
    torch.testing.assert_close(kept.sum((1, 2)), torch.ones(200, dtype=torch.float64))
    lost, _ = scan(x, Propagator(0.0, 1.0), boundary=("dirichlet",))
    slowest = math.exp(-((math.pi / 12) ** 2))  # sin(pi (i + 1) / 12), the slowest mode between two zeros
    torch.testing.assert_close(lost[-1].sum() / lost[-2].sum(), torch.tensor(slowest).double(), rtol=1e-5, atol=0)
    assert (lost.sum((1, 2)).diff() < 0).all()


def test_dirichlet_is_zero_padding_for_three_taps():
    taps = torch.tensor([[0.2, 0.5, 0.2]]).double()
    x = torch.randn(6, 1, 9, dtype=torch.float64)
    states, _ = scan(x, Kernel(taps), boundary=("dirichlet",))
    state = torch.zeros(1, 9, dtype=torch.float64)
    for t in range(6):
        state = torch.nn.functional.conv1d(state[None], taps[None], padding=1)[0] + x[t]
        torch.testing.assert_close(states[t], state)


def test_reflect_is_symmetric_padding_at_every_step():
    taps = torch.tensor([[0.1, 0.15, 0.4, 0.15, 0.1]]).double()
    x = torch.randn(6, 1, 9, dtype=torch.float64)
    states, _ = scan(x, Kernel(taps), boundary=("reflect",))
    state = torch.zeros(1, 9, dtype=torch.float64)
    for t in range(6):
        padded = torch.cat([state[:, :2].flip(1), state, state[:, -2:].flip(1)], dim=1)
        state = torch.nn.functional.conv1d(padded[None], taps[None])[0] + x[t]
        torch.testing.assert_close(states[t], state)


@pytest.mark.parametrize(("taps", "reach"), [((3,), (1, 1)), ((2,), (1, 0)), ((5,), (2, 2)), ((4,), (2, 1))])
@pytest.mark.parametrize("backend", ["spectral", "pixel"])
def test_the_receptive_field_grows_by_k_minus_1_a_step(taps, reach, backend):
    """Taps from `reach[0]` voxels below the centre to `reach[1]` above it: an impulse spreads exactly so far."""
    size, middle = 41, 20
    x = impulse(5, size, at=(middle,))
    states, _ = scan(x, Kernel(torch.ones(1, *taps).double() / 10), boundary=("periodic",), backend=backend)
    for t in range(5):
        touched = (states[t, 0].abs() > 1e-9).nonzero().flatten()
        assert len(touched) == 1 + t * (taps[0] - 1)
        assert touched[0] == middle - t * reach[0]
        assert touched[-1] == middle + t * reach[1]


def test_a_tap_behind_the_centre_moves_towards_larger_indices():
    x = torch.zeros(3, 1, 4, 6, dtype=torch.float64)
    x[0] = torch.randn(1, 4, 6, dtype=torch.float64)
    taps = torch.zeros(1, 3, 2, dtype=torch.float64)
    taps[0, 2, 0] = 1  # centre (1, 1): one down, one to the left
    for backend in ("spectral", "pixel"):
        states, _ = scan(x, Kernel(taps), boundary=("periodic", "periodic"), backend=backend)
        torch.testing.assert_close(states[2, 0], x[0, 0].roll((2, -2), (0, 1)), rtol=0, atol=1e-12)


def test_steps_add_up():
    """a^s a^t = a^(s + t) at every frequency of even and odd axes, the Nyquist ones too."""
    given = Propagator(0.1, 0.05, (0.7, -1.3))
    for shape in ((8, 6), (7, 4), (2, 1), (5, 5)):
        grid = given.basis(shape, ("periodic", "periodic"), 1)
        torch.testing.assert_close(given.power(grid, 2.6), given.power(grid, 0.7) * given.power(grid, 1.9))


@pytest.mark.parametrize("velocity", [0.25, -0.7])
def test_a_pointwise_rotation_is_an_oscillator(velocity):
    """h' = (-damping + i w) h: the real part of the state swings and decays as it must, at uneven times."""
    damping, dt = 0.1, torch.tensor([1.0, 0.3, 2.0, 0.05, 1.7]).double()
    x = torch.zeros(5, 1, 3, dtype=torch.float64)
    x[0] = 1
    states, _ = scan(x, Pointwise(torch.tensor([complex(-damping, velocity)])), boundary=("periodic",), dt=dt)
    time = dt.cumsum(0) - dt[0]
    expected = torch.exp(-damping * time) * torch.cos(velocity * time)
    torch.testing.assert_close(states.real[:, 0, 1], expected, rtol=1e-7, atol=1e-7)


class TestPadded:
    """Open ends: what leaves stays away, as on an endless line, but for the stated bound."""

    def test_exact_as_long_as_nothing_can_have_gone_around(self):
        taps = torch.tensor([[0.1, 0.5, 0.3]]).double()  # asymmetric, one voxel a step
        x = torch.randn(7, 1, 9, dtype=torch.float64)
        for backend in ("spectral", "pixel"):
            near, _ = scan(x, Kernel(taps), boundary=("padded:6",), backend=backend)
            far, _ = scan(x, Kernel(taps), boundary=("padded:200",), backend=backend)
            torch.testing.assert_close(near, far, rtol=0, atol=1e-13)

    @pytest.mark.parametrize(
        "given",
        [
            Kernel(torch.tensor([[0.1, 0.4, 0.35]]).double()),
            Kernel(torch.tensor([[0.0, 0.1, 0.2, 0.6]]).double()),
            Propagator(0.2, 0.3, 0.8),
            Propagator(0.05, 1.0, -0.5),
        ],
    )
    @pytest.mark.parametrize("guard", [1, 4, 9])
    def test_the_stated_bound_holds_and_is_of_use(self, given, guard):
        size, frames = 10, 60
        noise = torch.Generator().manual_seed(0)
        x = torch.rand(frames, 1, size, dtype=torch.float64, generator=noise) * 2 - 1
        worst = 0.0
        for inputs in (x, x.sign(), torch.ones_like(x)):
            near, _ = scan(inputs, given, boundary=(f"padded:{guard}",))
            far, _ = scan(inputs, given, boundary=("padded:1000",))
            worst = max(worst, (near - far).abs().max().item())
        bound = wraparound(given, Grid((size,), (f"padded:{guard}",)), frames)
        assert worst <= bound + 1e-12
        assert bound <= 40 * worst + 1e-9
