"""The recurrence in pixel space: one step at a time, in O(1) memory, the same states as the scan."""

from functools import lru_cache

import pytest
import torch

from ssm_ops import Grid, Kernel, Propagator, choice, pixel, scan, step
from tests.ssm_ops.cases import GRIDS, inputs, relative, transition


@pytest.mark.parametrize(
    ("shape", "boundary"), [case for case in GRIDS if not any("padded" in name for name in case[1])]
)
def test_step_after_step_is_the_scan(shape, boundary):
    given, x = transition("kernel", boundary), inputs(shape)
    expected, carry = scan(x, given, boundary=boundary, backend="spectral")
    state = torch.zeros_like(x[0])
    for t, frame in enumerate(x):
        state = step(state, frame, given, boundary)
        assert relative(state, expected[t]) < 1e-12
    assert relative(Grid(shape, boundary).to_spectrum(state), carry) < 1e-12


@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_the_loop_of_other_devices_is_the_compiled_walk(shape, boundary):
    given, x = transition("kernel", boundary), inputs(shape)[None]
    grid = given.basis(shape, boundary, x.shape[2])
    _, carry = scan(inputs(shape, 2, seed=1)[None], given, boundary=boundary, backend="pixel")
    for entering in (None, carry):
        for one, other in zip(
            pixel.loop(x, given, grid, entering), pixel.forward(x, given, grid, entering), strict=True
        ):
            assert relative(one, other) < 1e-12


def test_step_takes_a_batch_and_gives_gradients():
    boundary = ("periodic", "reflect")
    taps = transition("kernel", boundary).taps.clone()
    state, x = inputs((4, 5), 3).requires_grad_(), inputs((4, 5), 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda state, x: step(state, x, Kernel(taps), boundary), (state, x))


def test_kernels_of_any_size():
    for taps in ((9, 9), (4, 1), (1, 6), (7, 2), (11, 3)):
        kernel = Kernel(torch.randn(2, *taps, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 100)
        x, boundary = inputs((5, 8)), ("periodic", "padded:2")
        spectral, _ = scan(x, kernel, boundary=boundary, backend="spectral")
        pixel, _ = scan(x, kernel, boundary=boundary, backend="pixel")
        assert relative(pixel, spectral) < 1e-12


def test_a_padded_axis_has_no_single_step():
    with pytest.raises(ValueError, match="guard band of a padded axis is part of the state"):
        step(torch.zeros(2, 4), torch.zeros(2, 4), Kernel(torch.ones(2, 3)), ("padded:3",))


def test_auto_measures_once_for_a_shape(monkeypatch):
    calls = []
    original = choice.fastest.__wrapped__

    def counted(*question):
        calls.append(question)
        return original(*question)

    monkeypatch.setattr(choice, "fastest", lru_cache(counted))
    x, kernel = inputs((6, 5), 20, dtype=torch.float32), Kernel(torch.ones(2, 3, 3) / 20)
    first, _ = scan(x, kernel, boundary=("reflect", "periodic"))
    second, _ = scan(x, kernel, boundary=("reflect", "periodic"))
    assert torch.equal(first, second)
    assert len(calls) == 1
    scan(x.requires_grad_(), kernel, boundary=("reflect", "periodic"))
    assert len(calls) == 2
    assert choice.choose(x[None], Propagator(0.1), None, None, False, scan) == "spectral"
