"""The forecaster against its float64 twin, its starting point, and what it promises about warmer worlds."""

import numpy as np
import pytest
import torch

from pipeline.baselines import ExponentialAverage
from pipeline.model import Forecaster, ModelSettings, exchanges
from ssm_ops import LocalExchange, drive
from tests.whole_model import forecasts

CASES = [
    ((1, 6, 5), ("reflect", "reflect", "reflect")),
    ((1, 5, 8), ("reflect", "reflect", "periodic")),
    ((3, 4, 5), ("reflect", "periodic", "reflect")),
]


def model(boundary, depth, *, stirred=True, channels=1):
    torch.manual_seed(0)
    made = Forecaster(
        ModelSettings(channels=4, states=5, layers=2), volume_channels=channels, boundary=boundary, depth=depth
    )
    if stirred:  # away from the starting point, where whole paths are zero
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
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
    expected = forecasts(weights, images.numpy(), made.boundary, layers=2).reshape(x.shape)
    assert np.linalg.norm(actual.numpy() - expected) <= 1e-5 * np.linalg.norm(expected - x.numpy())


@pytest.mark.parametrize(("grid", "boundary"), CASES)
@pytest.mark.parametrize("cuts", [[20], [7, 7, 6], [1] * 20, [16, 4]])
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


def test_it_starts_as_the_exponential_average():
    made, x = model(("reflect",) * 3, 1, stirred=False), frames((1, 6, 5))
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
