"""Recurrent networks against loops over frames, voxels, and gates; and how their weights start."""

import numpy as np
import pytest
import torch

from ssm_ops.mixers import recurrent
from ssm_ops.mixers.convrecurrent import ConvRecurrent
from ssm_ops.mixers.recurrent import GATES, RecurrentPerVoxel
from ssm_ops.reference import convolve

KINDS = ("voxel", "field")
BOUNDARY = ("reflect", "periodic")


def of_kind(kind, channels, hidden, cell, **initial):
    if kind == "voxel":
        return RecurrentPerVoxel(channels, hidden, cell, **initial)
    return ConvRecurrent(channels, hidden, 2, cell, **initial)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def random_weights(mixer):
    for parameter in mixer.parameters():
        parameter.data = 0.7 * torch.randn_like(parameter)
    return {name: parameter.detach().numpy() for name, parameter in mixer.named_parameters()}


@pytest.mark.parametrize("cell", GATES)
def test_a_voxel_by_itself(cell):
    """Vectors of one voxel after the other, gate by gate in torch's order."""
    torch.manual_seed(1)
    mixer = RecurrentPerVoxel(3, 2, cell).double()
    weights = random_weights(mixer)
    W, U = (np.split(weights[f"cell.weight_{name}_l0"], GATES[cell]) for name in ("ih", "hh"))
    b, d = (np.split(weights[f"cell.bias_{name}_l0"], GATES[cell]) for name in ("ih", "hh"))
    x = torch.randn(4, 3, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        found, left = mixer(x, BOUNDARY)
    for voxel in np.ndindex(2, 3):
        h, c = np.zeros(2), np.zeros(2)
        for t, frame in enumerate(x.numpy()[(..., *voxel)]):
            a = [W[n] @ frame + b[n] for n in range(GATES[cell])]
            e = [U[n] @ h + d[n] for n in range(GATES[cell])]
            if cell == "rnn":
                h = np.tanh(a[0] + e[0])
            elif cell == "lstm":
                i, f, o = (sigmoid(a[n] + e[n]) for n in (0, 1, 3))
                c = f * c + i * np.tanh(a[2] + e[2])
                h = o * np.tanh(c)
            else:
                r, z = (sigmoid(a[n] + e[n]) for n in (0, 1))
                h = z * h + (1 - z) * np.tanh(a[2] + r * e[2])
            y = weights["output"] @ h + weights["output_bias"]
            np.testing.assert_allclose(found.numpy()[(t, slice(None), *voxel)], y, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(left.numpy()[(0, slice(None), *voxel)], h, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(("shape", "boundary"), [((3, 4), BOUNDARY), ((2, 3, 2), ("periodic", "reflect", "reflect"))])
def test_a_field(cell, shape, boundary):
    """Gate by gate and channel by channel; kernels are correlated, as torch has it."""
    torch.manual_seed(1)
    mixer = ConvRecurrent(2, 2, len(shape), cell).double()
    weights = random_weights(mixer)
    b = weights["bias"].reshape(-1, 2, *[1] * len(shape))
    p = weights.get("peepholes", np.zeros((3, 2))).reshape(3, 2, *[1] * len(shape))

    def applied(name, gate, fields):
        kernels = np.split(weights[name], GATES[cell])[gate]
        return np.stack(
            [sum(convolve(f, np.flip(k), boundary) for f, k in zip(fields, row, strict=True)) for row in kernels]
        )

    x = torch.randn(3, 2, *shape, dtype=torch.float64)
    with torch.no_grad():
        found, left = mixer(x, boundary)
    h, c = np.zeros((2, *shape)), np.zeros((2, *shape))
    for t, frame in enumerate(x.numpy()):
        a = [applied("W", n, frame) + b[n] for n in range(GATES[cell])]
        if cell == "rnn":
            h = np.tanh(a[0] + applied("U", 0, h))
        elif cell == "lstm":
            e = [applied("U", n, h) for n in range(4)]
            i, f = sigmoid(a[0] + e[0] + p[0] * c), sigmoid(a[1] + e[1] + p[1] * c)
            c = f * c + i * np.tanh(a[2] + e[2])
            h = sigmoid(a[3] + e[3] + p[2] * c) * np.tanh(c)
        else:
            r, z = (sigmoid(a[n] + applied("U", n, h)) for n in (0, 1))
            h = (1 - z) * h + z * np.tanh(a[2] + applied("U", 2, r * h))
        y = np.tensordot(weights["output"], h, 1) + weights["output_bias"].reshape(-1, *[1] * len(shape))
        np.testing.assert_allclose(found[t].numpy(), y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(left[-1].numpy(), c if cell == "lstm" else h, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("initial", ["orthogonal", "xavier", "he"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_by_their_rule_in_each_gate(kind, initial):
    torch.manual_seed(0)
    channels, hidden = 24, 32
    mixer = of_kind(kind, channels, hidden, "lstm", initial=initial)
    W, U = (mixer.W, mixer.U) if kind == "field" else (mixer.cell.weight_ih_l0, mixer.cell.weight_hh_l0)
    bias = mixer.bias if kind == "field" else mixer.cell.bias_ih_l0 + mixer.cell.bias_hh_l0
    taps = W[0, 0].numel()
    of = {"xavier": lambda into: 2 / (into + hidden) / taps, "he": lambda into: 2 / into / taps}
    for w, u in zip(W.chunk(4), U.chunk(4), strict=True):
        assert w.var().item() == pytest.approx(of.get(initial, of["xavier"])(channels), rel=0.15)
        if initial == "orthogonal":
            torch.testing.assert_close(u.flatten(1) @ u.flatten(1).T, torch.eye(hidden), rtol=0, atol=1e-5)
        else:
            assert u.var().item() == pytest.approx(of[initial](hidden), rel=0.15)
    torch.testing.assert_close(bias, torch.eye(4)[1].repeat_interleave(hidden))


@pytest.mark.parametrize("cell", GATES)
def test_voxels_in_groups_are_the_same(cell, monkeypatch):
    torch.manual_seed(0)
    mixer, x = RecurrentPerVoxel(2, 3, cell), torch.randn(4, 2, 3, 5)
    with torch.no_grad():
        whole, left = mixer(x, BOUNDARY)
        monkeypatch.setattr(recurrent, "AT_A_TIME", 4 * 4 * GATES[cell] * 3 * 4)
        groups, carry = mixer(x, BOUNDARY)
    torch.testing.assert_close(groups, whole)
    torch.testing.assert_close(carry, left)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", GATES)
def test_noise_leaves_about_as_large_as_it_came(cell, kind):
    torch.manual_seed(0)
    with torch.no_grad():
        y, _ = of_kind(kind, 16, 32, cell)(torch.randn(12, 16, 6, 6), BOUNDARY)
    assert y[4:].square().mean().sqrt().item() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", GATES)
def test_the_recurrence_is_not_lowered(cell, kind):
    """Where nothing comes in, a carry becomes under autocast what it becomes without."""
    torch.manual_seed(0)
    mixer = of_kind(kind, 2, 3, cell)
    (mixer.W if kind == "field" else mixer.cell.weight_ih_l0).data.zero_()
    x = torch.randn(3, 2, 4, 5)
    carry = torch.randn(mixer.carry_form((4, 5), BOUNDARY)[0])
    with torch.no_grad():
        _, wanted = mixer(x, BOUNDARY, carry)
        with torch.autocast("cpu", torch.bfloat16):
            _, found = mixer(x.bfloat16(), BOUNDARY, carry)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
