"""ConvS5 and S4ND against their recurrences and kernels, voxel by voxel, and what their theory promises."""

import math

import numpy as np
import pytest
import torch

from ssm_ops.discretize import zero_order_hold
from ssm_ops.identities import impulse_response
from ssm_ops.mixers.convs5 import ConvS5
from ssm_ops.mixers.rates import RATE_INITIALS, SPECTRA, held, stepped_rates
from ssm_ops.mixers.s4nd import S4ND
from ssm_ops.reference import convolve, shift

GRIDS = [((3, 4), ("reflect", "periodic")), ((2, 3, 2), ("periodic", "reflect", "reflect"))]


def random_weights(mixer):
    for parameter in mixer.parameters():
        parameter.data = 0.7 * torch.randn_like(parameter)
    return {name: parameter.detach().numpy() for name, parameter in mixer.named_parameters()}


def rates_of(weights, prefix=""):
    raw, frequency = weights[f"{prefix}family.raw_decay"], weights[f"{prefix}family.frequency"]
    return -np.log1p(np.exp(raw)) - 1e-5 + 1j * frequency


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_convs5_is_its_recurrence(shape, boundary):
    """State by state, with steps of unequal lengths; the hold is the integral of exp(s rate) over a step, summed."""
    torch.manual_seed(0)
    mixer = ConvS5(2, 3, len(shape)).double()
    weights = random_weights(mixer)
    rates, B, C = rates_of(weights), weights["B"], weights["C"]
    x, dt = torch.randn(4, 2, *shape, dtype=torch.float64), torch.tensor([1.0, 0.5, 2.0, 1.5]).double()
    with torch.no_grad():
        found, left = mixer(x, boundary, None, dt)
    moments = (np.arange(2000) + 0.5) / 2000
    h = np.zeros((3, *shape), complex)
    for t, frame in enumerate(x.numpy()):
        for p, rate in enumerate(rates):
            enters = sum(
                convolve(frame[c], np.flip(B[p, c]), boundary) + 1j * convolve(frame[c], np.flip(B[3 + p, c]), boundary)
                for c in range(2)
            )
            step = dt[t].item()
            integral = step * np.exp(step * moments * rate).mean()
            h[p] = np.exp(step * rate) * h[p] - rate.real * integral * enters
        for c in range(2):
            y = weights["D"][c] * frame[c]
            for p in range(3):
                y = y + convolve(h[p].real, np.flip(C[c, p]), boundary)
                y = y + convolve(h[p].imag, np.flip(C[c, 3 + p]), boundary)
            np.testing.assert_allclose(found[t, c].numpy(), y, rtol=1e-6, atol=1e-6)  # the integral's own error
    np.testing.assert_allclose(left.numpy(), h, rtol=1e-6, atol=1e-6)


def test_what_a_step_adds_is_the_zero_order_hold():
    """Of the matrix exponential; an input that turns as a state does fills it to its own size."""
    rate = torch.tensor([-0.3 + 2j, -1e-4 + 0j, -0.01 + 1j], dtype=torch.complex128)
    dt = torch.tensor([1.0, 0.25]).double()
    for row, step in zip(held(rate, dt), dt, strict=True):
        _, hold = zero_order_hold(torch.diag(rate), -rate.real[:, None].to(rate.dtype), step.item())
        torch.testing.assert_close(row, hold[:, 0], rtol=1e-12, atol=1e-12)
    gain = held(rate)
    assert bool((gain.abs() / (1 - torch.exp(rate.real)) <= 1 + 1e-9).all())


@pytest.mark.parametrize("initial", RATE_INITIALS)
def test_rates_start_as_the_spectrum_and_turn_by_half_a_circle_at_most(initial):
    rates = stepped_rates(initial, 6, torch.tensor([[0.001], [1.0]]))
    torch.testing.assert_close(rates[0], (0.001 * SPECTRA[initial](6)).to(torch.complex64))
    assert rates.imag.abs().max().item() <= math.pi * (1 + 1e-6)
    assert rates.real.max().item() < 0


@pytest.mark.parametrize("initial", RATE_INITIALS)
def test_convs5_starts_with_the_rates_it_is_told(initial):
    torch.manual_seed(3)
    rate = ConvS5(2, 6, 2, initial=initial).family().rate.detach()
    wanted = SPECTRA[initial](6).to(torch.complex64)
    step = rate.real / wanted.real
    torch.testing.assert_close(rate, wanted * step, rtol=1e-4, atol=1e-5)
    assert bool(((step > 0.001) & (step <= 1.001)).all())


