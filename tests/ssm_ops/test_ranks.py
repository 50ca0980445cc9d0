"""The sharded scan of P ranks against the scan of one: states, carry and every gradient, for any cut."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_ops import scan, sharded_scan
from ssm_ops.transition import tensors
from tests.ssm_ops.cases import FAMILIES, GRIDS, inputs, transition


@given(
    data=st.data(), ranks=st.integers(1, 8), family=st.sampled_from(FAMILIES), grid=st.sampled_from(GRIDS),
    exchange=st.sampled_from(["chain", "tree"]), uneven=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=20)
def test_any_number_of_ranks_and_any_shards(data, ranks, family, grid, exchange, uneven):
    shape, boundary = grid
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=ranks, max_size=ranks))
    frames = sum(lengths)
    base = transition(family, boundary)
    x, towards = inputs(shape, frames), inputs(shape, frames, seed=1)
    dt = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=frames, max_size=frames))).double()
    _, entering = scan(inputs(shape, 1, seed=2), base, boundary=boundary)
    results = []
    for call in (scan, lambda *a, **k: sharded_scan(*a, lengths=lengths, exchange=exchange, **k)):
        leaves = {name: value.clone().requires_grad_() for name, value in tensors(base).items()}
        own, carry = x.clone().requires_grad_(), entering.clone().requires_grad_()
        steps = dt.clone().requires_grad_(family != "kernel") if uneven else None
        backend = {"backend": "spectral"} if call is scan else {}
        states, left = call(own, type(base)(**leaves), boundary=boundary, carry=carry, dt=steps, **backend)
        loss = (states.real * towards).sum() + (left.abs() ** 2).sum()
        wanted = [own, carry, *leaves.values(), *([steps] if uneven and family != "kernel" else [])]
        results.append([states, left, *torch.autograd.grad(loss, wanted)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


def test_refusals():
    x, base = inputs((4,), 6), transition("decaying", ("periodic",))
    with pytest.raises(ValueError, match=r"shards of \[3, 2\] frames for 6; give positive lengths that add up"):
        sharded_scan(x, base, boundary=("periodic",), lengths=[3, 2])
    with pytest.raises(ValueError, match="exchange 'ring' is unknown; use one of chain, tree"):
        sharded_scan(x, base, boundary=("periodic",), lengths=[3, 3], exchange="ring")
