"""Convolutions in space and time against sums voxel by voxel."""

import numpy as np
import pytest
import torch

from ssm_ops.mixers.convolutional import Convolution
from ssm_ops.reference import convolve


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("span", [1, 3])
@pytest.mark.parametrize(
    ("shape", "boundary"), [((3, 5), ("reflect", "periodic")), ((2, 3, 4), ("periodic", "reflect", "reflect"))]
)
def test_a_gated_convolution_in_space_and_time(shape, boundary, span):
    """Kernels are correlated, as torch has it: tap j reads the voxel at j - 1 from the middle."""
    torch.manual_seed(0)
    mixer = Convolution(2, 3, len(shape), span=span).double()
    for parameter in mixer.parameters():
        parameter.data = torch.randn_like(parameter)
    x = torch.randn(4, 2, *shape, dtype=torch.float64)
    with torch.no_grad():
        found, _ = mixer(x, boundary)
    kernels, bias, output, output_bias = (parameter.detach().numpy() for parameter in mixer.parameters())
    for t in range(4):
        total = np.stack([np.full(shape, own) for own in bias])
        for s in range(min(span, t + 1)):
            for out in range(6):
                for channel in range(2):
                    total[out] += convolve(x[t - s, channel].numpy(), np.flip(kernels[s, out, channel]), boundary)
        z = np.tanh(total[:3]) * sigmoid(total[3:])
        expected = np.tensordot(output, z, 1) + output_bias.reshape(-1, *[1] * len(shape))
        np.testing.assert_allclose(found[t].numpy(), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("span", [1, 5])
def test_noise_leaves_a_new_convolution_as_large_as_it_came(span):
    torch.manual_seed(0)
    with torch.no_grad():
        y, _ = Convolution(16, 16, 2, span=span)(torch.randn(12, 16, 8, 8), ("periodic", "periodic"))
    assert y[span:].square().mean().sqrt().item() == pytest.approx(1, abs=0.25)


def test_frames_by_themselves_remember_nothing():
    mixer, x = Convolution(2, 3, 2, span=1), torch.randn(3, 2, 4, 4)
    with torch.no_grad():
        y, left = mixer(x, ("reflect", "reflect"))
        alone, _ = mixer(x[2:], ("reflect", "reflect"))
    assert left.shape == (0,)
    torch.testing.assert_close(y[2:], alone)


def test_kernels_without_a_middle_are_refused():
    with pytest.raises(ValueError, match="taps is 2, and a kernel in space has a voxel in its middle; give an odd"):
        Convolution(2, 3, 2, span=1, taps=2)


@pytest.mark.parametrize("name", ["reflect", "periodic"])
def test_kernels_that_reach_beyond_the_other_end_are_refused(name):
    with pytest.raises(ValueError, match="a kernel reaches 3 voxels beyond axis 0, which has 2; give kernels of fewer"):
        Convolution(2, 3, 2, span=1, taps=7)(torch.randn(3, 2, 2, 5), (name, name))
