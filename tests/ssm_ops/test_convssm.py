"""The ConvSSM layer as a program, every family: any chunks, any shards, same outputs and same gradients."""

import pytest
import torch

from ssm_ops import (
    ConvSSM,
    LearnedKernel,
    LearnedPointwise,
    LearnedPropagator,
    LocalExchange,
    SelectiveSteps,
    drive,
    learned_family,
    tree_prefix,
)
from ssm_ops.carry import ASK, LATER
from tests.ssm_ops.cases import relative, truth

LAYERS = {
    "plain": ("propagator", {}, False),
    "drifting": ("propagator", {"drift": True, "taps": 3}, False),
    "kernel": ("kernel", {"taps": "uneven"}, False),
    "pointwise": ("pointwise", {}, False),
    "selective": ("propagator", {"drift": True}, True),
    "selective pointwise": ("pointwise", {}, True),
}
GRIDS = [
    ((6, 4), ("reflect", "periodic")),
    ((5, 4), ("dirichlet", "padded:3")),
    ((3, 4, 5), ("reflect", "periodic", "reflect")),
    ((4, 3, 3), ("periodic", "dirichlet", "padded:2")),
]
CASES = [(*grid, torch.float64) for grid in GRIDS] + [(*grid, torch.float32) for grid in GRIDS[1:3]]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def layer(name, boundary, *, states=5, stirred=True, dtype=torch.float64):
    torch.manual_seed(0)
    family, parts, selective = LAYERS[name]
    if parts.get("taps") == "uneven":  # even where the boundary allows it, another size on each axis
        sizes = [3 if kind in ("reflect", "dirichlet") else 2 + 2 * axis for axis, kind in enumerate(boundary)]
        parts = {"taps": sizes}
    steps = SelectiveSteps(3, len(boundary), states=states) if selective else None
    module = ConvSSM(3, states, learned_family(family, states, boundary, **parts), steps=steps).to(dtype)
    if stirred:
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                size = 0.02 if key.endswith(("raw_taps", "raw_correction")) else 0.5
                parameter.add_(size * torch.randn_like(parameter))
    return module


def frames(grid, count=8, dtype=torch.float64):
    return torch.randn(count, 3, *grid, dtype=dtype, generator=torch.Generator().manual_seed(1))


def in_turn(module, x, boundary, shards):
    """The outputs of consecutive shards, each a list of chunk lengths, one shard after the other."""
    exchange, outputs = LocalExchange(), []
    for part, lengths in zip(x.split([sum(lengths) for lengths in shards]), shards, strict=True):
        outputs += drive(module.program(list(part.split(lengths)), boundary), exchange)
        exchange.next_shard()
    return torch.cat(outputs)


def summary_of(program):
    """What a program yields to whoever cannot tell it the carry yet."""
    said = next(program)
    return program.send(LATER) if said is ASK else said


def on_ranks(module, x, boundary, shards):
    """The same with a rank for each shard: all summaries first, the carries by a tree of compositions."""
    parts = x.split([sum(lengths) for lengths in shards])
    programs = [module.program(list(p.split(lengths)), boundary) for p, lengths in zip(parts, shards, strict=True)]
    entering = tree_prefix([summary_of(program) for program in programs])
    outputs = []
    for program, before in zip(programs, entering, strict=True):
        with pytest.raises(StopIteration) as stop:
            program.send(before(None))
        outputs += stop.value.value
    return torch.cat(outputs)


