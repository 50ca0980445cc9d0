"""The average of the weights: its closed form, from the first step on."""

import pytest
import torch

from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.training.average import Average
from pipeline.training.settings import TrainSettings


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_it_is_the_weighted_mean_of_the_steps_alone(decay):
    """Weights d^(t-s), without the start; also where it is put back from what a checkpoint keeps."""
    torch.manual_seed(0)
    settings = ModelSettings(channels=2, states=2, layers=1)
    model = Forecaster(settings, volume_channels=1, boundary=("reflect",) * 3, depth=1)
    average, seen = Average(decay, model), []
    for step in range(1, 9):
        with torch.no_grad():
            model.encoder.weight.normal_()
        seen.append(model.encoder.weight.detach().double().clone())
        average.take_in(step)
        if step == 1:
            assert torch.equal(average.weights()["encoder.weight"], model.encoder.weight)
        if step == 5:
            kept, average = {name: mean.numpy().copy() for name, mean in average.means.items()}, Average(decay, model)
            average.restore(kept)
    shares = decay ** torch.arange(7, -1, -1, dtype=torch.float64)
    expected = sum(share * weight for share, weight in zip(shares / shares.sum(), seen, strict=True))
    torch.testing.assert_close(average.means["encoder.weight"], expected, rtol=1e-12, atol=1e-14)
    state = average.weights()
    assert state.keys() == model.state_dict().keys()
    assert {tensor.dtype for tensor in state.values()} == {tensor.dtype for tensor in model.state_dict().values()}


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_that_is_none(decay):
    with pytest.raises(ValueError, match="give a decay from 0, no average, to below 1"):
        TrainSettings(ema=decay)
