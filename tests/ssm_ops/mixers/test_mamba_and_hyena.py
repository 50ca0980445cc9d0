"""Mamba and Hyena against loops over their papers' equations, voxel by voxel, frame by frame."""

import numpy as np
import pytest
import torch

from ssm_ops.initial import s4d_real
from ssm_ops.mixers import mamba
from ssm_ops.mixers.hyena import Filters, Hyena
from ssm_ops.mixers.mamba import Mamba

BOUNDARY = ("reflect", "reflect")


def drawn(mixer):
    torch.manual_seed(3)
    mixer.double()
    for parameter in mixer.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return mixer


def frames(time, channels=3, shape=(2, 2)):
    return torch.randn(time, channels, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def array(parameter):
    return parameter.detach().numpy()


def voxel_by_voxel(mixer, x, wanted):
    """Outputs against those of a function from (time, channel) to (time, channel)."""
    with torch.no_grad():
        y, _ = mixer(x, BOUNDARY)
    for place in np.ndindex(*x.shape[2:]):
        at = (slice(None), slice(None), *place)
        np.testing.assert_allclose(y.numpy()[at], wanted(x.numpy()[at]), rtol=0, atol=1e-12)


def short(parts, weight, t):
    """The convolution at time t of parts (time, channel) with weights (channel, tap), the present frame's first."""
    return sum(weight[:, i] * parts[t - i] for i in range(weight.shape[1]) if t >= i)


def normal(x, norm):
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5) * array(norm.weight)


def silu(v):
    return v / (1 + np.exp(-v))


@pytest.mark.parametrize("channels", [3, 20])
def test_mamba_is_the_papers(channels):
    """Of 20 channels steps are chosen through two numbers."""
    states = 4
    mixer = drawn(Mamba(channels, states))
    inner, rank = 2 * channels, -(-channels // 16)

    def wanted(x):
        entering, outputs, h = normal(x, mixer.norm) @ array(mixer.entering).T, [], np.zeros((inner, states))
        for t in range(len(x)):
            u = silu(short(entering[:, :inner], array(mixer.short), t) + array(mixer.short_bias))
            chosen = array(mixer.chosen) @ u
            r, B, C = chosen[:rank], chosen[rank : rank + states], chosen[rank + states :]
            dt = np.log1p(np.exp(array(mixer.steps.weight) @ r + array(mixer.steps.bias)))
            for e in range(inner):
                for n in range(states):
                    rate = -np.exp(array(mixer.family.raw)[e, n])
                    h[e, n] = np.exp(dt[e] * rate) * h[e, n] + dt[e] * B[n] * u[e]
            outputs.append(array(mixer.leaving) @ ((h @ C + array(mixer.D) * u) * silu(entering[t, inner:])))
        return np.array(outputs)

    voxel_by_voxel(mixer, frames(7, channels, (1, 2)), wanted)


def test_mamba_starts_as_the_paper_has_it():
    mixer = Mamba(8, 5)
    torch.testing.assert_close(mixer.family(), s4d_real(5).float().expand(16, 5))
    steps = torch.nn.functional.softplus(mixer.steps.bias)
    torch.testing.assert_close(steps[[0, -1]], torch.tensor([0.001, 0.1]))


def test_mamba_in_pieces_is_the_same(monkeypatch):
    """States of a piece are computed again in the backward pass."""
    mixer, x = drawn(Mamba(3, 4)), frames(7).requires_grad_()
    runs = []
    for room in (2**22, 2 * 6 * 4 * 4):  # as they are, and two frames
        monkeypatch.setattr(mamba, "ROOM", room)
        y, left = mixer(x, BOUNDARY)
        runs.append((y, left, *torch.autograd.grad(y.sin().sum() + left.cos().sum(), [x, *mixer.parameters()])))
    for whole, pieces in zip(*runs, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


def filters_of(net, span):
    """h[n][t][channel] from the network's weights, a tap at a time."""
    taps = np.zeros((2, span, net.channels))
    for c in range(net.channels):
        ends = 1.5 + (0.3 - 1.5) * c / (net.channels - 1)
        alpha = np.log(100) / ends
        size = np.sqrt(sum(np.exp(-alpha * t / span) ** 2 for t in range(span)))
        for t in range(span):
            waves = [2 * np.pi * k * t / span for k in range(1, 5)]
            inside = np.array([t / span, *np.cos(waves), *np.sin(waves)])
            for layer in (net.first, net.second):
                inside = np.sin(10 * (array(layer.weight) @ inside + array(layer.bias)))
            free = array(net.last) @ inside
            for n in range(2):
                taps[n, t, c] = np.exp(-alpha * t / span) / size * free[n * net.channels + c]
    return taps


@pytest.mark.parametrize("span", [1, 4, 9])
def test_hyena_is_the_papers(span):
    """A span that is shorter than the run, and one that is longer."""
    states, mixer = 5, drawn(Hyena(3, 5, span=span))
    taps = filters_of(mixer.filters, span)

    def wanted(x):
        entering = normal(x, mixer.norm) @ array(mixer.entering).T
        parts = np.array([short(entering, array(mixer.short), t) for t in range(len(x))])
        z = parts[:, :states]
        for n in range(2):
            gate = parts[:, (n + 1) * states : (n + 2) * states]
            long = [sum(taps[n, i] * z[t - i] for i in range(min(span, t + 1))) for t in range(len(x))]
            z = gate * np.array(long)
        return z @ array(mixer.leaving).T

    voxel_by_voxel(mixer, frames(7), wanted)


def test_hyena_remembers_two_filters_and_three_taps_and_no_more():
    mixer, x = drawn(Hyena(3, 5, span=3)), frames(12)
    other = x.clone()
    other[1] += 1
    with torch.no_grad():
        changed = (mixer(other, BOUNDARY)[0] - mixer(x, BOUNDARY)[0]).abs().amax((1, 2, 3))
    assert (changed > 1e-9).tolist() == [1 <= t <= 1 + 2 * (3 - 1) + 2 for t in range(12)]


def test_new_filters_pass_about_the_size_of_their_input():
    torch.manual_seed(0)
    size = torch.stack([Filters(64, 16)().square().sum(1) for _ in range(4)])
    assert 0.8 < size.mean() < 1.25


@pytest.mark.parametrize("kind", [Mamba, Hyena])
@pytest.mark.parametrize("size", [1, 100])
def test_new_mixers_give_about_one_whatever_the_size_of_their_input(kind, size):
    torch.manual_seed(0)
    with torch.no_grad():
        y, _ = kind(32, 16)(size * torch.randn(64, 32, 2, 2), BOUNDARY)
    assert 0.2 < y.std() < 2
