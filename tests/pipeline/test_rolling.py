"""Fed back, forecasts are those of the plain loop: in float64, one frame after the other, all again at each step."""

from itertools import islice

import numpy as np
import pytest
import torch

from pipeline.checkpoint import to_arrays
from pipeline.model import Forecaster, gap
from pipeline.network.settings import ModelSettings
from pipeline.rolling import Standing, roll
from tests.whole_model import made

STEPS = 7


def trained_like(masks=0, **settings):
    """A model whose every weight says something, in float64."""
    torch.manual_seed(3)
    model = Forecaster(
        ModelSettings(channels=3, states=4, **settings),
        volume_channels=2,
        boundary=("reflect", "reflect", "periodic"),
        depth=1,
        masks=masks,
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.double()


def frames_of(count, channels, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, channels, 1, 5, 6)))


def after(model, frames):
    """Standing at the last of some frames."""
    _, carries = model(frames[:-1])
    return Standing(frames[-1], carries)


def rolled(model, standing, steps=STEPS):
    return [found for found, _ in islice(roll(model, standing), steps)]


def test_it_is_the_plain_loop():
    model, frames = trained_like(), frames_of(9, 2)
    with torch.no_grad():
        found = torch.stack(rolled(model, after(model, frames)))
    weights, seen = to_arrays(model.state_dict()), frames[:, :, 0].numpy()
    for _ in range(STEPS):
        seen = np.concatenate([seen, made(weights, ModelSettings(), seen, ("reflect", "periodic"))[-1:]])
    np.testing.assert_allclose(found[:, :, 0].numpy(), seen[9:], rtol=1e-12, atol=1e-12)


def test_masks_of_the_last_frame_seen_stay():
    model, frames = trained_like(masks=1), frames_of(6, 3)
    frames[:, 2] = (frames[:, 2] > -0.5).double()
    frames[:, :2] *= frames[:, 2:]
    with torch.no_grad():
        seen = frames  # the same, all frames at once
        for forecast, standing in islice(roll(model, after(model, frames)), 3):
            assert torch.equal(standing.frame, torch.cat([forecast, frames[-1, 2:]]))
            torch.testing.assert_close(forecast, model(seen)[0][-1], rtol=1e-12, atol=1e-12)
            seen = torch.cat([seen, standing.frame[None]])


@pytest.mark.parametrize("masks", [0, 1])
def test_gaps_are_read_ahead_of_the_last_frame_seen(masks):
    """One after the other they are all at once; and what is not seen tells nothing."""
    model, frames = trained_like(masks, reads="levels", ahead="gaps"), frames_of(9, 2 + masks)
    with torch.no_grad():
        found = torch.stack(rolled(model, after(model, frames[:5]), 4))
        whole = model(torch.cat([frames[:5], gap(frames[5:])]))[0][4:8]
        torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-12)
        told = model(torch.cat([frames[:5], torch.zeros_like(frames[5:])]))[0][4:8]
    assert torch.equal(told[0], whole[0])
    assert (told[1:] - whole[1:]).abs().amax((1, 2, 3, 4)).min() > 1e-3  # a frame of zeros is no gap


@pytest.mark.parametrize(
    "settings", [{}, {"transition": "pointwise", "selective": True}, {"reads": "levels", "ahead": "gaps"}]
)
def test_it_goes_on_from_anywhere_to_the_bit(settings):
    model, frames = trained_like(**settings).float(), frames_of(6, 2).float()
    with torch.no_grad():
        standing = after(model, frames)
        whole = rolled(model, standing)
        for step, (_, one) in enumerate(islice(roll(model, standing), 3), start=1):
            again = rolled(model, Standing(one.frame.clone(), one.carries), STEPS - step)
            assert all(torch.equal(a, b) for a, b in zip(again, whole[step:], strict=True))


def test_gradients_reach_the_first_frames_and_the_weights():
    model, frames = trained_like(), frames_of(5, 2)
    weight, scale = model.encoder.weight, torch.ones((), dtype=torch.float64, requires_grad=True)

    def error(scale):
        return rolled(model, after(model, frames * scale), 3)[-1].square().sum()

    by_scale, by_weight = torch.autograd.grad(error(scale), [scale, weight])
    step, direction = 1e-5, torch.randn_like(weight)
    with torch.no_grad():
        along_scale = (error(1 + step) - error(1 - step)) / (2 * step)
        weight.add_(step * direction)
        high = error(1.0)
        weight.sub_(2 * step * direction)
        along_weight = (high - error(1.0)) / (2 * step)
    torch.testing.assert_close(by_scale, along_scale, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close((by_weight * direction).sum(), along_weight, rtol=1e-6, atol=1e-8)