@pytest.mark.parametrize(("grid", "boundary", "dtype"), CASES)
@pytest.mark.parametrize("name", LAYERS)
def test_any_cut_gives_the_same(name, grid, boundary, dtype):
    module, x = layer(name, boundary, dtype=dtype).requires_grad_(False), frames(grid, dtype=dtype)
    expected = in_turn(module, x, boundary, [[8]])
    assert expected.dtype == dtype
    for run, shards in ((in_turn, [[5, 3]]), (in_turn, [[1], [1, 6]]), (on_ranks, [[1], [3, 1], [1], [2]])):
        assert relative(run(module, x, boundary, shards), expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("shards", [[[1] * 8], [[5], [3]], [[3, 1], [2, 2]], [[1], [1], [6]], [[1]] * 8])
def test_many_cuts_of_the_plain_layer(shards):
    boundary = ("reflect", "periodic")
    module, x = layer("plain", boundary), frames((6, 4))
    for run in (in_turn, on_ranks):
        whole = in_turn(module, x, boundary, [[8]])
        torch.testing.assert_close(run(module, x, boundary, shards), whole, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("grid", "boundary"), GRIDS)
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_cross_the_cuts(name, grid, boundary):
    module, results = layer(name, boundary), []
    for run, shards in ((in_turn, [[8]]), (in_turn, [[5], [2, 1]]), (on_ranks, [[3, 1], [2], [2]])):
        x = frames(grid).requires_grad_()
        loss = run(module, x, boundary, shards).square().sum()
        results.append(torch.autograd.grad(loss, [x, *module.parameters()]))
    for whole, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(other, whole, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", LAYERS)
def test_an_infinite_step_begins_anew(name):
    """Outputs and gradients are those of two sequences, whose first steps are 1 as all others."""
    grid, boundary = GRIDS[0]
    module, dt, results = layer(name, boundary), torch.ones(8, dtype=torch.float64), []
    dt[[0, 5]] = torch.inf
    for shards in ([[4, 4]], [[2], [2, 1], [3]], [[5], [3]]):
        x, exchange, outputs, start = frames(grid).requires_grad_(), LocalExchange(), [], 0
        for lengths in shards:
            part = slice(start, start + sum(lengths))
            chunks, steps = list(x[part].split(lengths)), list(dt[part].split(lengths))
            if shards == [[5], [3]]:
                exchange, steps = LocalExchange(), None
            outputs += drive(module.program(chunks, boundary, steps), exchange)
            exchange.next_shard()
            start = part.stop
        found = torch.cat(outputs)
        gradients = torch.autograd.grad(found.square().sum(), [x, *module.parameters()])
        results.append([found, *gradients])
    for apart, *others in zip(*results[::-1], strict=True):
        for other in others:
            torch.testing.assert_close(other, apart, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_finite_differences(name):
    grid, boundary = (3, 2), ("reflect", "periodic")
    module, x = layer(name, boundary, states=2), frames(grid, 4)
    names, values = zip(*module.named_parameters(), strict=True)

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            return on_ranks(self.inner, x, boundary, [[1, 1], [2]])

    def outputs(x, *values):
        return torch.func.functional_call(
            Cut(), {f"inner.{key}": value for key, value in zip(names, values, strict=True)}, x
        )

    inputs = [tensor.detach().clone().requires_grad_() for tensor in (x, *values)]
    assert torch.autograd.gradcheck(outputs, inputs, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize(("grid", "boundary", "uneven"), [(*GRIDS[0], True), (*GRIDS[1], False), (*GRIDS[3], True)])
@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_the_layer_is_its_reference(name, grid, boundary, uneven):
    """The steps, what each takes from its input, and what is read from the states, written out once more."""
    module, x = layer(name, boundary, states=2), frames(grid, 5)
    transition, steps, dt = module.family(), torch.ones(5, 2, dtype=torch.float64), None
    if uneven:
        time = torch.tensor([1.0, 2, 1, 0, 1], dtype=torch.float64)
        steps, dt = steps * time[:, None], list(time.split([3, 2]))
    if module.steps is not None:
        pooled = x.flatten(2).mean(2) @ module.steps.weight.T + module.steps.bias
        steps *= 0.01 + torch.log1p(torch.exp(pooled))
    match LAYERS[name][0]:
        case "propagator":
            most = torch.exp(-transition.decay)
        case "kernel":
            most = transition.taps.abs().flatten(1).sum(1)
        case "pointwise":
            most = torch.exp(transition.rate).abs()
    ones = [1] * len(grid)
    offsets = (1 - most**steps).reshape(5, 2, *ones) * torch.einsum("pc,tc...->tp...", module.B, x)
    states, _ = truth(offsets, transition, boundary, dt=steps)
    if states.is_complex():
        states = torch.cat([states.real, states.imag], dim=1)
    expected = torch.einsum("cp,tp...->tc...", module.C, states) + module.D.reshape(3, *ones) * x
    actual = torch.cat(drive(module.program(list(x.split([3, 2])), boundary, dt), LocalExchange()))
    assert relative(actual, expected) < 1e-10


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_it_starts_as_an_average_and_a_constant_gives_a_state_of_its_size(name):
    boundary = ("reflect", "periodic")
    module = layer(name, boundary, stirred=False)
    module.start_average(0, decay=torch.tensor(0.5).double(), gain=2.0)
    module.D[0] = 0
    x, average, expected = frames((6, 4), 50), 0, []
    for frame in x[:, 0]:
        average = average + (1 - torch.exp(torch.tensor(-0.5).double())) * (frame - average)
        expected.append(2 * average)
    torch.testing.assert_close(in_turn(module, x, boundary, [[50]])[:, 0], torch.stack(expected), rtol=0, atol=1e-4)
    output = in_turn(module, torch.ones_like(x), boundary, [[50]])
    torch.testing.assert_close(output[-1, 0], torch.full((6, 4), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("name", [name for name in LAYERS if "pointwise" not in name])
@torch.no_grad()
def test_a_constant_gives_a_state_of_its_size_whatever_the_steps(name):
    boundary = ("reflect", "periodic")
    module = layer(name, boundary, stirred=False)
    if module.steps is not None:
        module.steps.bias.normal_()
    module.B.fill_(1 / 3)
    module.C.copy_(torch.eye(3, 5))
    output = in_turn(module, torch.ones(2000, 3, 2, 2, dtype=torch.float64), boundary, [[2000]])
    torch.testing.assert_close(output[-1], torch.ones(3, 2, 2, dtype=torch.float64))


@torch.no_grad()
def test_an_oscillation_of_the_states_own_rate_gives_a_state_of_its_size():
    turn = 0.7
    module = ConvSSM(1, 1, LearnedPointwise(torch.tensor([-0.02 + 1j * turn])))
    module.B.fill_(1)
    module.C.copy_(torch.tensor([[1.0, 0.0]]))
    x = 2 * torch.cos(turn * torch.arange(1000)).reshape(-1, 1, 1, 1)  # one half of it turns with the state
    output = in_turn(module, x, ("reflect", "reflect"), [[1000]])
    torch.testing.assert_close(output[-200:].abs().max(), torch.tensor(1.0), rtol=0.02, atol=0)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_no_state_is_larger_than_its_largest_input(name):
    boundary = ("reflect", "periodic")
    module = layer(name, boundary, states=3)
    for parameter in module.family.parameters():
        parameter.normal_()
    module.B.copy_(torch.eye(3))
    module.D.zero_()
    x = frames((6, 4), 200)
    for part in range(module.C.shape[1]):
        module.C.zero_()
        module.C[:, part] = 1
        output = in_turn(module, x, boundary, [[200]])
        largest = x[:, part % 3].square().mean((1, 2)).max()
        assert output[:, 0].square().mean((1, 2)).max() <= largest


def test_selective_steps_are_no_steps_of_a_kernel():
    kernel = LearnedKernel(torch.ones(2, 3, 3) / 10, ("reflect", "periodic"))
    with pytest.raises(ValueError, match="selective steps with a kernel"):
        ConvSSM(3, 2, kernel, steps=SelectiveSteps(3, 2, states=2))


def test_the_default_is_a_plain_propagator():
    torch.manual_seed(0)
    plain = ConvSSM(3, 5)
    torch.manual_seed(0)
    chosen = ConvSSM(3, 5, learned_family("propagator", 5, ("reflect", "periodic")))
    assert isinstance(plain.family, LearnedPropagator)
    assert list(plain.state_dict()) == ["B", "C", "D", "family.raw_decay", "family.raw_diffusivity"]
    for one, other in zip(plain.parameters(), chosen.parameters(), strict=True):
        assert torch.equal(one, other)
