"""Initial spectra, and the other views of the scan."""

import math

import pytest
import torch

from ssm_ops import Propagator, bidirectional, convolve_in_time, initial, scan
from tests.ssm_ops.cases import FAMILIES, GRIDS, inputs, relative, transition


@pytest.mark.parametrize("spectrum", [initial.s4d_lin, initial.s4d_inv, initial.s4d_legs, initial.s4d_real])
def test_every_rate_decays(spectrum):
    rates = spectrum(16)
    assert rates.shape == (16,)
    assert (rates.real < 0).all()


def test_s4d_lin_is_a_fourier_series():
    torch.testing.assert_close(initial.s4d_lin(3).imag, torch.tensor([0, math.pi, 2 * math.pi]).double())


def test_s4d_inv_approaches_legs():
    """As the states grow, and best for the largest frequencies."""
    errors = [(initial.s4d_inv(n).imag / initial.s4d_legs(n).imag - 1).abs() for n in (8, 32, 128)]
    assert errors[0][0] > errors[1][0] > errors[2][0]
    assert errors[2][0] < 0.005
    assert (errors[2][:8] < 0.06).all()


def test_hippo_legs_holds_the_legendre_coefficients_of_the_past():
    """For x(s) = s, c' = (A c + B x) / t has c = t c_1, so (1 - A) c_1 = B: the coefficients of the line on [0, 1]."""
    size = 6
    A = initial.hippo_legs(size)
    B = torch.sqrt(2 * torch.arange(size).double() + 1)
    c = torch.linalg.solve(torch.eye(size).double() - A, B)
    expected = torch.zeros(size).double()
    expected[0], expected[1] = 1 / 2, 1 / (2 * math.sqrt(3))  # the line on [0, 1] in normalised shifted Legendre
    torch.testing.assert_close(c, expected)


def test_heat_scales_blur_by_their_widths():
    widths = torch.tensor([2.0, 4.0, 8.0]).double()
    diffusivity = initial.heat_scales(3, 2.0, 8.0)
    x = torch.zeros(2, 3, 256, dtype=torch.float64)
    x[0, :, 128] = 1
    states, _ = scan(x, Propagator(0.0, diffusivity), boundary=("periodic",))
    position = torch.arange(256).double() - 128
    torch.testing.assert_close((states[1] * position**2).sum(1).sqrt(), widths, rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="widths from 3 to 2 voxels"):
        initial.heat_scales(3, 3, 2)


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_convolution_view_is_the_scan(family, shape, boundary):
    given, x = transition(family, boundary), inputs(shape)
    expected, _ = scan(x, given, boundary=boundary, backend="spectral")
    assert relative(convolve_in_time(x, given, boundary=boundary), expected) < 1e-12


def test_bidirectional_sees_the_future_as_the_scan_sees_the_past():
    boundary, x = ("periodic", "reflect"), inputs((6, 5))
    given = transition("drifting", boundary)
    past, future = bidirectional(x, given, boundary=boundary)
    torch.testing.assert_close(past, scan(x, given, boundary=boundary)[0])
    torch.testing.assert_close(future.flip(0), scan(x.flip(0), given, boundary=boundary)[0])


def test_bidirectional_with_gaps():
    boundary, x = ("periodic", "reflect"), inputs((6, 5))
    given, seen = transition("drifting", boundary), torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 1], dtype=torch.bool)
    kept = torch.where(seen[:, None, None, None], x, 0.0)
    for one, other in zip(
        bidirectional(x, given, boundary=boundary, mask=seen),
        bidirectional(kept, given, boundary=boundary),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_bidirectional_in_uneven_time():
    """Backward, the time before a frame is the forward time after it."""
    x, decay = torch.zeros(4, 1, 1).double(), 0.3
    x[2] = 1
    dt = torch.tensor([9.0, 1.0, 2.0, 5.0]).double()
    past, future = bidirectional(x, Propagator(decay), boundary=("reflect",), dt=dt)
    torch.testing.assert_close(past.flatten(), torch.tensor([0, 0, 1, math.exp(-5 * decay)]).double())
    torch.testing.assert_close(
        future.flatten(), torch.tensor([math.exp(-3 * decay), math.exp(-2 * decay), 1, 0]).double()
    )
