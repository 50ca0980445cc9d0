"""The discretisations on the harmonic oscillator, whose motion is known on paper."""

import math

import numpy as np
import pytest
import torch

from ssm_ops import (
    Pointwise,
    backward_euler,
    bilinear,
    forward_euler,
    harmonic_oscillator,
    oscillation,
    scan,
    zero_order_hold,
)

W, DAMPING = 1.3, 0.1
METHODS = [zero_order_hold, bilinear, forward_euler, backward_euler]


def walk(advance, push, inputs, state):
    """(time, 2) of h_t = advance h_{t-1} + push u_t."""
    states = []
    for u in inputs:
        state = advance @ state + push[:, 0] * u
        states.append(state)
    return torch.stack(states)


def test_the_motion_on_paper_obeys_the_equation():
    """By the matrix exponential, and by q'' = -w^2 q - 2 damping q' + push, its slopes by autograd."""
    A, B = harmonic_oscillator(W, DAMPING)
    time = torch.linspace(0, 9, 7, dtype=torch.float64, requires_grad=True)
    path = oscillation(time, W, DAMPING, start=0.7, push=0.4)
    for axis in range(2):
        slope = torch.autograd.grad(path[:, axis].sum(), time, retain_graph=True)[0]
        torch.testing.assert_close(slope, (path @ A.mT + 0.4 * B[:, 0])[:, axis])
    free = torch.linalg.matrix_exp(time.detach()[:, None, None] * A)[:, :, 0]
    torch.testing.assert_close(oscillation(time.detach(), W, DAMPING, start=1), free)


def test_zero_order_hold_is_exact_for_inputs_that_are_constant_over_each_step():
    """A sum of the answers to the steps of the input, each begun when the input changed."""
    dt, steps = 0.8, 30
    u = torch.randn(steps, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    time = dt * torch.arange(1, steps + 1).double()
    expected = oscillation(time, W, DAMPING, start=0.5)
    for k, change in enumerate(torch.diff(u, prepend=torch.zeros(1).double())):
        expected[k:] += change * oscillation(time[k:] - k * dt, W, DAMPING, push=1)
    A, B = harmonic_oscillator(W, DAMPING)
    states = walk(*zero_order_hold(A, B, dt), u, torch.tensor([0.5, 0]).double())
    torch.testing.assert_close(states, expected)


@pytest.mark.parametrize(
    ("method", "at", "order"),
    [
        (forward_euler, 0.0, 1),
        (backward_euler, 1.0, 1),
        (bilinear, 0.5, 2),
        (zero_order_hold, 0.5, 2),
        (bilinear, 0.0, 1),
        (zero_order_hold, 1.0, 1),
    ],
)
def test_orders_of_accuracy(method, at, order):
    """Pushed by cos(2 t), read at a part `at` of each step: fitted over steps from 1/20 to 1/160."""
    A, B = harmonic_oscillator(W, DAMPING)
    answer = torch.linalg.solve(2j * torch.eye(2) - A, B.to(torch.complex128))[:, 0]  # h = Re answer exp(2 i t)
    steps, errors = [20, 40, 80, 160], []
    for per_unit in steps:
        time = torch.arange(5 * per_unit + 1).double() / per_unit
        inputs = torch.cos(2 * (time[:-1] + at / per_unit))
        states = walk(*method(A, B, 1 / per_unit), inputs, answer.real)
        errors.append((states - (answer * torch.exp(2j * time[1:, None])).real).abs().max().item())
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


def test_the_mean_of_both_ends_is_second_order_too():
    A, B = harmonic_oscillator(W, DAMPING)
    answer = torch.linalg.solve(2j * torch.eye(2) - A, B.to(torch.complex128))[:, 0]
    for method in (bilinear, zero_order_hold):
        errors = []
        for per_unit in (40, 80):
            u = torch.cos(2 * torch.arange(5 * per_unit + 1).double() / per_unit)
            last = walk(*method(A, B, 1 / per_unit), (u[:-1] + u[1:]) / 2, answer.real)[-1]
            errors.append((last - (answer * complex(math.cos(10), math.sin(10))).real).abs().max().item())
        assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("method", "growth", "phase"),
    [
        (zero_order_hold, 0, float),
        (bilinear, 0, lambda z: 2 * math.atan(z / 2)),
        (forward_euler, 1, math.atan),
        (backward_euler, -1, math.atan),
    ],
)
def test_what_a_step_does_to_energy_and_phase(method, growth, phase):
    z = W * 0.4
    advance, _ = method(*harmonic_oscillator(W), 0.4)
    scale = torch.tensor([W, 1.0]).double()  # in (w q, q') the energy is the squared length
    turn = scale[:, None] * advance / scale
    torch.testing.assert_close(turn.mT @ turn, (1 + z**2) ** growth * torch.eye(2).double())
    torch.testing.assert_close(torch.atan2(turn[0, 1], turn[0, 0]).item(), phase(z))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_two_pointwise_channels(method):
    """Eigenvectors turn the two coupled numbers into channels of `scan`."""
    advance, push = method(*harmonic_oscillator(W, DAMPING), 0.25)
    values, vectors = torch.linalg.eig(advance)
    x = torch.linalg.solve(vectors, push.to(vectors.dtype)).squeeze(1).expand(80, 2)[..., None]
    states, _ = scan(x, Pointwise(values.log()), boundary=("periodic",))
    expected = walk(advance, push, torch.ones(80).double(), torch.zeros(2).double())
    torch.testing.assert_close((states[..., 0] @ vectors.mT).real, expected)


def test_no_swing_no_motion_on_paper():
    with pytest.raises(ValueError, match="damping is 2 and frequency 1.3; give"):
        oscillation(torch.zeros(1), 1.3, 2)
