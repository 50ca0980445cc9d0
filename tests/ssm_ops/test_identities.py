"""The forms of a convolution against the sum itself, a kernel's powers against the kernel applied again and again."""

import numpy as np
import pytest
import torch

from ssm_ops import (
    circulant,
    circular_convolution,
    fold,
    impulse_response,
    kernel_power,
    linear_convolution,
    reference,
    toeplitz,
)

FRAMES, TAPS = 9, 4


def noise(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def summed(u, kernel):
    """sum_s kernel_{t-s} u_s, term by term."""
    y = torch.zeros(len(u) + len(kernel) - 1, *u.shape[1:], dtype=torch.promote_types(u.dtype, kernel.dtype))
    for s in range(len(u)):
        for lag in range(len(kernel)):
            y[s + lag] += kernel[lag] * u[s]
    return y


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_sum_matrix_and_product_of_spectra_are_one(dtype):
    u, kernel = noise(FRAMES, 2, 3), noise(FRAMES, 2, 3, dtype=dtype)
    expected = summed(u, kernel)
    linear, circular = linear_convolution(u, kernel), circular_convolution(u, kernel)
    assert linear.dtype == circular.dtype == dtype
    torch.testing.assert_close(linear, expected)
    torch.testing.assert_close(torch.einsum("ts...,s...->t...", toeplitz(kernel), u.to(dtype)), expected[:FRAMES])
    torch.testing.assert_close(torch.einsum("ts...,s...->t...", circulant(kernel), u.to(dtype)), circular)
    torch.testing.assert_close(fold(linear, FRAMES), circular)


def test_a_ring_differs_from_a_line_where_the_kernel_goes_around():
    u, kernel = noise(FRAMES), noise(TAPS)
    ring = circular_convolution(u, torch.cat([kernel, torch.zeros(FRAMES - TAPS).double()]))
    line = linear_convolution(u, kernel)[:FRAMES]
    same = torch.isclose(ring, line, rtol=1e-12, atol=1e-12)
    assert same.tolist() == [False] * (TAPS - 1) + [True] * (FRAMES - TAPS + 1)


def test_folding_goes_around_more_than_once():
    np.testing.assert_array_equal(fold(torch.arange(8.0), 3), [0 + 3 + 6, 1 + 4 + 7, 2 + 5])
    np.testing.assert_array_equal(fold(torch.arange(2.0), 3), [0, 1, 0])


def test_a_recurrence_is_a_convolution():
    """Of matrices: two inputs, three outputs, a state of five."""
    A, B, C, u = 0.3 * noise(5, 5), noise(5, 2), noise(3, 5), noise(FRAMES, 2)
    state, expected = torch.zeros(5).double(), []
    for frame in u:
        state = A @ state + B @ frame
        expected.append(C @ state)
    kernel = impulse_response(A, B, C, FRAMES)
    assert kernel.shape == (FRAMES, 3, 2)
    torch.testing.assert_close(torch.einsum("tspm,sm->tp", toeplitz(kernel), u), torch.stack(expected))
    torch.testing.assert_close(linear_convolution(u[:, None], kernel).sum(2)[:FRAMES], torch.stack(expected))


@pytest.mark.parametrize("sizes", [(3,), (4, 1), (2, 3, 3)])
@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_kernels_grow_by_k_minus_1_a_step(sizes, times):
    """The definition, applied again and again to an impulse so placed that the first tap of the power lands on 0."""
    taps = noise(2, *sizes)
    grown = kernel_power(taps, times)
    assert grown.shape == (2, *[times * (size - 1) + 1 for size in sizes])
    for channel in range(2):
        field = np.zeros([6 * size for size in sizes])
        field[tuple(times * (size // 2) for size in sizes)] = 1
        for _ in range(times):
            field = reference.convolve(field, taps[channel].numpy(), ("periodic",) * len(sizes))
        expected = np.zeros(field.shape)
        expected[tuple(slice(size) for size in grown.shape[1:])] = grown[channel]
        np.testing.assert_allclose(field, expected, atol=1e-12 * max(1, np.abs(field).max()))


def test_refusals():
    with pytest.raises(ValueError, match="times is -1, .* give 0 or more"):
        kernel_power(torch.ones(1, 3), -1)
    with pytest.raises(ValueError, match="frames is 0, .* give the length"):
        impulse_response(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1), 0)
