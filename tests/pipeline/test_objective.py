"""The loss of a step and its gradient: rolled out, over several windows, against a loop over frames in float64."""

import dataclasses

import pytest
import torch

from pipeline.dataset import Sample
from pipeline.mesh import Alone
from pipeline.model import Forecaster, gap
from pipeline.network.settings import ModelSettings
from pipeline.roles import Roles
from pipeline.training.curriculum import Cut
from pipeline.training.objective import Objective
from pipeline.training.settings import TrainSettings

SETTINGS = TrainSettings(window=8, burn_in=2, horizon=3)


def forecaster(masks=0, **choice):
    torch.manual_seed(0)
    settings = ModelSettings(**{"channels": 3, "states": 4, "layers": 1} | choice)
    boundary = ("reflect", "reflect", "periodic")
    model = Forecaster(settings, volume_channels=2, boundary=boundary, depth=1, masks=masks).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def every(model):
    """All channels are read and made."""
    places = tuple(range(model.volume_channels + model.masks))
    return Roles(("u", "v"), ("u", "v"), places, places)


def window(masks=0, *, seed=1, frames=8):
    draw = torch.Generator().manual_seed(seed)
    data = torch.randn(frames, 2, 1, 4, 5, generator=draw, dtype=torch.float64)
    mask = (torch.rand(frames, masks, 1, 4, 5, generator=draw) < 0.7).double()
    return torch.cat([data * mask if masks else data, mask], dim=1)


def found(model, settings, *windows):
    """The loss of a step and its gradients."""
    model.zero_grad()
    cut = settings.cut(1)
    objective = Objective(settings, model, every(model), frame=2 * 4 * 5, member=Alone())
    loss = objective.loss([Sample(window, None) for window in windows], cut)
    return loss, [parameter.grad.clone() for parameter in model.parameters()]


def looped(model, frames, cut):
    """The mean squared error frame by frame: true frames are read, then forecasts with the masks of the last one, or
    gaps."""
    carries, squares, read = None, [], len(frames) - cut.horizon
    for time in range(len(frames) - 1):
        if time < read:
            frame = frames[time]
        elif model.settings.gaps:
            frame = gap(frames[0])
        else:
            frame = torch.cat([forecast, frames[read - 1, 2:]])
        (forecast,), carries = model(frame[None], carries)
        if time >= cut.burn_in:
            errors = forecast - frames[time + 1, :2]
            there = frames[time + 1, 2:].bool().expand_as(errors) if model.masks else torch.ones_like(errors).bool()
            squares.append(errors[there].square())
    return torch.cat(squares).mean()


GAPS = {"reads": "levels", "ahead": "gaps"}
CASES = [({}, 0, 3), (GAPS, 1, 4), ({"transition": "pointwise", "selective": True}, 0, 5), ({}, 1, 3)]


@pytest.mark.parametrize(("choice", "masks", "horizon"), CASES)
def test_rolled_out_it_is_the_loop_over_frames_and_so_are_its_gradients(choice, masks, horizon):
    model, frames = forecaster(masks, **choice), window(masks)
    settings = dataclasses.replace(SETTINGS, horizon=horizon)
    loss, gradients = found(model, settings, frames)
    expected = looped(model, frames, Cut(8, 2, horizon))
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for one, other in zip(gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_the_gradient_of_several_windows_is_the_mean_of_theirs():
    """Each weighted by how many values of it are scored."""
    model, windows = forecaster(masks=1), [window(masks=1, seed=seed) for seed in range(4)]
    settings = dataclasses.replace(SETTINGS, horizon=1)
    alone = [found(model, settings, one) for one in windows]
    valued = [int(one[3:, 2:].sum()) for one in windows]
    shares = [count / sum(valued) for count in valued]
    loss, gradients = found(model, dataclasses.replace(settings, batch=4), *windows)
    assert loss == pytest.approx(sum(share * one for share, (one, _) in zip(shares, alone, strict=True)), rel=1e-12)
    for number, gradient in enumerate(gradients):
        mean = sum(share * grads[number] for share, (_, grads) in zip(shares, alone, strict=True))
        torch.testing.assert_close(gradient, mean, rtol=1e-10, atol=1e-12)


def test_a_horizon_of_one_is_the_forecast_of_the_whole_window_to_the_bit():
    model, frames = forecaster().float(), window().float()
    loss, gradients = found(model, dataclasses.replace(SETTINGS, horizon=1), frames)
    plain = (model(frames)[0][2:-1] - frames[3:]).square().sum() / (5 * 40)
    assert loss == plain.item()
    assert all(map(torch.equal, gradients, torch.autograd.grad(plain, list(model.parameters()))))


@pytest.mark.parametrize(
    ("choice", "masks", "horizon"),
    [
        ({"layers": 2}, 0, 3),
        ({"transition": "kernel", "gate_taps": 3}, 1, 1),
        ({"transition": "pointwise"}, 0, 5),
        (GAPS, 0, 4),
    ],
)
def test_windows_that_go_together_are_those_that_go_one_after_another(choice, masks, horizon):
    model, windows = forecaster(masks, **choice), [window(masks, seed=seed) for seed in (1, 2, 3, 4, 5)]
    settings = dataclasses.replace(SETTINGS, horizon=horizon, batch=5)
    expected, gradients = found(model, settings, *windows)
    for together in (2, 5):  # the last group of 2 is one alone
        loss, own = found(model, dataclasses.replace(settings, together=together), *windows)
        assert loss == pytest.approx(expected, rel=1e-12)
        for one, other in zip(own, gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_what_cannot_go_together_is_refused():
    with pytest.raises(ValueError, match="together is 2 and mixer gru"):
        TrainSettings(ModelSettings(mixer="gru"), together=2)
    with pytest.raises(ValueError, match="together is 2 and selective True"):
        TrainSettings(batch=2, together=2, model=ModelSettings(selective=True))
    with pytest.raises(ValueError, match="together is 2 and recompute 8"):
        TrainSettings(batch=2, together=2, recompute=8)
