"""The forecaster against its float64 twin, its starting point, and what it promises about warmer worlds."""

import json

import numpy as np
import pytest
import torch

from pipeline.baselines import ExponentialAverage
from pipeline.model import Forecaster, exchanges
from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError
from ssm_ops import LocalExchange, drive
from tests.whole_model import made as reference

CASES = [
    ((1, 6, 5), ("reflect", "reflect", "reflect")),
    ((1, 5, 8), ("reflect", "reflect", "periodic")),
    ((3, 4, 5), ("reflect", "periodic", "reflect")),
]


CHOICES = [
    {"drift": True, "taps": 3},
    {"selective": True},
    {"transition": "kernel"},
    {"transition": "pointwise"},
    {"transition": "pointwise", "selective": True},
]


def model(boundary, depth, *, stirred=True, channels=1, **choice):
    torch.manual_seed(0)
    made = Forecaster(
        ModelSettings(channels=4, states=5, layers=2, **choice),
        volume_channels=channels,
        boundary=boundary,
        depth=depth,
    )
    if stirred:  # away from the starting point, where whole paths are zero
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                size = 0.01 if name.endswith("raw_taps") else 0.2  # kernels of a larger sum are scaled down
                parameter.add_(size * torch.randn_like(parameter))
    return made


def frames(grid, count=20, channels=1):
    return torch.randn(count, channels, *grid, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("grid", "boundary"), CASES)
def test_the_whole_model_is_its_reference(grid, boundary, channels):
    made, x = model(boundary, grid[0], channels=channels), frames(grid, channels=channels)
    with torch.no_grad():
        actual, _ = made(x)
    weights = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    images = x.squeeze(2) if grid[0] == 1 else x
    expected = reference(weights, made.settings, images.numpy(), made.boundary).reshape(x.shape)
    assert np.linalg.norm(actual.numpy() - expected) <= 1e-5 * np.linalg.norm(expected - x.numpy())


def test_a_model_of_levels_is_its_reference_and_starts_as_the_average_from_zero():
    made, x = model(("reflect",) * 3, 1, channels=2, reads="levels"), frames((1, 6, 5), channels=2)
    weights = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    expected = reference(weights, made.settings, x.squeeze(2).numpy(), made.boundary).reshape(x.shape)
    with torch.no_grad():
        np.testing.assert_allclose(made(x)[0], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        started = model(("reflect",) * 3, 1, stirred=False, channels=2, reads="levels")(x)[0]
    average = torch.zeros(2, 1, 6, 5)
    for frame, forecast in zip(x, started, strict=True):
        average = average + 0.2 * (frame - average)
        torch.testing.assert_close(forecast, average, rtol=0, atol=5e-5)


@pytest.mark.parametrize(("grid", "boundary"), CASES)
@pytest.mark.parametrize("cuts", [[20], [7, 7, 6], [1, 1, 1, 1, 16], [16, 4]])
def test_chunks_and_shards_do_not_matter(grid, boundary, cuts):
    made, x = model(boundary, grid[0]), frames(grid)
    with torch.no_grad():
        whole, _ = made(x)
        carries, shards = None, []
        for chunk in x.split(cuts):
            forecast, carries = made(chunk, carries)
            shards.append(forecast)
        chunks = drive(made.program(list(x.split(cuts))), LocalExchange())
    increment = (whole - x).norm()
    assert (torch.cat(shards) - whole).norm() <= 1e-5 * increment
    assert (torch.cat(chunks) - whole).norm() <= 1e-5 * increment
    assert len(carries) == exchanges(made.settings)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize(("grid", "boundary"), CASES[1:])
def test_chunks_and_shards_do_not_matter_to_any_transition(grid, boundary, choice):
    made, x = model(boundary, grid[0], **choice), frames(grid)
    with torch.no_grad():
        whole, _ = made(x)
        exchange, shards = LocalExchange(), []
        for shard in x.split([9, 1, 10]):
            shards += drive(made.program(list(shard.split(4))), exchange)
            exchange.next_shard()
    assert (torch.cat(shards) - whole).norm() <= 1e-5 * (whole - x).norm()
    again = Forecaster.from_description(json.loads(json.dumps(made.description())))
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        assert torch.equal(again(x)[0], whole)


@pytest.mark.parametrize("choice", [{}, *CHOICES], ids=str)
def test_it_starts_as_the_exponential_average(choice):
    made, x = model(("reflect", "reflect", "periodic"), 1, stirred=False, **choice), frames((1, 6, 5))
    average = ExponentialAverage(made.settings.rate)
    with torch.no_grad():
        actual, _ = made(x)
    for frame, forecast in zip(x.numpy(), actual.numpy(), strict=True):
        average.update(frame)
        np.testing.assert_allclose(forecast, average.forecast(), atol=5e-5)


def test_a_warmer_world_is_forecast_as_warmer_by_as_much():
    made, x = model(("reflect",) * 3, 1), frames((1, 6, 5))
    with torch.no_grad():
        torch.testing.assert_close(made(x + 5)[0], made(x)[0] + 5, rtol=0, atol=1e-5)


def test_the_forecast_sees_no_later_frame():
    made, x = model(("reflect",) * 3, 1), frames((1, 6, 5))
    changed = x.clone()
    changed[12:] += 1
    with torch.no_grad():
        torch.testing.assert_close(made(changed)[0][:12], made(x)[0][:12], rtol=0, atol=0)


def test_a_model_is_rebuilt_from_its_description():
    made = model(("reflect", "reflect", "periodic"), 1)
    again = Forecaster.from_description(made.description())
    again.load_state_dict(made.state_dict())
    x = frames((1, 5, 8))
    assert torch.equal(again(x)[0], made(x)[0])


def test_settings_are_checked():
    with pytest.raises(ValueError, match="rate is 1.5"):
        ModelSettings(rate=1.5)
    with pytest.raises(ValueError, match="layers is 0"):
        ModelSettings(layers=0)
    with pytest.raises(ValueError, match="transition is 'kernal'; give one of propagator, kernel, pointwise"):
        ModelSettings(transition="kernal")
    with pytest.raises(ValueError, match="selective with transition 'kernel'"):
        ModelSettings(transition="kernel", selective=True)


def test_a_transition_that_does_not_fit_the_boundary():
    with pytest.raises(InputError, match="nothing drifts along mirrored axes; leave drift out"):
        model(("reflect",) * 3, 1, drift=True)
    with pytest.raises(InputError, match="taps is 4 on axis 0, whose boundary is reflect; give an odd number"):
        model(("reflect", "reflect", "periodic"), 1, transition="kernel", taps=4)


def test_a_checkpoint_from_before_the_choice_is_a_plain_propagator():
    description = model(("reflect",) * 3, 1).description()
    for name in ("transition", "selective", "drift", "taps"):
        del description["model"][name]
    weights = Forecaster.from_description(description).state_dict()
    assert [name for name in weights if "family" in name or "steps" in name] == [
        f"blocks.{layer}.mixer.family.{name}" for layer in (0, 1) for name in ("raw_decay", "raw_diffusivity")
    ]
