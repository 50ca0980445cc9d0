"""Infinite steps of time: the scan of the frames after one is that of these frames alone, and no gradient passes."""

import itertools
import math
from functools import partial

import pytest
import torch

from ssm_ops import Grid, Kernel, Pointwise, Propagator, final_carry, jobs, scan, sharded_scan, spectral
from ssm_ops.classes import Classes
from ssm_ops.stitch import Stitching
from ssm_ops.transition import tensors
from ssm_ops.verify import verify_scan
from tests.ssm_ops.cases import CHANNELS, FAMILIES, GRIDS, field_of, inputs, relative, transition, truth

FRAMES = 10
STEPS = torch.tensor([1, 1, 1, math.inf, 1, 1, 1, math.inf, math.inf, 1]).double()
"""Runs of 3, 4, 1 and 2 frames."""
RUNS = [3, 4, 1, 2]
UNEVEN = [[2, 1], [1, 3], [math.inf, 2], [1, 1], [2, 2], [math.inf] * 2, [1, 1], [3, math.inf], [1, 2], [1, 1]]
UNEVEN = torch.tensor(UNEVEN).double()
"""Each channel forgets when it does."""
CASES = [(family, *grid) for family in FAMILIES for grid in GRIDS]
SLOW = pytest.mark.slow
SOME = [pytest.param(*case, marks=[] if i % 17 == 3 else SLOW) for i, case in enumerate(CASES) if i % 17 in (3, 9, 14)]
"""Each family on other grids."""
PRECISIONS = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


@pytest.fixture(params=["compiled", "torch"])
def path(request, monkeypatch):
    """What CPUs do, and what other devices do, in spans and tiles of a few frames."""
    monkeypatch.setattr(spectral, "TILE_BYTES", 256)
    monkeypatch.setattr(jobs, "SPAN_BYTES", 8192)
    if request.param == "torch":
        monkeypatch.setattr(spectral, "compiles", lambda *_: False)
        monkeypatch.setattr(spectral, "COMPILED", spectral.TORCH)
    return request.param


@pytest.mark.parametrize(("family", "shape", "boundary"), SOME)
@pytest.mark.usefixtures("path")
def test_it_is_the_reference(family, shape, boundary):
    given = transition(family, boundary)
    grid, x = given.basis(shape, boundary, CHANNELS), inputs(shape, FRAMES, dtype=torch.float32)
    for (dtype, tolerance), dt in itertools.product(PRECISIONS, (STEPS[:, None].expand(-1, CHANNELS), UNEVEN)):
        expected, last = truth(x, given, boundary, dt=dt)
        states, carry = scan(x.to(dtype), given, boundary=boundary, dt=dt)
        assert relative(states, expected) <= tolerance
        assert relative(field_of(carry, grid), last) <= tolerance
        assert relative(final_carry(x.to(dtype), given, boundary=boundary, dt=dt), carry) <= tolerance


