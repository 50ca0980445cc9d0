"""HiPPO against its definition: the projection by quadrature, onto the polynomials of another library."""

import cmath
import math

import numpy as np
import pytest
import torch

from ssm_ops import hippo_basis, hippo_matrices, hippo_reconstruct, hippo_states, zero_order_hold
from ssm_ops.hippo import MEASURES

NODES, WEIGHTS = np.polynomial.legendre.leggauss(300)


@pytest.fixture(autouse=True)
def one_thread(fixed_threads):
    """Matrices this small are done before a second thread is there."""
    del fixed_threads
    torch.set_num_threads(1)


def basis(measure, size, age):
    """p_n(age) of numpy's polynomials, or written out: (size, age)."""
    if measure == "fout":
        waves = [np.ones_like(age)]
        for k in range(1, size // 2 + 1):
            waves += [2**0.5 * np.cos(2 * np.pi * k * age), 2**0.5 * np.sin(2 * np.pi * k * age)]
        return np.stack(waves)
    one = np.eye(size)
    if measure == "lagt":
        return np.stack([np.polynomial.laguerre.lagval(age, one[n]) for n in range(size)])
    return np.stack([(2 * n + 1) ** 0.5 * np.polynomial.legendre.legval(1 - 2 * age, one[n]) for n in range(size)])


def integral(f, start, stop):
    """Of f (.., age) over the ages [start, stop]."""
    return f(start + (stop - start) * (NODES + 1) / 2) @ WEIGHTS * (stop - start) / 2


def projection(measure, size, past):
    """The coefficients of `past`, a function of the age."""
    if measure == "lagt":
        return integral(lambda age: past(age) * np.exp(-age) * basis(measure, size, age), 0.0, 80.0)
    return integral(lambda age: past(age) * basis(measure, size, age), 0.0, 1.0)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_basis_is_the_measure_s(measure):
    size, age = 9, np.linspace(0, 1, 40) * (7 if measure == "lagt" else 1)
    np.testing.assert_allclose(hippo_basis(measure, size, torch.tensor(age)), basis(measure, size, age), atol=1e-11)
    gram = np.stack([projection(measure, size, lambda age, n=n: basis(measure, size, age)[n]) for n in range(size)])
    np.testing.assert_allclose(gram, np.eye(size), atol=1e-11)


SIGNALS = {
    "legs": (lambda x: np.cos(5 * x), lambda x: -5 * np.sin(5 * x)),
    "lagt": (lambda x: np.cos(1.5 * x), lambda x: -1.5 * np.sin(1.5 * x)),
    "legt": (lambda x: 1 - 2 * x + x**4, lambda x: -2 + 4 * x**3),
    "fout": (lambda x: 1 + np.sin(6 * np.pi * x), lambda x: 6 * np.pi * np.cos(6 * np.pi * x)),
}
"""Signals and their slopes; of the windows such as their basis can hold."""


@pytest.mark.parametrize("measure", MEASURES)
def test_the_projection_obeys_the_equation(measure):
    """Both sides by quadrature: c' = A c + B u, and t c' for the measure that grows with t."""
    size, t = 9, 1.3
    u, slope = SIGNALS[measure]
    A, B = (matrix.numpy() for matrix in hippo_matrices(measure, size))
    if measure == "legs":  # c(t) = integral of u(t (1 - age)) p(age)
        c = projection(measure, size, lambda age: u(t * (1 - age)))
        left = projection(measure, size, lambda age: t * (1 - age) * slope(t * (1 - age)))
    else:
        c = projection(measure, size, lambda age: u(t - age))
        left = projection(measure, size, lambda age: slope(t - age))
    np.testing.assert_allclose(left, A @ c + B[:, 0] * u(t), atol=1e-9)


def test_legs_as_constant_rates_are_legendre_polynomials_of_an_exponential():
    size, t = 7, 0.4
    A, B = (matrix.numpy() for matrix in hippo_matrices("legs", size))

    def projected(past):
        return integral(lambda age: past(age) * np.exp(-age) * basis("legs", size, 1 - np.exp(-age)), 0.0, 60.0)

    c = projected(lambda age: np.cos(2 * (t - age)))
    left = projected(lambda age: -2 * np.sin(2 * (t - age)))
    np.testing.assert_allclose(left, A @ c + B[:, 0] * np.cos(2 * t), atol=1e-9)


def delayed(measure, size, s):
    """What the state of a window takes u(t - 1) for, where u = exp(s t): the transfer function of its delay."""
    A, B = (matrix.to(torch.complex128) for matrix in hippo_matrices(measure, size))
    c = torch.linalg.solve(s * torch.eye(size) - A, B)[:, 0]
    oldest = hippo_basis(measure, size, torch.ones(1))[:, 0].to(c.dtype) @ c
    return (oldest if measure == "legt" else 2 * oldest - 1).item()


@pytest.mark.parametrize("s", [0.5 + 0j, 2j, -1 + 3j])
def test_the_windows_approximate_a_delay(s):
    """LegT by Pade's [N - 1 / N] of exp(-s); FouT by the first terms of coth(s / 2) in (coth - 1) / (coth + 1)."""
    size, fact = 5, math.factorial
    above = sum(
        fact(2 * size - 1 - j) * fact(size - 1) / (fact(j) * fact(size - 1 - j)) * (-s) ** j for j in range(size)
    )
    below = sum(fact(2 * size - 1 - j) * fact(size) / (fact(j) * fact(size - j)) * s**j for j in range(size + 1))
    assert delayed("legt", size, s) == pytest.approx(above / below, abs=1e-11)
    coth = 2 / s + sum(4 * s / (s**2 + (2 * math.pi * k) ** 2) for k in range(1, size // 2 + 1))
    assert delayed("fout", size, s) == pytest.approx((coth - 1) / (coth + 1), abs=1e-11)
    assert abs(delayed("fout", 1001, s) - cmath.exp(-s)) < 5e-3


@pytest.mark.parametrize(("measure", "window"), [("legs", None), ("lagt", 2.5)])
def test_states_are_the_projections_of_what_was_seen(measure, window):
    """Of frames of random values, after each of them; two signals at once, one of them zero at first."""
    size, frames = 6, 9
    u = torch.randn(frames, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u[0, 1] = 0
    states = hippo_states(u, measure, size, window=window)
    assert states.shape == (frames, 2, size)
    for t in range(frames):
        unit = window or t + 1
        expected = np.zeros((2, size))
        for s in range(t + 1):
            weight = (lambda age: np.exp(-age)) if measure == "lagt" else np.ones_like
            part = integral(
                lambda age, w=weight: w(age) * basis(measure, size, age), (t - s) / unit, (t + 1 - s) / unit
            )
            expected += np.outer(u[s], part)
        np.testing.assert_allclose(states[t], expected, atol=1e-12)


def errors(measure, sizes, u):
    """Of the reconstruction of `u`, a function of time in [0, 1], over the measure, root of the mean square.

    The windows were begun one window before. The state of LegS at one size holds those of smaller ones.
    """
    frames = 256
    start = 0 if measure == "legs" else -1
    time = start + (torch.arange(frames * (1 - start)) + 0.5).double() / frames
    past, age = u(time[-frames:]), 1 - time[-frames:]
    if measure == "legs":
        largest = hippo_states(u(time), measure, max(sizes))[-1]
        states = [largest[:size] for size in sizes]
    else:
        states = [hippo_states(u(time), measure, size, window=frames)[-1] for size in sizes]
    return [(hippo_reconstruct(state, measure, age) - past).square().mean().sqrt().item() for state in states]


def order(wrong, sizes):
    """The power of the size with which errors fall, fitted."""
    return -np.polyfit(np.log(sizes), np.log(wrong), 1)[0]


def kink(time):
    return (time - 0.37).abs()


def jump(time):
    return (time > 0.37).double()


@pytest.mark.parametrize("measure", ["legs", "legt", "fout"])
@pytest.mark.parametrize(("u", "power"), [(kink, 1.5), (jump, 0.5)])
def test_errors_fall_as_the_kinks_and_jumps_of_a_signal_allow(measure, u, power):
    """A Fourier series sees a jump in the kink's signal, too, at the ends of the window."""
    sizes = [5, 9, 17, 33]
    wrong = errors(measure, sizes, u)
    assert order(wrong, sizes) == pytest.approx(0.5 if measure == "fout" else power, abs=0.2)
    if measure == "legs" and u is kink:
        assert all(one < 1 / size**0.5 for one, size in zip(wrong, sizes, strict=True))  # t L / sqrt(N)


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_errors_of_smooth_signals_fall_faster_than_powers(measure):
    """About a wave: the order itself grows."""
    wrong = errors(measure, [3, 5, 7], lambda time: torch.cos(6 * time))
    assert order(wrong[:2], (3, 5)) > 3.5
    assert order(wrong[1:], (5, 7)) > 8


def test_laguerre_has_half_the_order():
    """Steps and ramps that began an age ago; what N coefficients lack is the norm without their squares (Parseval)."""
    size, age, sizes = 512, 1.0, [8, 16, 32, 64, 128, 256, 512]
    A, B = hippo_matrices("lagt", size)
    ramp = torch.cat([torch.cat([A, B], dim=1), torch.zeros(1, size + 1).double()])
    begun = torch.cat([torch.zeros_like(B), torch.ones(1, 1).double()])
    states = [zero_order_hold(A, B, age)[1], zero_order_hold(ramp, begun, age)[1][:size]]
    norms = [1 - math.exp(-age), age**2 - 2 * age + 2 - 2 * math.exp(-age)]
    for state, norm, power in zip(states, norms, (0.25, 0.75), strict=True):
        lacking = [(norm - state[:n].square().sum().item()) ** 0.5 for n in sizes]
        assert order(lacking, sizes) == pytest.approx(power, abs=0.1)


def test_a_periodic_signal_is_held_once_its_beginning_has_rung_out():
    size, frames = 5, 64
    wave = torch.cos(2 * math.pi * (torch.arange(40 * frames) + 0.5).double() / frames)
    age = (torch.arange(frames) + 0.5).double() / frames
    states = hippo_states(wave, "fout", size, window=frames)
    wrong = [
        (hippo_reconstruct(states[n * frames - 1], "fout", age) - wave[:frames].flip(0)).abs().max() for n in (3, 40)
    ]
    assert wrong[0] > 5e-3
    assert wrong[1] < 1e-3  # a wave in 64 frames, each of them constant
    for measure, slowest in (("legt", (-3.66, -8.81)), ("fout", (-1.35, -0.67))):
        rates = [torch.linalg.eigvals(hippo_matrices(measure, size)[0]).real.max().item() for size in (5, 33)]
        assert rates == pytest.approx(slowest, abs=0.005)


def test_gradients_flow_to_the_signal():
    u = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: hippo_states(u, "legs", 3), u)
    assert torch.autograd.gradcheck(lambda u: hippo_states(u, "fout", 3, window=2), u)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hippo_matrices("legz", 4), "measure is 'legz'; give one of legs, legt, lagt, fout"),
        (lambda: hippo_matrices("legs", 0), "size is 0; give at least 1"),
        (lambda: hippo_matrices("fout", 4), "size is 4, .* odd number, as 5"),
        (lambda: hippo_basis("legt", 4, torch.tensor([0.0, 1.5])), "ages from 0 to 1.5, .* from 0 to 1"),
        (lambda: hippo_basis("lagt", 4, torch.tensor([-1.0, 1.5])), "ages from -1 to 1.5, .* at least 0"),
        (lambda: hippo_states(torch.ones(3), "legs", 4, window=3), "window is 3, .* leave it out"),
        (lambda: hippo_states(torch.ones(3), "legt", 4), "window is None, .* positive number"),
        (lambda: hippo_states(torch.ones(3), "legt", 4, window=0), "window is 0, .* positive number"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
