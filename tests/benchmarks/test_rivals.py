"""What our model is measured against is what the papers say."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.benchmarks.attention import Attention, until_now
from tests.benchmarks.convlstm import Cell, ConvLSTM
from tests.benchmarks.sizes import as_large_as, count


def drawn(model):
    """In float64, with no weight that is zero."""
    torch.manual_seed(0)
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return model


def test_a_layer_of_convlstm_is_equation_3():
    """Of one channel, number by number."""
    cell, x = drawn(Cell(1, 1)), torch.randn(3, 1, 1, 3, 4, dtype=torch.float64)
    w_x, bias = cell.from_input.weight.tolist(), cell.from_input.bias.tolist()
    w_h, (p_i, p_f, p_o) = cell.from_hidden.weight.tolist(), cell.peepholes.flatten().tolist()

    def near(field, weight, row, column):
        places = [(r, c) for r in range(3) for c in range(3)]
        inside = [(r, c) for r, c in places if 0 <= row + r - 1 < 3 and 0 <= column + c - 1 < 4]
        return sum(weight[0][r][c] * field[row + r - 1][column + c - 1] for r, c in inside)

    def sigmoid(number):
        return 1 / (1 + math.exp(-number))

    found, _ = cell(x)
    h = c = [[0.0] * 4 for _ in range(3)]
    for time, frame in enumerate(x[:, 0, 0].tolist()):
        last_h, last_c = h, c
        h, c = [[0.0] * 4 for _ in range(3)], [[0.0] * 4 for _ in range(3)]
        for row in range(3):
            for column in range(4):
                i, f, o, new = (
                    near(frame, w_x[gate], row, column) + near(last_h, w_h[gate], row, column) + bias[gate]
                    for gate in range(4)
                )
                before = last_c[row][column]
                now = sigmoid(f + p_f * before) * before + sigmoid(i + p_i * before) * math.tanh(new)
                c[row][column], h[row][column] = now, sigmoid(o + p_o * now) * math.tanh(now)
        torch.testing.assert_close(found[time, 0, 0], torch.tensor(h, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_convlstm_goes_on_from_its_states():
    model, frames = drawn(ConvLSTM(2, 3, layers=2, patch=2)), torch.randn(7, 2, 2, 6, 8, dtype=torch.float64)
    whole, _ = model(frames)
    early, states = model(frames[:4])
    late, _ = model(frames[4:], states)
    torch.testing.assert_close(torch.cat([early, late]), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])
def test_attention_looks_at_its_own_frame_and_those_before_it(backend):
    """As all scores under a mask; of three frames of four patches."""
    query, key, value = torch.randn(3, 3, 4, 5, dtype=torch.float64)
    scores = (query.flatten(0, 1) @ key.flatten(0, 1).T) / math.sqrt(5)
    frame = torch.arange(12) // 4
    scores[frame[:, None] < frame] = -math.inf
    expected = (torch.softmax(scores, dim=1) @ value.flatten(0, 1)).unflatten(0, (3, 4))
    with sdpa_kernel(backend):
        torch.testing.assert_close(until_now(query, key, value), expected, rtol=1e-12, atol=1e-12)


def test_what_comes_later_changes_nothing_in_a_model_of_attention():
    model, frames = drawn(Attention(1, 5, layers=2, patch=2, fused=True)), torch.randn(4, 1, 6, 6, dtype=torch.float64)
    changed = frames.clone()
    changed[3] += 1
    assert torch.equal(model(changed)[:3], model(frames)[:3])
    assert not torch.equal(model(changed)[3], model(frames)[3])


def test_as_many_parameters():
    model = as_large_as(1000, lambda hidden: ConvLSTM(1, hidden, layers=2))
    beside = [count(ConvLSTM(1, model.cells[0].peepholes.shape[1] + step, layers=2)) for step in (-1, 1)]
    assert all(abs(count(model) - 1000) <= abs(other - 1000) for other in beside)
