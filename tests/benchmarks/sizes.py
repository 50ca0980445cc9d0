"""Models of other kinds with as many parameters as ours."""

from collections.abc import Callable
from itertools import count as counting

from torch import nn


def count(model: nn.Module) -> int:
    """How many parameters a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def as_large_as(parameters: int, make: Callable[[int], nn.Module]) -> nn.Module:
    """Of make(1), make(2), .., which grow, the model whose count of parameters is nearest to the one given."""
    best = make(1)
    for width in counting(2):
        model = make(width)
        if abs(count(model) - parameters) > abs(count(best) - parameters):
            break
        best = model
    return best
