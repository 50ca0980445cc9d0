"""`scan` against the float64 recurrence in pixel space: every family, boundary, cut; gradients; uneven time; gaps."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_ops import Grid, Kernel, Propagator, jobs, scan, spectral
from ssm_ops.transition import tensors
from tests.ssm_ops.cases import CHANNELS, FAMILIES, GRIDS, field_of, inputs, relative, transition, truth

PRECISIONS = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


@pytest.fixture
def small_tiles(monkeypatch):
    """Spans and tiles of a few frames, so that every scan of a test has several of them, and several strips."""
    monkeypatch.setattr(spectral, "TILE_BYTES", 256)
    monkeypatch.setattr(jobs, "SPAN_BYTES", 8192)


def backends(family):
    return ("spectral", "pixel") if family == "kernel" else ("spectral",)


CASES = [(family, backend, *grid) for family in FAMILIES for backend in backends(family) for grid in GRIDS]
EVERY_OTHER = [case for i, case in enumerate(CASES) if (i + i // len(GRIDS)) % 2 == 0]
"""Each family on half of the grids, each grid with half of the families."""


@pytest.mark.parametrize(("family", "backend", "shape", "boundary"), CASES)
@pytest.mark.usefixtures("small_tiles")
def test_scan_is_the_reference(family, backend, shape, boundary):
    given, grid = transition(family, boundary), transition(family, boundary).basis(shape, boundary, CHANNELS)
    x, more = inputs(shape, dtype=torch.float32), inputs(shape, 3, dtype=torch.float32, seed=1)
    expected, last = truth(x, given, boundary)
    after, _ = truth(more, given, boundary, state=last)
    for dtype, tolerance in PRECISIONS:
        states, carry = scan(x.to(dtype), given, boundary=boundary, backend=backend)
        assert states.dtype == (dtype.to_complex() if family == "pointwise" else dtype)
        assert relative(states, expected) <= tolerance
        assert relative(field_of(carry, grid), last) <= tolerance
        states, _ = scan(more.to(dtype), given, boundary=boundary, backend=backend, carry=carry)
        assert relative(states, after) <= tolerance


@pytest.mark.parametrize(("family", "backend", "shape", "boundary"), EVERY_OTHER)
@pytest.mark.usefixtures("small_tiles")
def test_gradients_to_everything(family, backend, shape, boundary):
    given = transition(family, boundary)
    x = inputs(shape, 4).requires_grad_()
    _, carry = scan(inputs(shape, 1, seed=1), given, boundary=boundary)
    names, values = zip(*tensors(given).items(), strict=True)
    dt = torch.tensor([[0.5, 1.0], [2.0, 0.3], [1.0, 1.0], [0.4, 1.5]]).double()
    mirrored = any(name in ("reflect", "dirichlet") for name in boundary)
    free = [
        name not in ("correction", "taps", "velocity") or not mirrored for name in names
    ]  # else tied to be symmetric
    values = [value.clone().requires_grad_(can) for value, can in zip(values, free, strict=True)]

    def call(x, carry, dt, *values):
        steps = {} if family == "kernel" else {"dt": dt}
        transition = type(given)(**dict(zip(names, values, strict=True)))
        states, left = scan(x, transition, boundary=boundary, carry=carry, backend=backend, **steps)
        return states, field_of(left, given.basis(shape, boundary, CHANNELS))

    arguments = (x, carry.requires_grad_(), dt.requires_grad_(family != "kernel"), *values)
    if backend == "spectral":
        assert torch.autograd.gradcheck(call, arguments, fast_mode=True)
        return
    # on pixels the carry is a field: compare where real fields can go
    grid = given.basis(shape, boundary, CHANNELS)
    field = field_of(carry.detach(), grid).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, field, *values: call(x, grid.uncropped.to_spectrum(field), dt, *values),
        (x, field, *values),
        fast_mode=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["spectral", "pixel"])
@pytest.mark.usefixtures("small_tiles")
def test_gradients_of_tied_taps_agree(backend):
    """Taps made symmetric from free numbers, on mirrored axes: both backends give the gradient to the free numbers."""
    free, x = torch.randn(2, 3, 3, dtype=torch.float64).mul(0.1).requires_grad_(), inputs((5, 4), 4)

    def call(free):
        taps = (free + free.flip(1) + free.flip(2) + free.flip((1, 2))) / 4
        return scan(x, Kernel(taps), boundary=("reflect", "dirichlet"), backend=backend)[0]

    assert torch.autograd.gradcheck(call, (free,))


@given(data=st.data(), case=st.sampled_from(CASES), tile=st.integers(64, 4096))
@settings(deadline=None, max_examples=60)
def test_any_cut_of_time_and_any_tile_gives_the_same(data, case, tile):
    family, backend, shape, boundary = case
    borders = data.draw(st.lists(st.integers(1, 15), unique=True, max_size=5).map(sorted))
    x, transition_ = inputs(shape, 16, dtype=torch.float32), transition(family, boundary)
    whole, final = scan(x, transition_, boundary=boundary, backend=backend)
    carry, pieces = None, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral, "TILE_BYTES", tile)
        patch.setattr(jobs, "SPAN_BYTES", 16 * tile)
        for start, stop in itertools.pairwise([0, *borders, 16]):
            states, carry = scan(x[start:stop], transition_, boundary=boundary, carry=carry, backend=backend)
            pieces.append(states)
    assert relative(torch.cat(pieces), whole) <= 1e-6
    assert relative(carry, final) <= 1e-6


@pytest.mark.parametrize("backend", ["spectral", "pixel"])
@pytest.mark.usefixtures("small_tiles")
def test_threads_change_no_bit(backend):
    x = inputs((17, 12), 20, dtype=torch.float32)
    given = Kernel(transition("kernel", ("periodic",) * 2, dtype=torch.float32).taps.clone().requires_grad_())
    results = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        states, carry = scan(x, given, boundary=("periodic",) * 2, backend=backend)
        results.append([states, carry, *torch.autograd.grad(states, given.taps, x)])
        assert torch.get_num_threads() == threads
    for other in results[1:]:
        assert all(torch.equal(one, another) for one, another in zip(results[0], other, strict=True))


@pytest.mark.parametrize("family", ["decaying", "drifting", "corrected", "pointwise"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.usefixtures("small_tiles")
def test_uneven_time_is_the_reference(family, per_channel):
    shape, boundary = (5, 8), ("dirichlet", "periodic")
    given, x = transition(family, boundary), inputs(shape, 12)
    dt = torch.rand(12, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
    dt = dt if per_channel else dt[:, :1].expand(-1, CHANNELS)
    states, _ = scan(x, given, boundary=boundary, dt=dt if per_channel else dt[:, 0])
    assert relative(states, truth(x, given, boundary, dt=dt)[0]) <= 1e-10


@pytest.mark.parametrize("dt", [2.0, torch.tensor(2.0), torch.full((6,), 2.0)])
def test_one_step_for_all(dt):
    boundary, x = ("reflect", "periodic"), inputs((4, 6), 6)
    for family in ("drifting", "kernel"):
        given = transition(family, boundary)
        states, _ = scan(x, given, boundary=boundary, dt=dt)
        expected, _ = truth(x, given, boundary, dt=torch.full((6, CHANNELS), 2.0))
        assert relative(states, expected) <= 1e-10


@pytest.mark.parametrize("family", FAMILIES)
def test_removed_frames_are_frames_without_input(family):
    """Frames removed, their steps merged into the next: the other states are those of zero inputs there, exactly."""
    shape, boundary = (6, 7), ("periodic", "reflect")
    given, x = transition(family, boundary), inputs(shape, 14)
    keep = torch.tensor([1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1], dtype=torch.bool)
    full, carry = scan(x, given, boundary=boundary, mask=keep, dt=torch.ones(14))
    times = torch.arange(14.0)[keep]
    merged = torch.diff(times, prepend=torch.tensor([-1.0]))
    short, left = scan(x[keep], given, boundary=boundary, dt=merged)
    torch.testing.assert_close(short, full[keep], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(left, carry, rtol=1e-12, atol=1e-12)


def test_masked_voxels_add_nothing_whatever_stands_there():
    boundary, x = ("reflect", "periodic"), inputs((4, 6), 8)
    mask = torch.rand(8, 1, 4, 6, generator=torch.Generator().manual_seed(3)) > 0.3
    holes = torch.where(mask, x, torch.nan).requires_grad_()
    given = transition("drifting", boundary)
    states, _ = scan(holes, given, boundary=boundary, mask=mask)
    torch.testing.assert_close(states, scan(torch.where(mask, x, 0.0), given, boundary=boundary)[0])
    (gradient,) = torch.autograd.grad(states.sum(), holes)
    assert (gradient == 0).logical_or(mask).all()


@pytest.mark.parametrize("backend", ["spectral", "pixel"])
@pytest.mark.usefixtures("small_tiles")
def test_a_batch_is_its_samples(backend):
    boundary = ("periodic", "dirichlet")
    given = transition("kernel", boundary)
    x = torch.stack([inputs((6, 5), seed=seed) for seed in range(3)]).requires_grad_()
    carry = scan(x.detach()[:, :2], given, boundary=boundary)[1]
    states, left = scan(x, given, boundary=boundary, carry=carry, backend=backend)
    (gradient,) = torch.autograd.grad(states.square().sum(), x)
    for n in range(3):
        one = x[n].detach().requires_grad_()
        own, own_left = scan(one, given, boundary=boundary, carry=carry[n], backend=backend)
        torch.testing.assert_close(states[n], own)
        torch.testing.assert_close(left[n], own_left)
        torch.testing.assert_close(gradient[n], torch.autograd.grad(own.square().sum(), one)[0])


def test_a_batch_may_have_times_of_its_own():
    boundary, given = ("periodic",), transition("drifting", ("periodic",))
    x, dt = torch.stack([inputs((6,)), inputs((6,), seed=1)]), torch.rand(2, 9, dtype=torch.float64)
    dt.requires_grad_()
    states, _ = scan(x, given, boundary=boundary, dt=dt)
    (gradient,) = torch.autograd.grad(states.square().sum(), dt)
    for n in range(2):
        own = dt[n].detach().requires_grad_()
        one, _ = scan(x[n], given, boundary=boundary, dt=own)
        torch.testing.assert_close(states[n], one)
        torch.testing.assert_close(gradient[n], torch.autograd.grad(one.square().sum(), own)[0])


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_arguments_are_left_alone(family, shape, boundary):
    x, given = inputs(shape), transition(family, boundary)
    _, carry = scan(x, given, boundary=boundary)
    before, carried = x.clone(), carry.clone()
    for backend in backends(family):
        scan(x, given, boundary=boundary, carry=carry, backend=backend)
        assert torch.equal(x, before)
        assert torch.equal(carry, carried)


def test_inputs_in_any_order_of_memory():
    x = inputs((6, 5)).permute(0, 1, 3, 2)
    given = transition("kernel", ("periodic", "reflect"))
    expected, _ = scan(x.contiguous(), given, boundary=("periodic", "reflect"))
    for backend in ("spectral", "pixel"):
        torch.testing.assert_close(scan(x, given, boundary=("periodic", "reflect"), backend=backend)[0], expected)


def test_slow_modes_stay_exact_over_long_times_in_any_cut():
    """A memory of 10,000 steps over 30,000 frames: float32 against the float64 recurrence, whole and in chunks."""
    slow = Propagator(1e-4)
    x = torch.rand(30_000, 1, 1, generator=torch.Generator().manual_seed(0))
    expected, state = [], 0.0
    for value in x.double().flatten().tolist():
        state = np.exp(-1e-4) * state + value
        expected.append(state)
    whole, _ = scan(x, slow, boundary=("reflect",))
    carry, pieces = None, []
    for chunk in x.split(64):
        states, carry = scan(chunk, slow, boundary=("reflect",), carry=carry)
        pieces.append(states)
    for states in (whole, torch.cat(pieces)):
        assert relative(states.flatten(), torch.tensor(expected, dtype=torch.float64)) <= 1e-5


@pytest.mark.parametrize("family", ["drifting", "kernel", "pointwise"])
def test_no_device_but_the_inputs(family):
    """On the meta device nothing can be read back, so any `.item()`, `.cpu()` or numpy in the loop would raise."""
    boundary = ("periodic", "reflect")
    given = transition(family, boundary)
    meta = type(given)(**{name: value.to("meta").requires_grad_() for name, value in tensors(given).items()})
    x = torch.empty(6, CHANNELS, 8, 5, device="meta", requires_grad=True)
    for backend in backends(family):
        states, carry = scan(x, meta, boundary=boundary, backend=backend)
        states, carry = scan(x, meta, boundary=boundary, carry=carry, backend=backend)
        gradients = torch.autograd.grad(states.abs().sum(), (x, *tensors(meta).values()))
        assert states.shape == x.shape
        assert {tensor.device.type for tensor in (states, carry, *gradients)} == {"meta"}
    if family == "drifting":
        dt = torch.empty(6, device="meta", requires_grad=True)
        assert torch.autograd.grad(scan(x, meta, boundary=boundary, dt=dt)[0].sum(), dt)[0].is_meta


@pytest.mark.parametrize("family", FAMILIES)
def test_what_other_devices_do_is_the_compiled_scan(family, monkeypatch):
    """Torch's transforms and loops, which run where nothing is compiled, run here on the CPU."""
    boundary = ("periodic", "reflect")
    given, x = transition(family, boundary), inputs((6, 5), 7).requires_grad_()
    dt = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0]).double()
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(spectral, "compiles", lambda *_: False)
            monkeypatch.setattr(spectral, "COMPILED", spectral.TORCH)
        for steps in (None, dt):
            states, carry = scan(x, given, boundary=boundary, dt=steps, backend="spectral")
            results.append([states, carry, torch.autograd.grad(states.abs().square().sum(), x)[0]])
    for one, other in zip(results[:2], results[2:], strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


class TestRefusals:
    x = inputs((6, 5))

    @pytest.mark.parametrize(
        ("given", "arguments", "message"),
        [
            (Propagator(0.1), {"boundary": ("mirror", "periodic")}, "boundary 'mirror' of axis 0 is unknown"),
            (Propagator(0.1), {"boundary": ("periodic:3",) * 2}, "boundary 'periodic:3' of axis 0 is unknown"),
            (Propagator(0.1), {"boundary": ("reflect",) * 4}, "4 boundaries"),
            (Propagator(0.1), {"backend": "fft"}, "backend 'fft' is unknown; use one of auto, spectral, pixel"),
            (Propagator(0.1), {"backend": "pixel"}, "reaches every voxel in one step; use 'spectral'"),
            (
                Propagator(0.1, 0.2, (0.0, 0.5)),
                {"boundary": ("periodic", "reflect")},
                "velocity along axis 1, whose boundary is reflect.*periodic or padded",
            ),
            (Propagator(0.1, 0.2, 0.5), {}, "velocity has 1 components and the grid 2 axes"),
            (Propagator(torch.ones(3)), {}, "decay has 3 channels and the input 2"),
            (Kernel(torch.ones(2, 3)), {}, "kernel has 1 axes and the grid 2"),
            (
                Kernel(torch.arange(18.0).reshape(2, 3, 3)),
                {"boundary": ("periodic", "dirichlet")},
                "kernel is not symmetric along axis 1, whose boundary is dirichlet.*periodic or padded",
            ),
            (Kernel(torch.ones(2, 2, 3)), {"boundary": ("reflect", "periodic")}, "not symmetric along axis 0"),
            (
                Propagator(0.1, correction=torch.arange(3.0).reshape(1, 1, 3)),
                {"boundary": ("periodic", "reflect")},
                "axis 1",
            ),
            (Kernel(torch.ones(2, 3, 3)), {"dt": 0.5}, "whole numbers"),
            (Kernel(torch.ones(2, 3, 3)), {"dt": torch.ones(9, requires_grad=True)}, "whole numbers"),
            (Kernel(torch.ones(2, 3, 3)), {"dt": 2.0, "backend": "pixel"}, "'pixel' takes steps of 1"),
            (Propagator(0.1), {"dt": torch.ones(8)}, r"dt of shape \(8,\) for 9 frames of 2 channels"),
            (Propagator(0.1), {"dt": torch.tensor([1.0] * 8 + [-2.0])}, "dt holds -2; time does not run backward"),
            (Propagator(0.1), {"mask": torch.ones(4, dtype=torch.bool)}, r"mask of shape \(4,\) against input"),
            (
                Propagator(0.1),
                {"carry": torch.zeros(2, 6, 5)},
                r"carry of shape \(2, 6, 5\) where \(2, 6, 3\) is expected",
            ),
        ],
    )
    def test_message(self, given, arguments, message):
        with pytest.raises(ValueError, match=message):
            scan(self.x, given, **{"boundary": ("periodic", "periodic"), **arguments})

    @pytest.mark.parametrize("name", ["decay", "diffusivity"])
    def test_negative_rates(self, name):
        with pytest.raises(ValueError, match=f"{name} -0.5 is negative, so states would grow"):
            Propagator(**{"decay": 0.1, name: torch.tensor([0.2, -0.5])})

    def test_empty_axes(self):
        with pytest.raises(ValueError, match="no axis empty"):
            scan(self.x[:0], Propagator(0.1), boundary=("periodic",) * 2)
        with pytest.raises(ValueError, match="axis without voxels"):
            Grid((4, 0), ("periodic",) * 2)
