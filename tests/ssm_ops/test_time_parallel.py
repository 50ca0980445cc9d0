"""The scan of one rank among others against the uncut float64 scan: states, carry and every gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_ops import Affine, exchanged, scan, time_parallel_scan
from ssm_ops.transition import tensors
from tests.ssm_ops.cases import FAMILIES, GRIDS, inputs, relative, transition, truth
from tests.ssm_ops.played import PlayedChain


def leaves_of(base):
    return {name: value.clone().requires_grad_() for name, value in tensors(base).items()}


@given(
    data=st.data(), ranks=st.integers(1, 5), family=st.sampled_from(FAMILIES), grid=st.sampled_from(GRIDS),
    uneven=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=12)
def test_any_rank_of_any_number(data, ranks, family, grid, uneven):
    shape, boundary = grid
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=ranks, max_size=ranks))
    frames, base = sum(lengths), transition(family, boundary)
    x, towards = inputs(shape, frames), inputs(shape, frames, seed=1)
    dt = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=frames, max_size=frames))).double()
    _, before = scan(inputs(shape, 1, seed=2), base, boundary=boundary)

    def given_leaves():
        steps = dt.clone().requires_grad_(family != "kernel") if uneven else None
        return x.clone().requires_grad_(), before.clone().requires_grad_(), steps, leaves_of(base)

    own, carry, steps, leaves = given_leaves()
    wanted = [own, carry, *leaves.values(), *([steps] if uneven and family != "kernel" else [])]
    states, left = scan(own, type(base)(**leaves), boundary=boundary, carry=carry, dt=steps, backend="spectral")
    loss = (states.real * towards).sum() + (left.abs() ** 2).sum()
    whole = [states, left, *torch.autograd.grad(loss, wanted)]

    own, carry, steps, leaves = given_leaves()
    wanted = [own, carry, *leaves.values(), *([steps] if uneven and family != "kernel" else [])]
    chain, losses, found = PlayedChain(ranks), [], []
    for number, (part, weight) in enumerate(zip(own.split(lengths), towards.split(lengths), strict=True)):
        states, left = time_parallel_scan(
            part,
            type(base)(**leaves),
            boundary=boundary,
            exchange=chain.rank(number),
            carry=carry if number == 0 else None,
            dt=None if steps is None else steps.split(lengths)[number],
        )
        found.append(states)
        losses.append((states.real * weight).sum())
    losses[-1] = losses[-1] + (left.abs() ** 2).sum()
    totals = [0.0] * len(wanted)
    for loss in losses[::-1]:
        shares = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True, retain_graph=True)
        totals = [total + share for total, share in zip(totals, shares, strict=True)]
    assert not any(chain.sent.values())  # whatever was sent was waited for
    for one, other in zip(whole, [torch.cat(found), left, *totals], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_states_are_those_of_the_reference(family):
    boundary = ("reflect", "periodic")
    base, x, chain = transition(family, boundary), inputs((5, 8), 9), PlayedChain(3)
    parts = [
        time_parallel_scan(part, base, boundary=boundary, exchange=chain.rank(number))[0]
        for number, part in enumerate(x.split([4, 1, 4]))
    ]
    assert relative(torch.cat(parts), truth(x, base, boundary)[0]) < 1e-10


def test_a_batch_and_a_carry_that_is_used_on_every_rank():
    """What leaves each shard may be part of its loss."""
    boundary, base = ("periodic", "reflect"), transition("drifting", ("periodic", "reflect"))
    x = torch.stack([inputs((4, 7), 6, seed=seed) for seed in (0, 1)])
    results = []
    for lengths in ([6], [2, 3, 1]):
        own, leaves, chain, losses = x.clone().requires_grad_(), leaves_of(base), PlayedChain(len(lengths)), []
        for number, part in enumerate(own.split(lengths, dim=1)):
            states, left = time_parallel_scan(
                part, type(base)(**leaves), boundary=boundary, exchange=chain.rank(number)
            )
            losses.append(states.pow(3).sum())
            if lengths == [6]:
                borders = [scan(own[:, :stop], type(base)(**leaves), boundary=boundary)[1] for stop in (2, 5, 6)]
                losses[-1] = losses[-1] + sum((border.abs() ** 2).sum() for border in borders)
            else:
                losses[-1] = losses[-1] + (left.abs() ** 2).sum()
        for loss in losses[::-1]:
            loss.backward(retain_graph=True)
        results.append([own.grad, *(leaf.grad for leaf in leaves.values())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_the_exchange_alone_is_differentiable(kind):
    """Maps of plain numbers, composed by hand on one side."""
    torch.manual_seed(0)
    maps = [(torch.randn(3, dtype=kind), torch.randn(2, 3, dtype=kind)) for _ in range(4)]
    results = []
    for played in (False, True):
        leaves = [(a.clone().requires_grad_(), b.clone().requires_grad_()) for a, b in maps]
        chain, carry, losses = PlayedChain(4), torch.zeros(2, 3, dtype=kind), []
        for number, (a, b) in enumerate(leaves):
            if played:
                carry, came = exchanged(Affine(a, b), chain.rank(number))
                assert came == (number > 0)
            losses.append((carry.abs() ** 2 * (number + 1)).sum() + 0 * (a.abs().sum() + b.abs().sum()))
            if not played:
                carry = a * carry + b
        for loss in losses[::-1]:
            loss.backward(retain_graph=True)
        results.append([leaf.grad for pair in leaves for leaf in pair])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one)


def test_the_frame_before_is_a_carry_of_transition_zero():
    frames, chain, befores = torch.randn(6, 2, 3, requires_grad=True), PlayedChain(3), []
    for number, part in enumerate(frames.split(2)):
        before, came = exchanged(Affine(0.0, part[-1]), chain.rank(number))
        befores.append(before if came else part[0] + before)
    for loss in [before.square().sum() for before in befores][::-1]:
        loss.backward(retain_graph=True)
    expected = torch.zeros_like(frames)
    expected[[0, 1, 3]] = 2 * frames[[0, 1, 3]].detach()
    torch.testing.assert_close(frames.grad, expected)


def test_only_the_first_rank_brings_a_carry():
    boundary, base, chain = ("periodic",), transition("decaying", ("periodic",)), PlayedChain(2)
    x = inputs((4,), 3)
    _, carry = time_parallel_scan(x, base, boundary=boundary, exchange=chain.rank(0))
    with pytest.raises(ValueError, match="a carry is given to a rank that others precede; give it to the first rank"):
        time_parallel_scan(x, base, boundary=boundary, exchange=chain.rank(1), carry=carry)
