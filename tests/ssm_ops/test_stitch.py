"""A shard scanned in two halves is the shard scanned at once, to round-off; when its carry comes is not in the bits."""

import pytest
import torch

from ssm_ops import Kernel, Pointwise, Propagator, scan
from ssm_ops.memory import Rooms
from ssm_ops.stitch import Stitching

CASES = {
    "images": ((20, 3, 12, 10), ("periodic", "reflect")),
    "odd sizes": ((20, 3, 15, 9), ("dirichlet", "reflect")),
    "volumes with a guard band": ((9, 3, 7, 12, 9), ("periodic", "reflect", "padded:4")),
    "lines": ((20, 3, 17), ("periodic",)),
    "one frame": ((1, 5, 33, 31), ("periodic", "periodic")),
    "a batch": ((2, 8, 3, 12, 10), ("periodic", "reflect")),
}
FAMILIES = {
    "propagator": Propagator(0.1, 0.2),
    "pointwise": Pointwise(torch.tensor([-0.1 + 0.3j])),
}


def problem(case, uneven):
    shape, boundary = CASES[case]
    noise = torch.Generator().manual_seed(len(case))
    x, before = torch.randn(shape, generator=noise), torch.randn(shape, generator=noise)
    frames = shape[len(shape) - len(boundary) - 2]
    return x, before, boundary, torch.rand(frames, generator=noise) + 0.5 if uneven else None


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_two_halves_are_one_scan(case, family, uneven):
    x, before, boundary, dt = problem(case, uneven)
    transition = FAMILIES[family]
    _, carry = scan(before, transition, boundary=boundary, backend="spectral")
    for entering in (None, carry):
        expected, leaving = scan(x, transition, boundary=boundary, carry=entering, dt=dt, backend="spectral")
        stitching = Stitching(transition, boundary)
        halves = stitching.shard(x, dt=dt)
        final = halves.keep()
        states = halves.finish(entering)
        torch.testing.assert_close(states, expected, rtol=0, atol=3e-6)
        torch.testing.assert_close(
            stitching.summary([halves], final)(entering), leaving, rtol=0, atol=1e-6 * leaving.abs().max()
        )

        at_once, same = stitching.shard(x, dt=dt).through(entering)
        assert torch.equal(at_once, states)
        assert torch.equal(same, final)


def test_the_bits_do_not_depend_on_threads():
    x, before, boundary, _ = problem("images", False)
    _, carry = scan(before, FAMILIES["propagator"], boundary=boundary)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        halves = Stitching(FAMILIES["propagator"], boundary).shard(x)
        found.append((halves.keep(), halves.finish(carry)))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_shards_of_many_sizes_use_one_room():
    rooms, kernel = Rooms(), Kernel(torch.full((1, 3, 3), 0.1))
    for frames in (8, 3, 8):
        x = torch.randn(frames, 4, 16, 16)
        halves = Stitching(kernel, ("periodic", "periodic"), rooms=rooms).shard(x)
        halves.keep()
        expected, _ = scan(x, kernel, boundary=("periodic", "periodic"), backend="spectral")
        assert torch.equal(halves.finish(None), expected)
    assert len(rooms._free) == 1
