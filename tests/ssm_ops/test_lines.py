"""Transforms of sixteen columns against numpy's, and the vector instructions they are made of."""

import numpy as np
import pytest
from numba import njit

from ssm_ops.lanes import LANES, load, load_some, spread, store_some, transpose
from ssm_ops.lines import mirror_basis, plan, transform, work_size

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 16, 24, 25, 30, 32, 49, 60, 64, 73, 77, 96, 128, 144, 146, 243, 360]
PRECISIONS = [("float32", 1e-6), ("float64", 1e-14)]


def columns(size):
    noise = np.random.default_rng(size)
    return noise.standard_normal((size, LANES)) + 1j * noise.standard_normal((size, LANES))


def transformed(given, x, inverse, dtype):
    """The block goes in where the work array is not a number otherwise: nothing else is read."""
    size = x.size
    work = np.full(work_size(given), np.nan, dtype)
    work[:size], work[size : 2 * size] = x.real.ravel(), x.imag.ravel()
    at = transform(work, inverse, given)
    return (work[at : at + size] + 1j * work[at + size : at + 2 * size]).reshape(x.shape)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_fourier_transform(size, dtype, tolerance):
    x, given = columns(size), plan("periodic", size, dtype)
    for inverse, expected in ((False, np.fft.fft(x, axis=0)), (True, np.fft.ifft(x, axis=0) * size)):
        found = transformed(given, x, inverse, dtype)
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["reflect", "dirichlet"])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_mirror_transforms(size, kind, dtype, tolerance):
    if (kind, size) == ("reflect", 1):
        pytest.skip("one reflecting voxel is its own spectrum, not transformed")
    x, basis, given = columns(size), mirror_basis(kind, size), plan(kind, size, dtype)
    np.testing.assert_allclose(basis @ basis.T, np.eye(size), atol=1e-13)
    for inverse, expected in ((False, basis @ x), (True, basis.T @ x)):
        found = transformed(given, x, inverse, dtype)
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_the_cosines_and_sines_are_the_definition():
    k, i = np.arange(6)[:, None], np.arange(6)
    cosine = mirror_basis("reflect", 6)
    np.testing.assert_allclose(cosine / cosine[:, :1], np.cos(np.pi * k * (i + 0.5) / 6) / np.cos(np.pi * k / 12))
    sine = np.sin(np.pi * (k + 1) * (i + 1) / 7) * np.sqrt(2 / 7)
    np.testing.assert_allclose(mirror_basis("dirichlet", 6), sine, atol=1e-15)


@njit
def _some(source, target, count):
    product = load_some(source, 2, count) * spread(source[0])
    store_some(target, 1, product + load(source, 0) - load(source, 1), count + 1)


@njit
def _turn(source, target):
    transpose(source, 3, 20, target, 1, 17)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vector_instructions(dtype):
    source = np.random.default_rng(0).standard_normal(400).astype(dtype)
    target = np.zeros(40, dtype)
    _some(source, target, 5)
    taken = np.where(np.arange(6) < 5, source[2:8], 0) * source[0] + source[:6] - source[1:7]
    np.testing.assert_allclose(target[1:7], taken, rtol=1e-5)
    assert not target[7:].any()
    assert target[0] == 0

    target = np.zeros(300, dtype)
    _turn(source, target)
    rows = np.lib.stride_tricks.as_strided(source[3:], (16, 16), (20 * source.itemsize, source.itemsize))
    turned = np.lib.stride_tricks.as_strided(target[1:], (16, 16), (17 * source.itemsize, source.itemsize))
    np.testing.assert_array_equal(turned, rows.T)
