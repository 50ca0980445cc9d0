"""WHippo against its definition: an image blurred by a Gaussian, by quadrature, then projected."""

import math

import numpy as np
import pytest
import torch

from ssm_ops import Grid, Propagator, whippo_basis, whippo_blur, whippo_matrix
from ssm_ops.initial import heat_scales
from ssm_ops.whippo import BASES

NODES, WEIGHTS = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(160))
X, W = (NODES + 1) / 2, WEIGHTS / 2
"""Places and weights of quadrature on [0, 1]."""

AROUND = range(-4, 5)
"""Copies of the image on each side that a Gaussian is felt from."""


@pytest.fixture(autouse=True)
def one_thread(fixed_threads):
    del fixed_threads
    torch.set_num_threads(1)


def image(y, x):
    """Smooth, no product of functions of y and x, without symmetry."""
    return torch.exp(torch.sin(2 * math.pi * (x + 0.3 * torch.cos(2 * math.pi * y)))) + 0.5 * torch.cos(
        2 * math.pi * (y - 0.2)
    )


def mirrored(y, x):
    """The same of images that go on mirrored: the slope at each border is zero."""
    product = torch.cos(math.pi * x) * torch.cos(2 * math.pi * y)
    return torch.exp(product) + 0.5 * torch.cos(math.pi * y) * torch.cos(2 * math.pi * x)


def blur_matrix(basis, variance):
    """(x, place): a Gaussian about each x, times the quadrature's weights, summed over what lies beyond the border."""
    kernel = torch.zeros(len(X), len(X)).double()
    for copy in AROUND:
        ends = [X + copy] if basis == "fourier" else [X + 2 * copy, -X + 2 * copy]
        for places in ends:
            kernel += torch.exp(-((X[:, None] - places) ** 2) / (2 * variance))
    return kernel / math.sqrt(2 * math.pi * variance) * W


def projected(values, basis, size):
    own = whippo_basis(basis, size, X) * W
    return own @ values @ own.mT


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("size", [1, 6, 7])
def test_bases_are_orthonormal(basis, size):
    size += basis == "fourier" and size % 2 == 0
    own = whippo_basis(basis, size, X)
    torch.testing.assert_close((own * W) @ own.mT, torch.eye(size).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("basis", "size", "near"), [("fourier", 7, 1e-11), ("cosine", 6, 1e-11), ("legendre", 24, 1e-6)]
)
@pytest.mark.parametrize("sigma", [0.03, 0.1, 0.4])
def test_it_is_the_blur_of_the_image_itself(basis, size, near, sigma):
    """Exact for waves of any size; of Legendre in the limit, and its first coefficients sooner."""
    field = (image if basis == "fourier" else mirrored)(X[:, None], X)
    blur = blur_matrix(basis, sigma**2)
    made = whippo_blur(projected(field, basis, size), basis, sigma**2)
    torch.testing.assert_close(made, projected(blur @ field @ blur.mT, basis, size), atol=near, rtol=0)


def test_legendre_converges_faster_than_any_power():
    field, blur, errors = mirrored(X[:, None], X), blur_matrix("legendre", 0.1**2), {}
    for size in (6, 12, 18):
        right = projected(blur @ field @ blur.mT, "legendre", size)
        made = whippo_blur(projected(field, "legendre", size), "legendre", 0.1**2)
        errors[size] = float((made - right).abs().max())
    first, second = (math.log(errors[a] / errors[b]) / math.log(b / a) for a, b in ((6, 12), (12, 18)))
    assert first > 3
    assert second > first


def test_legendre_s_matrix_is_the_integral_of_the_slopes():
    one = np.eye(9)
    slopes = [math.sqrt(2 * n + 1) * np.polynomial.Legendre(one[n]).deriv()(1 - 2 * X.numpy()) * -2 for n in range(9)]
    stiffness = np.array([[(a * b * W.numpy()).sum() for b in slopes] for a in slopes])
    np.testing.assert_allclose(whippo_matrix("legendre", 9).numpy(), -stiffness / 2, atol=1e-10)


@pytest.mark.parametrize("basis", BASES)
def test_blurs_add_up_and_the_mean_stays(basis):
    C = torch.randn(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    twice = whippo_blur(whippo_blur(C, basis, 0.01), basis, 0.02)
    torch.testing.assert_close(twice, whippo_blur(C, basis, 0.03), atol=1e-12, rtol=0)
    torch.testing.assert_close(twice[:, 0, 0], C[:, 0, 0])
    assert float(torch.linalg.eigvalsh(whippo_matrix(basis, 7)).max()) < 1e-9
    torch.testing.assert_close(whippo_blur(C, basis, 0), C)


@pytest.mark.parametrize(("basis", "boundary"), [("fourier", "periodic"), ("cosine", "reflect")])
def test_the_propagator_starts_with_its_spectrum(basis, boundary):
    """A step of a propagator with a width of `heat_scales` is the blur by a Gaussian of that width, in voxels."""
    voxels, width = 16, 2.5
    (diffusivity,) = heat_scales(1, width, width).tolist()
    transition = Propagator(decay=0.0, diffusivity=diffusivity)
    grid = transition.basis((voxels,), (boundary,), 1)
    step = transition.power(grid, 1).flatten().real
    ours = torch.linalg.matrix_exp((width / voxels) ** 2 * whippo_matrix(basis, voxels + 1)).diagonal()
    ours = ours[1::2] if basis == "fourier" else ours[:voxels]
    ours = torch.cat([torch.ones(1).double(), ours]) if basis == "fourier" else ours
    assert isinstance(grid, Grid)
    torch.testing.assert_close(step.double(), ours[: len(step)], atol=1e-12, rtol=1e-9)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="basis is 'wavelet'; give one of fourier, cosine, legendre"):
        whippo_matrix("wavelet", 3)
    with pytest.raises(ValueError, match="size is 4, and fourier is a constant and pairs; give an odd number, as 5"):
        whippo_matrix("fourier", 4)
    with pytest.raises(ValueError, match="size is 0; give at least 1"):
        whippo_basis("cosine", 0, X)
    with pytest.raises(ValueError, match=r"places from 0\.5 to 1\.5, and the image is on \[0, 1\]"):
        whippo_basis("cosine", 3, torch.tensor([0.5, 1.5]).double())
    with pytest.raises(ValueError, match=r"variance is -0\.1; nothing makes an image sharper"):
        whippo_blur(torch.eye(3).double(), "cosine", -0.1)
