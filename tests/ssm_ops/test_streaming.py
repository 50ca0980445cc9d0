"""The compiled walk over frames against the same scan in torch: grids wider than the lanes, every boundary."""

import numpy as np
import pytest
import torch

from ssm_ops import Grid, Kernel, Propagator, final_carry, jobs, scan, spectral
from tests.ssm_ops.cases import inputs, relative

KINDS = ("periodic", "reflect", "dirichlet", "padded:3")
SHAPES = [
    (16, 16),
    (35, 18),
    (20, 35),
    (1, 33),
    (33, 1),
    (18, 256),
    (6, 17, 20),
    (1, 19, 2),
    (4, 1, 1),
]
CASES = [
    (shape, tuple(KINDS[(first + step * axis) % 4] for axis in range(len(shape))))
    for shape in SHAPES
    for first, step in (
        [(i, 0) for i in range(4)] if len(shape) == 1 else [(0, 0), (1, 0), (3, 1), (1, 3), (3, 3), (0, 2)]
    )
]


@pytest.mark.parametrize(("shape", "boundary"), CASES)
@pytest.mark.parametrize("uneven", [False, True])
def test_it_is_what_torch_computes(shape, boundary, uneven, monkeypatch):
    mirrored = [name in ("reflect", "dirichlet") for name in boundary]
    velocity = tuple(0.0 if mirror else 0.3 for mirror in mirrored)
    decay = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    x = inputs(shape, 4, channels=3).requires_grad_()
    before, dt = inputs(shape, 1, channels=3, seed=3), torch.tensor([0.5, 1.0, 0.2, 3.0]) if uneven else None
    carry = final_carry(before, Propagator(decay.detach(), 0.3, velocity), boundary=boundary).requires_grad_()
    results = []
    for compiles in (True, False):
        if not compiles:
            monkeypatch.setattr(spectral, "compiles", lambda *_: False)
            monkeypatch.setattr(spectral, "COMPILED", spectral.TORCH)
        given = Propagator(decay, 0.3, velocity)
        states, left = scan(x, given, boundary=boundary, carry=carry, dt=dt, backend="spectral")
        loss = (states * torch.cos(states)).sum() + (left * left.conj()).real.sum()
        to_x, to_decay, to_carry = torch.autograd.grad(loss, (x, decay, carry))
        grid = Grid(shape, boundary)
        weight = grid.adjoint_weight(x.dtype, x.device)  # a gradient to a spectrum means what it is to real fields
        to_state = grid.uncropped.to_field((to_carry / weight).clone())
        results.append([states.detach(), left.detach(), to_x, to_decay, to_state])
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 1e-11


@pytest.mark.parametrize(("shape", "boundary"), CASES)
def test_spectra_come_back_from_lanes(shape, boundary):
    grid = Grid(shape, boundary)
    spectrum = Grid.to_spectrum(grid.uncropped, inputs(grid.ring, 2, channels=3))
    for job in jobs.jobs(inputs(shape, 1, channels=3)[None], grid, 1):
        own = spectrum[:, job.channels]
        back = torch.zeros_like(own)
        job.leave(job.enter(own), back)
        assert relative(back, own) < 1e-14


def test_a_spectrum_enters_as_that_of_a_real_field():
    """A gradient to a spectrum may differ at a frequency and its opposite; real fields see the mean."""
    grid = Grid((6, 4), ("periodic", "periodic"))
    noise = torch.view_as_complex(torch.randn(1, 1, *grid.spectrum_shape, 2, dtype=torch.float64))
    (job,) = jobs.jobs(inputs((6, 4), 1, channels=1)[None], grid, 1)
    back = torch.zeros_like(noise)
    job.leave(job.enter(noise), back)
    torch.testing.assert_close(back, grid.to_spectrum(grid.to_field(noise.clone())))