@pytest.mark.parametrize(("family", "shape", "boundary"), [case for case in CASES[::3] if len(case[1]) > 1])
def test_each_run_has_the_bits_that_it_has_alone(family, shape, boundary):
    """Also where what was before is 10,000 times as large, or no number."""
    given, x = transition(family, boundary, dtype=torch.float32), inputs(shape, FRAMES, dtype=torch.float32)
    x[:3], x[5:7] = 1e4 * x[:3], math.inf
    states, left = scan(x, given, boundary=boundary, dt=STEPS)
    for own, found in zip(x.split(RUNS), states.split(RUNS), strict=True):
        alone, carry = scan(own, given, boundary=boundary, dt=torch.ones(len(own)))
        torch.testing.assert_close(found, alone, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(left, carry)


def test_a_channel_that_forgets_leaves_no_trace_in_the_others():
    for shape, boundary in GRIDS:
        given, x = transition("decaying", boundary, dtype=torch.float32), inputs(shape, FRAMES, dtype=torch.float32)
        steps = torch.ones(FRAMES, CHANNELS).double()
        steps[4, 1] = math.inf
        states, _ = scan(x, given, boundary=boundary, dt=steps)
        assert torch.equal(states[:, 0], scan(x, given, boundary=boundary)[0][:, 0])
        assert torch.equal(states[4:, 1], scan(x[4:], given, boundary=boundary)[0][:, 1])


@pytest.mark.parametrize("dt", [math.inf, torch.tensor(math.inf), torch.full((FRAMES,), math.inf)], ids=str)
@pytest.mark.usefixtures("path")
def test_where_every_step_is_infinite_each_frame_is_its_own_state(dt):
    x = inputs((6, 5), FRAMES)
    states, _ = scan(x, transition("drifting", ("periodic", "reflect")), boundary=("periodic", "reflect"), dt=dt)
    torch.testing.assert_close(states, x, rtol=1e-12, atol=1e-12)
    dt = dt if isinstance(dt, float) else dt.flatten()[:1]
    single, _ = scan(x[:1], Propagator(0.0), boundary=("periodic", "reflect"), dt=dt)
    torch.testing.assert_close(single, x[:1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("family", "shape", "boundary"), SOME)
@pytest.mark.usefixtures("path")
def test_gradients_are_those_of_the_runs_apart(family, shape, boundary):
    """To inputs, carry and every tensor; to the steps too, where an infinite one gets zero."""
    base = transition(family, boundary)
    _, before = scan(inputs(shape, 1, seed=1), base, boundary=boundary)
    weights, whole = inputs(shape, FRAMES, seed=2), []
    for together in (True, False):
        x, carry = inputs(shape, FRAMES).requires_grad_(), before.clone().requires_grad_()
        leaves = {name: value.clone().requires_grad_() for name, value in tensors(base).items()}
        dt = STEPS.clone().requires_grad_(family != "kernel")
        given = type(base)(**leaves)
        if together:
            states, left = scan(x, given, boundary=boundary, carry=carry, dt=dt, backend="spectral")
        else:
            parts, entering = [], carry
            for own, steps in zip(x.split(RUNS), dt.split(RUNS), strict=True):
                steps = torch.where(torch.isinf(steps), 1.0, steps)
                part, left = scan(own, given, boundary=boundary, carry=entering, dt=steps, backend="spectral")
                parts, entering = [*parts, part], None
            states = torch.cat(parts)
        wanted = [x, carry, *leaves.values(), *([dt] if dt.requires_grad else [])]
        loss = (states.real * weights).sum() + (left.abs() ** 2).sum()
        whole.append([states, *torch.autograd.grad(loss, wanted)])
    for one, other in zip(*whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    if family != "kernel":
        assert (whole[0][-1][torch.isinf(STEPS)] == 0).all()


@pytest.mark.parametrize("given", [Propagator(0.0), Propagator(0.0, 0.3, (0.5, 0.0)), Pointwise(torch.zeros(2) + 0.4j)])
def test_nothing_that_never_decays_is_left(given):
    """No decay at frequency zero: 0 * inf is not met, neither in a power nor in a gradient."""
    boundary = ("periodic", "reflect")
    grid = given.basis((6, 5), boundary, CHANNELS)
    learned = {name: value.clone().requires_grad_() for name, value in tensors(given).items()}
    free = type(given)(**learned)
    steps = torch.tensor([[1.0], [math.inf]], requires_grad=True)
    assert (given.power(grid, math.inf) == 0).all()
    for found, nothing in ((free.power(grid, steps), 0), (free.change(grid, steps), -1)):
        assert (found[1] == nothing).all()
        for gradient in torch.autograd.grad(found.abs().sum(), [*learned.values(), steps]):
            assert gradient.isfinite().all()
        (to_steps,) = torch.autograd.grad(free.power(grid, steps).abs().sum(), steps)
        assert to_steps[1] == 0


def test_a_growing_kernel_is_forgotten_too():
    grid, kernel = Grid((6, 5), ("periodic",) * 2), Kernel(torch.full((1, 3, 3), 0.5))
    assert (kernel.power(grid, math.inf) == 0).all()
    assert (kernel.change(grid, torch.tensor([[math.inf]])) == -1).all()


@pytest.mark.parametrize("case", [GRIDS[0], GRIDS[11], GRIDS[14]])
def test_halves_of_a_shard_and_their_summary(case):
    """A carry that enters a shard ends where something is forgotten, early or late."""
    shape, boundary = case
    given, x = transition("decaying", boundary), inputs(shape, FRAMES)
    _, carry = scan(inputs(shape, 2, seed=3), given, boundary=boundary)
    expected, last = scan(x, given, boundary=boundary, carry=carry, dt=STEPS)
    stitching = Stitching(given, boundary)
    halves = stitching.shard(x, dt=STEPS)
    final = halves.keep()
    summary, states = stitching.summary([halves], final), halves.finish(carry)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(summary(carry), last)
    assert (summary.transition == 0).all()
    at_once, same = stitching.shard(x, dt=STEPS).through(carry)
    assert torch.equal(at_once, states)
    assert torch.equal(same, final)


@pytest.mark.parametrize("exchange", ["chain", "tree"])
@pytest.mark.parametrize("lengths", [[3, 4, 1, 2], [1, 4, 5]])
def test_ranks_with_gradients(lengths, exchange):
    boundary, base = ("periodic", "reflect"), transition("drifting", ("periodic", "reflect"))
    results = []
    for call in (scan, partial(sharded_scan, lengths=lengths, exchange=exchange)):
        x, decay = inputs((6, 5), FRAMES).requires_grad_(), base.decay.clone().requires_grad_()
        states, left = call(x, Propagator(decay, base.diffusivity, base.velocity), boundary=boundary, dt=STEPS)
        loss = states.square().sum() + (left.abs() ** 2).sum()
        results.append([states, left, *torch.autograd.grad(loss, (x, decay))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


def test_no_frequency_of_what_is_forgotten_travels_on():
    given, boundary = Propagator(0.0), ("periodic", "reflect")
    classes = Classes(given, given.basis((6, 5), boundary, 1), 1, 1e-3)
    assert not classes.power(math.inf, torch.complex64).any()
    assert classes.counts(math.inf) == {"silent": 0, "near": 20, "far": 0}


@pytest.mark.parametrize("family", ["drifting", pytest.param("kernel", marks=SLOW), "pointwise"])
def test_a_certificate_of_runs(family):
    boundary = ("periodic", "reflect")
    found = verify_scan(inputs((4, 3), FRAMES), transition(family, boundary), boundary=boundary, dt=STEPS, trials=2)
    assert 0 < found.worst < 1e-12
