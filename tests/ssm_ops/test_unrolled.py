"""Many short runs of time at once against one after another."""

import pytest
import torch

from ssm_ops import ConvSSM, LocalExchange, SelectiveSteps, drive, learned_family
from ssm_ops.unrolled import Unrolled

BOUNDARY = ("reflect", "periodic")


def found(outputs, carries, wanted):
    """Outputs, carries, and the gradients of something that weighs every number of both differently."""
    generator = torch.Generator().manual_seed(1)
    total = 0.0
    for tensor in (outputs, carries):
        real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        total = total + (real.square() * torch.rand(real.shape, generator=generator, dtype=torch.float64)).sum()
    return [outputs, carries, *torch.autograd.grad(total, wanted)]


@pytest.mark.parametrize("family", ["propagator", "kernel", "pointwise"])
@pytest.mark.parametrize("entering", [True, False], ids=["carry", "begins"])
def test_runs_at_once_are_those_one_after_another(family, entering):
    torch.manual_seed(0)
    layer = ConvSSM(3, 4, learned_family(family, 4, BOUNDARY)).double()
    with torch.no_grad():
        layer.D.normal_()
    x = torch.randn(2, 5, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    unrolled = Unrolled(layer, (4, 6), BOUNDARY)
    carry, wanted = None, [x, *layer.parameters()]
    if entering:
        with torch.no_grad():
            carry = unrolled(torch.randn_like(x), None)[1]
        carry.requires_grad_()
        wanted.append(carry)
    outputs, leaving = [], []
    for number, run in enumerate(x):
        exchange = LocalExchange([carry[number]] if entering else None)
        outputs.extend(drive(layer.program([run], BOUNDARY), exchange))
        leaving.extend(exchange.next_shard())
    expected = found(torch.stack(outputs), torch.stack(leaving), wanted)
    for one, other in zip(found(*unrolled(x, carry), wanted), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_a_selective_layer_is_refused():
    with pytest.raises(ValueError, match="one after another"):
        Unrolled(ConvSSM(2, 2, steps=SelectiveSteps(2, 2, states=2)), (4, 6), BOUNDARY)
