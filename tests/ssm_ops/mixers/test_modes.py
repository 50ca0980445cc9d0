"""Every mixer in all its modes: a sequence whole, in chunks with a carry, frame by frame, in shards; outputs, carries,
gradients are the same."""

import pytest
import torch

from ssm_ops import LocalExchange, drive
from ssm_ops.mixers.catalogue import MIXERS, Choices, mixer_named

FRAMES = 9
GRIDS = {2: ((4, 6), ("reflect", "periodic")), 3: ((2, 4, 3), ("reflect", "periodic", "reflect"))}
CASES = [(name, initial, 2) for name, member in MIXERS.items() for initial in member.initials or (None,)]
CASES += [(name, None, 3) for name in MIXERS]


def made(name, initial=None, axes=2, kind=torch.float64):
    """A mixer whose memory is shorter than the sequence where it is finite, and frames for it."""
    torch.manual_seed(7)
    shape, boundary = GRIDS[axes]
    takes = MIXERS[name].takes
    told = {"span": 4 if "span" in takes else None, "heads": 2 if "heads" in takes else None, "initial": initial}
    mixer = mixer_named(name, Choices(channels=4, states=6, boundary=boundary, **told)).to(kind)
    for parameter in mixer.parameters():  # nothing stays at a zero that would hide it
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return mixer, torch.randn(FRAMES, 4, *shape, dtype=kind), boundary


def same(one, other, tolerance=1e-11):
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    if other.numel():  # the carry of a mixer without memory is empty
        assert (one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


def weighed(y):
    """A number that all outputs count in, each with a weight of its own."""
    return (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).cos().reshape(y.shape)).sum()


def gradients(mixer, x, y, carry):
    parameters = [parameter for parameter in mixer.parameters() if parameter.requires_grad]
    carried = torch.view_as_real(carry) if carry.is_complex() else carry
    return torch.autograd.grad(weighed(y) + weighed(carried), [x, *parameters], allow_unused=True)


@pytest.mark.parametrize(("name", "initial", "axes"), CASES)
def test_whole_chunked_and_step_by_step(name, initial, axes):
    mixer, x, boundary = made(name, initial, axes)
    x.requires_grad_()
    whole, left = mixer(x, boundary)
    wanted = gradients(mixer, x, whole, left)
    assert whole.shape == x.shape
    assert left.shape == mixer.carry_form(tuple(x.shape[2:]), boundary)[0]
    assert left.numel() * left.itemsize == mixer.carry_bytes(tuple(x.shape[2:]), boundary)
    for cuts in ([2, 7], [5, 4], [1] * FRAMES, [1, 3, 1, 4]):
        outputs, carry = [], None
        for chunk in x.split(cuts):
            y, carry = mixer(chunk, boundary, carry)
            outputs.append(y)
        y = torch.cat(outputs)
        same(y, whole)
        same(carry, left)
        for one, other in zip(gradients(mixer, x, y, carry), wanted, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                same(one, other, 1e-9)
    step, carry = [], None
    for frame in x.detach():
        y, carry = mixer.step(frame, boundary, carry)
        step.append(y)
    same(torch.stack(step), whole)
    same(carry, left)


@pytest.mark.parametrize("name", MIXERS)
def test_a_run_of_frames_is_its_frames_one_by_one(name):
    """`through` against `one`, which `forward` never sees side by side."""
    mixer, x, boundary = made(name)
    with torch.no_grad():
        whole, left = mixer.through(x, boundary, mixer.start(x, boundary))
        carry, outputs = mixer.start(x, boundary), []
        for frame in x:
            y, carry = mixer.one(frame, boundary, carry)
            outputs.append(y)
    same(torch.stack(outputs), whole)
    same(carry, left)


@pytest.mark.parametrize("name", MIXERS)
def test_shards_and_beginnings(name):
    """As programs, whose chunks and shards are cut anywhere; where a step is infinite what was before is forgotten."""
    mixer, x, boundary = made(name)
    dt = torch.ones(FRAMES, dtype=x.dtype)
    dt[5] = torch.inf
    with torch.no_grad():
        whole, left = mixer(x, boundary, None, dt)
        early, _ = mixer(x[:5], boundary)
        late, last = mixer(x[5:], boundary)
        same(whole, torch.cat([early, late]))
        same(left, last)
        exchange, outputs = LocalExchange(), []
        for shard, times in zip(x.split([4, 3, 2]), dt.split([4, 3, 2]), strict=True):
            cut = [1, len(shard) - 1]
            outputs += drive(mixer.program(list(shard.split(cut)), boundary, list(times.split(cut))), exchange)
            carries = exchange.next_shard()
    same(torch.cat(outputs), whole)
    same(carries[0], left)


@pytest.mark.parametrize("name", MIXERS)
def test_gradients_are_those_of_finite_differences(name):
    mixer, x, boundary = made(name)
    x = x[:4, :, :2, :2].clone().requires_grad_()
    carry = mixer.start(x, boundary)
    carry = (carry + 0.1 * torch.randn_like(carry)).detach().requires_grad_()

    def outputs(x, carry):
        y, left = mixer(x, boundary, carry)
        return weighed(y), weighed(torch.view_as_real(left) if left.is_complex() else left)

    assert torch.autograd.gradcheck(outputs, (x, carry), atol=1e-6, fast_mode=True)  # in random directions
    y, _ = mixer(x, boundary, carry)
    parameters = [parameter for parameter in mixer.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(weighed(y), parameters, allow_unused=True)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    moved, step = [], 1e-6
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(sign * step * direction)
            moved.append(weighed(mixer(x, boundary, carry)[0]).item())
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.sub_(sign * step * direction)
    slope = sum(
        torch.real((g.conj() * d).sum()).item() for g, d in zip(found, directions, strict=True) if g is not None
    )
    assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", MIXERS)
def test_only_the_past_counts(name):
    mixer, x, boundary = made(name)
    other = x.clone()
    other[6:] = torch.randn_like(other[6:])
    with torch.no_grad():
        same(mixer(other, boundary)[0][:6], mixer(x, boundary)[0][:6])


@pytest.mark.parametrize("name", [name for name, member in MIXERS.items() if not member.kind.uneven])
def test_steps_of_other_lengths_are_refused(name):
    mixer, x, boundary = made(name)
    with pytest.raises(ValueError, match="a step of 2 for .*, which knows only steps of 1"):
        mixer(x, boundary, None, torch.full((FRAMES,), 2.0))


@pytest.mark.parametrize("name", MIXERS)
def test_single_precision_is_close(name):
    mixer, x, boundary = made(name)
    with torch.no_grad():
        wanted, _ = mixer(x, boundary)
        found, carry = mixer.float()(x.float(), boundary)
    assert found.dtype == torch.float32
    assert carry.dtype == mixer.carry_form(tuple(x.shape[2:]), boundary)[1]
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", MIXERS)
def test_lower_precision_of_products_is_near(name):
    """Under autocast, of a stream that is in bfloat16 as well: outputs are near, the carry is that of the weights."""
    mixer, x, boundary = made(name, kind=torch.float32)
    x.requires_grad_()
    wanted, _ = mixer(x, boundary)
    with torch.autocast("cpu", torch.bfloat16):
        y, carry = mixer(x.bfloat16(), boundary)
        rest, left = mixer.step(x[-1].bfloat16(), boundary, carry)
    for found in (carry, left):
        assert found.dtype == mixer.carry_form(tuple(x.shape[2:]), boundary)[1]
    assert (y.float() - wanted).norm() <= 0.05 * wanted.norm()
    weighed(y.float()).backward()
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in mixer.parameters())
    assert rest.isfinite().all()
