"""AdamW over the weights: which of them decay, and its moments as named arrays and back."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.model import Forecaster

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Of each weight, as torch names them."""


def make_optimiser(model: Forecaster, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; its learning rate is set at each step."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay))


def parameter_groups(model: Forecaster, weight_decay: float) -> list[dict]:
    """Transitions and steps are time and length scales: shrinking their raw values towards zero means nothing."""
    named = [(".family." in name or name.endswith(".steps.bias"), p) for name, p in model.named_parameters()]
    scales = [p for is_scale, p in named if is_scale]
    matrices = [p for is_scale, p in named if not is_scale]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": scales, "weight_decay": 0.0}]


def moments_of(optimiser: torch.optim.AdamW, model: Forecaster) -> dict[str, torch.Tensor]:
    """The moments of each weight by name; none before the first step."""
    return {
        f"{name}.{key}": optimiser.state[parameter][key]
        for name, parameter in model.named_parameters()
        for key in MOMENTS
        if parameter in optimiser.state
    }


def restore_moments(optimiser: torch.optim.AdamW, model: Forecaster, moments: dict[str, np.ndarray], step: int) -> None:
    """Puts the optimiser where it was after `step` steps."""
    optimiser.state.clear()
    for name, parameter in model.named_parameters() if moments else ():
        optimiser.state[parameter] = {"step": torch.tensor(float(step))} | {
            key: torch.from_numpy(moments[f"{name}.{key}"]).to(parameter.device) for key in MOMENTS
        }
