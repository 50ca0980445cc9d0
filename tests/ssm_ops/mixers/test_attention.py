"""Attention against loops over its papers' equations, a voxel and a pair of voxels at a time."""

import itertools

import numpy as np
import pytest
import torch

from ssm_ops.mixers import attention
from ssm_ops.mixers.attention import Attention, within_span
from ssm_ops.mixers.catalogue import Choices, mixer_named
from ssm_ops.mixers.frame_encoder import FrameEncoder
from ssm_ops.mixers.linear_attention import LinearAttention

BOUNDARY = ("reflect", "periodic")
SHAPE = (3, 4)
PLACES = list(itertools.product(*map(range, SHAPE)))


def drawn(mixer):
    torch.manual_seed(3)
    mixer.double()
    for parameter in mixer.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return mixer


def frames(time, channels=3):
    return torch.randn(time, channels, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def array(parameter):
    return parameter.detach().numpy()


def rotated(vector, place, circles):
    """A vector turned, as complex numbers: pairs shared out among the axes, the first ones first.

    Args:
        place: The number along each axis.
        circles: The size of each axis that is a circle, `None` of a line.
    """
    vector, first, pairs = vector.copy(), 0, len(vector) // 2
    for axis, (number, circle) in enumerate(zip(place, circles, strict=True)):
        share = len(range(axis, pairs, len(place)))
        for i in range(share):
            angle = number * (100.0 ** (-i / share) if circle is None else 2 * np.pi * (i + 1) / circle)
            one, other = first + i, first + share + i
            pair = complex(vector[one], vector[other]) * np.exp(1j * angle)
            vector[one], vector[other] = pair.real, pair.imag
        first += 2 * share
    return vector


def softmax(scores):
    weights = np.exp(scores - max(scores))
    return weights / weights.sum()


def asked(queries, memory, heads, span):
    """What each voxel (time, row, column) of `queries` finds among the voxels of `memory`, a head at a time.

    Both map (time, row, column) to numbers, `memory` to pairs of them.
    """
    found = {}
    for (t, *place), query in queries.items():
        known = [at for at in memory if t - span < at[0] <= t]
        parts = []
        for head in range(heads):
            mine = slice(head * len(query) // heads, (head + 1) * len(query) // heads)
            q = rotated(query[mine], (t, *place), (None, None, SHAPE[1]))
            ks = [rotated(memory[at][0][mine], at, (None, None, SHAPE[1])) for at in known]
            weights = softmax(np.array([q @ k for k in ks]) / np.sqrt(len(q)))
            parts.append(sum(w * memory[at][1][mine] for w, at in zip(weights, known, strict=True)))
        found[(t, *place)] = np.concatenate(parts)
    return found


def voxels(x):
    return {(t, *place): x[(t, slice(None), *place)] for t in range(len(x)) for place in PLACES}


def compared(mixer, x, wanted):
    with torch.no_grad():
        y, _ = mixer(x, BOUNDARY)
    for at, numbers in voxels(y.numpy()).items():
        np.testing.assert_allclose(numbers, wanted[at], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("states", "heads"), [(7, 1), (6, 2)])
def test_attention_is_the_papers(states, heads):
    mixer, x, span = drawn(Attention(3, states, heads=heads, span=3)), frames(5), 3
    memory = {at: np.split(array(mixer.memory) @ v, 2) for at, v in voxels(x.numpy()).items()}
    queries = {at: array(mixer.query) @ v for at, v in voxels(x.numpy()).items()}
    found = asked(queries, memory, heads, span)
    compared(mixer, x, {at: array(mixer.output) @ v for at, v in found.items()})


def encoded(encoder, x, heads):
    """The encoder's layer on one frame, {place: numbers}."""

    def normal(v, norm):
        return (v - v.mean()) / np.sqrt(v.var() + norm.eps) * array(norm.weight) + array(norm.bias)

    parts = {at: np.split(array(encoder.asked) @ normal(v, encoder.first), 3) for at, v in x.items()}
    out = {}
    for at, v in x.items():
        seen = []
        for head in range(heads):
            q, *_ = parts[at]
            mine = slice(head * len(q) // heads, (head + 1) * len(q) // heads)
            q = rotated(q[mine], at, (None, SHAPE[1]))
            scores = [q @ rotated(parts[other][1][mine], other, (None, SHAPE[1])) for other in x]
            weights = softmax(np.array(scores) / np.sqrt(len(q)))
            seen.append(sum(w * parts[other][2][mine] for w, other in zip(weights, x, strict=True)))
        e = v + array(encoder.found) @ np.concatenate(seen)
        inner = array(encoder.wide.weight) @ normal(e, encoder.second) + array(encoder.wide.bias)
        out[at] = e + array(encoder.narrow.weight) @ np.maximum(inner, 0) + array(encoder.narrow.bias)
    return out


def test_encoder_and_decoder_are_the_papers():
    heads, span = 2, 2
    mixer = drawn(Attention(3, 5, heads=heads, span=span, encoder=FrameEncoder(3, 5, heads)))
    x = frames(4)
    memory = {}
    for t in range(len(x)):
        frame = {place: x[(t, slice(None), *place)].numpy() for place in PLACES}
        for place, v in encoded(mixer.encoder, frame, heads).items():
            memory[(t, *place)] = np.split(array(mixer.memory) @ v, 2)
    queries = {at: array(mixer.query) @ v for at, v in voxels(x.numpy()).items()}
    found = asked(queries, memory, heads, span)
    compared(mixer, x, {at: array(mixer.output) @ v for at, v in found.items()})


def test_linear_attention_is_the_papers():
    """As weights over all voxels so far, which is what the sums are there to spare."""
    heads, x = 2, frames(4)
    mixer = drawn(LinearAttention(3, 5, heads=heads))
    parts = {at: np.split(array(mixer.asked) @ v, 3) for at, v in voxels(x.numpy()).items()}

    def phi(v):
        return np.where(v > 0, v + 1, np.exp(v))

    wanted = {}
    for (t, *place), (query, _, _) in parts.items():
        known = [at for at in parts if at[0] <= t]
        found = []
        for head in range(heads):
            mine, circles = slice(5 * head, 5 * head + 5), (None, SHAPE[1])
            q = phi(query[mine])
            ks = [phi(parts[at][1][mine]) for at in known]
            placed = [rotated(q, place, circles) @ rotated(k, at[1:], circles) for k, at in zip(ks, known, strict=True)]
            found.append(
                sum(w * parts[at][2][mine] for w, at in zip(placed, known, strict=True)) / sum(q @ k for k in ks)
            )
        wanted[(t, *place)] = array(mixer.output) @ np.concatenate(found)
    compared(mixer, x, wanted)


@pytest.mark.parametrize("name", ["attention", "linear-attention", "encoder-decoder"])
def test_a_circle_has_no_beginning(name):
    mixer = drawn(mixer_named(name, Choices(channels=3, states=16, boundary=BOUNDARY)))
    x = frames(3)
    with torch.no_grad():
        y, _ = mixer(x, BOUNDARY)
        moved, _ = mixer(x.roll(1, -1), BOUNDARY)
        torch.testing.assert_close(moved, y.roll(1, -1), rtol=0, atol=1e-12)
        elsewhere, _ = mixer(x.roll(1, -2), BOUNDARY)
    assert (elsewhere - y.roll(1, -2)).abs().max() > 1e-3  # a line has


@pytest.mark.parametrize("scores", [1, 12**2 * 3 * 2, 2**30])
def test_the_size_of_pieces_changes_nothing(monkeypatch, scores):
    """One frame a piece, two, and as many as the span: what is known before the first frame and the borders count."""
    query, key, value = (torch.randn(2, time, *SHAPE, 3, dtype=torch.float64) for time in (7, 8, 8))
    monkeypatch.setattr(attention, "SCORES", scores)
    found = within_span(query, key, value, 3)
    for t in range(7):
        past = [part[:, max(0, t - 1) : t + 2].flatten(1, -2) for part in (key, value)]
        weights = torch.softmax(query[:, t].flatten(1, -2) @ past[0].mT / 3**0.5, -1)
        torch.testing.assert_close(found[:, t].flatten(1, -2), weights @ past[1], rtol=0, atol=1e-12)


def test_what_left_the_span_is_forgotten_and_nothing_else():
    mixer, x = drawn(Attention(3, 6, span=3)), frames(6)
    other = x.clone()
    other[1] += 1
    with torch.no_grad():
        changed = (mixer(other, BOUNDARY)[0] - mixer(x, BOUNDARY)[0]).abs().amax((1, 2, 3))
    assert (changed > 1e-6).tolist() == [False, True, True, True, False, False]
    only = Attention(3, 6, span=1)
    assert only(x.float(), BOUNDARY)[1].shape == (0, 13, *SHAPE)


def test_a_long_series_is_as_near_its_places_as_a_short_one():
    """Single precision, 20000 frames in: times are taken in double."""
    mixer, x = drawn(Attention(3, 12, span=4)).float(), frames(5).float()
    late = torch.cat([torch.zeros(20000, 3, 1, 1), x[..., :1, :1]])
    with torch.no_grad():
        wanted, _ = mixer(late[-8:], BOUNDARY)
        found, _ = mixer(late, BOUNDARY)
    torch.testing.assert_close(found[-5:], wanted[-5:], rtol=0, atol=2e-6)


def test_linear_attention_has_weights_where_features_are_tiny():
    mixer = LinearAttention(1, 2)
    mixer.asked.data[:] = torch.tensor([[-1.0], [-1.0], [-1.0], [-1.0], [1.0], [1.0]])
    y, _ = mixer(torch.full((2, 1, 1, 1), 30.0), ("reflect", "reflect"))
    torch.testing.assert_close(y, 30 * mixer.output.sum().expand(2, 1, 1, 1))
