"""An exponential moving average of the weights (EMA), free of the weights that training began with.

With decay d, after step t it is the mean of the weights after the steps s = 1 .. t, weighted by d^(t-s). That is the
usual average with its bias corrected, m_t / (1 - d^t) where m_t = d m_(t-1) + (1-d) w_t and m_0 = 0, kept corrected:

    mean_t = mean_(t-1) + r_t (w_t - mean_(t-1)),   r_t = (1 - d) / (1 - d^t)

so it is a model after every step, and r_1 = 1 forgets what was there before: the weights that training began with,
which so are the average before the first step. A warm start, a decay that grows by some
rule, needs a rule to be chosen, and has no such closed form to be tested by.
"""

from __future__ import annotations

import numpy as np
import torch

from pipeline.model import Forecaster


class Average:
    """The average of a model's weights, in float64: steps of a thousandth of a difference vanish in float32.

    Args:
        decay: From 0, the weights themselves, to below 1.
        model: Whose weights.
    """

    def __init__(self, decay: float, model: Forecaster):
        self.decay, self._model = decay, model
        self.means = {name: p.detach().clone().double() for name, p in model.named_parameters()}

    @torch.no_grad()
    def take_in(self, step: int) -> None:
        """Adds the weights as they are after a step; steps count from 1."""
        rate = (1 - self.decay) / (1 - self.decay**step)
        for name, parameter in self._model.named_parameters():
            self.means[name].lerp_(parameter.double(), rate)

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged model as a state: the means, in the weights' own type, and whatever is not a weight."""
        state = self._model.state_dict()
        return state | {name: mean.to(state[name].dtype) for name, mean in self.means.items()}

    def restore(self, means: dict[str, np.ndarray]) -> None:
        """Puts back what `means` was; without any it is the model as it now is, before the first step."""
        for name, parameter in self._model.named_parameters():
            self.means[name].copy_(torch.from_numpy(means[name]) if means else parameter.detach())
