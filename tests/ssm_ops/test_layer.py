"""The ConvSSM layer as a program: any chunks, any shards, same outputs and same gradients."""

import pytest
import torch

from ssm_ops import ConvSSM, LocalExchange, drive

BOUNDARY = ("reflect", "periodic")


def layer():
    torch.manual_seed(0)
    return ConvSSM(3, 5).double()


def frames(count=12):
    return torch.randn(count, 3, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def run(module, x, shards):
    """The outputs of consecutive shards, each a list of chunk lengths."""
    exchange, outputs, start = LocalExchange(), [], 0
    for lengths in shards:
        chunks = list(x[start : start + sum(lengths)].split(lengths))
        start += sum(lengths)
        outputs += drive(module.program(chunks, BOUNDARY), exchange)
        exchange.next_shard()
    return torch.cat(outputs)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("shards", [[[12]], [[1] * 12], [[5, 7]], [[5], [7]], [[3, 1], [2, 6]], [[1], [1], [10]]])
def test_any_cut_gives_the_same(shards, gradients):
    module, x = layer(), frames()
    with torch.set_grad_enabled(gradients):
        expected = run(module, x, [[12]])
        actual = run(module, x, shards)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


def test_gradients_cross_the_cuts():
    module = layer()
    results = []
    for shards in ([[12]], [[3, 2], [4], [3]]):
        x = frames().requires_grad_()
        module.zero_grad()
        run(module, x, shards).square().sum().backward()
        results.append([x.grad, *(p.grad.clone() for p in module.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_a_constant_input_gives_a_state_of_its_size():
    module = layer()
    with torch.no_grad():
        module.start_average(0, decay=torch.tensor(0.5).double(), gain=1.0)
        output = run(module, torch.ones(400, 3, 6, 4, dtype=torch.float64), [[400]])
    torch.testing.assert_close(output[-1, 0], torch.ones(6, 4, dtype=torch.float64))