@pytest.mark.parametrize("view", ["strided", "expanded", "transposed"])
def test_inputs_and_gradients_in_any_layout(view):
    plain = inputs((9, 20), 12, channels=4)
    if view == "strided":
        x = torch.repeat_interleave(plain, 2, dim=0)[::2]
    elif view == "expanded":
        plain = plain[:1, :, :1, :1].expand(12, 4, 9, 20).contiguous()
        x = plain[:1, :, :1, :1].expand(12, 4, 9, 20)
    else:
        x = plain.mT.contiguous().mT
    assert view == "strided" or not x.is_contiguous()
    results = []
    for one in (x, plain):
        leaf = one.detach().requires_grad_()
        states, _ = scan(leaf, Propagator(0.1, 0.2), boundary=("periodic", "reflect"), backend="spectral")
        results.append([states, *torch.autograd.grad(states, leaf, one)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found.detach(), expected.detach())


@pytest.mark.parametrize("family", ["propagator", "kernel"])
def test_few_different_steps_are_taken_once(family, monkeypatch):
    """A calendar has months of three lengths: their transitions are taken once, not for every frame."""
    months = torch.tensor([31.0, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] * 2, dtype=torch.float64)
    x, taken = inputs((6, 20), 24, channels=3), []
    boundary = ("reflect", "periodic")
    taps = torch.full((1, 3, 3), 0.1, dtype=torch.float64, requires_grad=True)
    decay = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64, requires_grad=True)
    results = []
    for bytes_held in (2**20, 1):
        monkeypatch.setattr(jobs, "SPAN_BYTES", bytes_held)
        given = Kernel(taps) if family == "kernel" else Propagator(decay, 0.01)
        taken.append(set())
        with monkeypatch.context() as patch:
            change = type(given).change

            def counted(*args, change=change):
                taken[-1].add(len(args[2]))
                return change(*args)

            patch.setattr(type(given), "change", counted)
            states, left = scan(x, given, boundary=boundary, dt=months, backend="spectral")
        wanted = taps if family == "kernel" else decay
        results.append([states.detach(), left.detach(), torch.autograd.grad(states.square().sum(), wanted)[0]])
    assert taken == [{3}, {1}]
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 1e-13


def test_how_channels_are_grouped_changes_no_bit():
    """Rows of several channels share the lanes where there are channels enough for the threads."""
    x, given = inputs((16, 12), 5, channels=16, dtype=torch.float32), Propagator(torch.linspace(0.1, 0.5, 16), 0.2)
    grid, results = Grid((16, 12), ("periodic", "reflect")), []
    cuts = [jobs.jobs(x[None], grid, threads) for threads in (1, 8)]
    widths = [{job.channels.stop - job.channels.start for job in cut} for cut in cuts]
    assert widths[0] != widths[1] == {1}
    granted = torch.get_num_threads()
    for threads in (1, 8):
        torch.set_num_threads(threads)
        leaf = x.clone().requires_grad_()
        states, left = scan(leaf, given, boundary=grid.boundary, backend="spectral")
        results.append([states.detach(), left.detach(), *torch.autograd.grad(states, leaf, x)])
    torch.set_num_threads(granted)
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("reflect", "dirichlet")])
def test_what_is_not_a_number_stays_in_its_channel_and_its_later_frames(boundary):
    x = inputs((9, 12), 6, channels=16)
    clean, _ = scan(x, Propagator(0.1, 0.2), boundary=boundary, backend="spectral")
    x[2, 5, 3, 4] = torch.nan
    states, _ = scan(x, Propagator(0.1, 0.2), boundary=boundary, backend="spectral")
    assert states[2:, 5].isnan().all()
    others = [channel for channel in range(16) if channel != 5]
    assert torch.equal(states[:, others], clean[:, others])
    assert torch.equal(states[:2], clean[:2])


@pytest.mark.parametrize("steps", ["few", "many"])
def test_uneven_time_and_tied_parameters_have_the_same_bits_on_any_number_of_threads(steps):
    x, granted, found = inputs((16, 12), 60, channels=16), torch.get_num_threads(), []
    dt = torch.tensor([0.9, 1.0, 1.1] * 20) if steps == "few" else torch.linspace(0.1, 2.0, 60)
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        decay = torch.full((1,), 0.1, dtype=torch.float64, requires_grad=True)
        states, _ = scan(x, Propagator(decay, 0.2), boundary=("periodic", "reflect"), dt=dt, backend="spectral")
        found.append(torch.autograd.grad(states.square().sum(), decay)[0].item())
    torch.set_num_threads(granted)
    assert found[0] == found[1] == found[2]