def lines_along(field, axis, name, rate, forward, back, reach=160):
    """Along an axis of (channel, *grid): k(z) times the voxel z behind or in front of each, found by walking there."""
    total = np.zeros(field.shape)
    integral = -rate.real * np.expm1(rate) / rate
    for z in range(-reach, reach + 1):
        terms = forward * integral * np.exp(z * rate) if z >= 0 else back * integral * np.exp((-1 - z) * rate)
        for c in range(len(field)):
            total[c] += terms[c].sum().real * shift(field[c], z, axis, name)
    return total


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_s4nd_is_its_recurrence_and_its_kernels(shape, boundary):
    torch.manual_seed(0)
    channels, states = 2, 3
    mixer = S4ND(channels, states, len(shape)).double()
    weights = random_weights(mixer)
    rates = rates_of(weights).reshape(channels, states)
    C = weights["C"][0] + 1j * weights["C"][1]
    x, dt = torch.randn(3, channels, *shape, dtype=torch.float64), torch.tensor([1.0, 0.5, 2.0]).double()
    with torch.no_grad():
        found, left = mixer(x, boundary, None, dt)
    h = np.zeros((channels, states, *shape), complex)
    for t, frame in enumerate(x.numpy()):
        field = frame
        for axis, name in enumerate(boundary):
            own = rates_of(weights, f"space.{axis}.").reshape(channels, states)
            sides = [side[0] + 1j * side[1] for side in weights[f"space.{axis}.C"]]
            field = lines_along(field, axis, name, own, *sides)
        step = dt[t].item()
        for c, n in np.ndindex(channels, states):
            rate = rates[c, n]
            h[c, n] = np.exp(step * rate) * h[c, n] - rate.real * np.expm1(step * rate) / rate * field[c]
        for c in range(channels):
            y = np.tensordot(C[c], h[c], 1).real + weights["D"][c] * frame[c]
            np.testing.assert_allclose(found[t, c].numpy(), y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(left.numpy(), h.reshape(-1, *shape), rtol=1e-9, atol=1e-9)


def test_an_impulse_leaves_the_product_of_the_kernels_of_dense_state_spaces():
    """k(t) and k(z) are C A^t B of the whole matrix, conjugates left out, held over steps of 1."""
    torch.manual_seed(0)
    mixer, frames, size = S4ND(1, 4, 2).double(), 6, 24
    x = torch.zeros(frames, 1, size, size, dtype=torch.float64)
    x[0, 0, 0, 0] = 1
    with torch.no_grad():
        mixer.D.zero_()
        for axis in mixer.space:
            axis.family.raw_decay.fill_(1.0)
        y, _ = mixer(x, ("periodic", "periodic"))

    def kernel(family, C, length):
        rate = family().rate.detach()
        A, B = zero_order_hold(torch.diag(rate), -rate.real[:, None].to(rate.dtype), 1.0)
        return impulse_response(A, B, torch.complex(*C.detach().double()), length)[:, 0, 0].real

    lines = [kernel(mixer.family, mixer.C, frames)]
    for axis in mixer.space:
        forward, back = (kernel(axis.family, C, 4 * size).reshape(4, size).sum(0) for C in axis.C)
        lines.append(forward + back.flip(0))
    torch.testing.assert_close(y[:, 0], torch.einsum("t,i,j->tij", *lines), rtol=1e-9, atol=1e-12)


def test_noise_leaves_new_state_spaces_about_as_large_as_it_came():
    """S4ND through its kernels alone; ConvS5, whose states are slow, through its gain."""
    torch.manual_seed(0)
    x = torch.randn(120, 16, 12, 12)
    of_kernels = S4ND(16, 8, 2)
    for axis in of_kernels.space:
        torch.testing.assert_close(axis.around(1000).norm(dim=1), torch.ones(16).double(), rtol=1e-3, atol=0)
    with torch.no_grad():
        of_kernels.D.zero_()
        for mixer in (of_kernels, ConvS5(16, 16, 2)):
            y, _ = mixer(x, ("periodic", "periodic"))
            assert y[60:].square().mean().sqrt().item() == pytest.approx(1, abs=0.4)
