"""Each family learns in a moment what a layer of decay and diffusion cannot."""

import pytest
import torch

from ssm_ops import ConvSSM, LocalExchange, SelectiveSteps, drive, learned_family

BOUNDARY, FRAMES = ("periodic",), 16


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def recurrence(x, advance):
    states = [x[0]]
    for frame in x[1:]:
        states.append(advance(states[-1]) + frame)
    return torch.stack(states)


def moving():
    """What came before moves on by one and a half voxels a step."""
    x = noise(FRAMES, 1, 12)
    return x, recurrence(x, lambda state: 0.35 * (state.roll(1, -1) + state.roll(2, -1)))


def flipping():
    """What came before moves on by a voxel and changes its sign."""
    x = noise(FRAMES, 1, 12)
    return x, recurrence(x, lambda state: -0.8 * state.roll(1, -1))


def ringing():
    """Every voxel rings: 0.9^k cos(1.3 k) after k steps."""
    x, k = noise(FRAMES, 1, 12), torch.arange(FRAMES)
    lag = k[:, None] - k
    response = torch.where(lag >= 0, 0.9**lag * torch.cos(1.3 * lag), 0)
    return x, torch.einsum("ts,scv->tcv", response, x)


def holding():
    """The last frame that came with a flag, in the second channel; nothing is read from that one."""
    flags = torch.rand(24, generator=torch.Generator().manual_seed(0)) < 0.25
    values, held, states = noise(24, 12), torch.zeros(12), []
    for value, flag in zip(values, flags, strict=True):
        held = value if flag else held
        states.append(held)
    flag = flags[:, None].expand(24, 12).float()
    return torch.stack([values * flag, 2 * flag - 1], 1), torch.stack([torch.stack(states), torch.zeros(24, 12)], 1)


TASKS = {
    "drift": (moving, lambda: ConvSSM(1, 4, learned_family("propagator", 4, BOUNDARY, drift=True))),
    "kernel": (flipping, lambda: ConvSSM(1, 4, learned_family("kernel", 4, BOUNDARY))),
    "pointwise": (ringing, lambda: ConvSSM(1, 4, learned_family("pointwise", 4))),
    "selective": (holding, lambda: ConvSSM(2, 4, steps=SelectiveSteps(2, 1, states=4))),
}


def unexplained(make, x, target, steps=50):
    """The share of the target's square that is left after some steps of Adam."""
    torch.set_num_threads(1)  # so little work is slower on two
    torch.manual_seed(0)
    module = make()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        (output,) = drive(module.program([x], BOUNDARY), LocalExchange())
        loss = (output - target).square().mean() / target.square().mean()
        loss.backward()
        optimiser.step()
    return loss.item()


@pytest.mark.parametrize("name", TASKS)
def test_what_only_this_family_can(name):
    task, make = TASKS[name]
    x, target = task()
    assert unexplained(make, x, target) < 0.06
    assert unexplained(lambda: ConvSSM(x.shape[1], 4), x, target) > 0.18
