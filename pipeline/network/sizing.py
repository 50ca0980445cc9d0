"""How wide a model with another mixer must be to have about as many parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError
from ssm_ops.mixers.catalogue import MIXERS

WIDEST = 4096
"""Channels beyond which no width is looked at."""


def with_mixer(settings: ModelSettings, mixer: str) -> ModelSettings:
    """The same settings with another mixer, which keeps what it can be told and takes its own defaults for the rest.

    Raises:
        InputError: The settings ask for uneven steps, which the mixer does not know.
    """
    if mixer == settings.mixer:
        return settings
    member = MIXERS[mixer]
    plain = ModelSettings()
    told = {
        name: getattr(settings if name in member.takes else plain, name)
        for name in ("transition", "selective", "drift", "taps", "span", "heads", "initial")
    }
    told["initial"] = None  # which means another thing for each
    try:
        return replace(settings, mixer=mixer, **told)
    except ValueError as error:
        raise InputError(f"the model's settings with mixer {mixer!r}: {error}") from error


def of_size(settings: ModelSettings, parameters: int, count: Callable[[ModelSettings], int]) -> ModelSettings:
    """The settings with as many channels, and states in proportion, as bring the model nearest to so many parameters;
    then with as many states as bring it nearer still.

    Args:
        settings: Whose channels and states are changed.
        parameters: Of the whole model.
        count: The parameters of a model.
    """

    def wide(channels: int) -> ModelSettings:
        return replace(
            settings, channels=channels, states=max(1, round(settings.states * channels / settings.channels))
        )

    found = _nearest(wide, parameters, count)
    narrower = [found, replace(found, channels=max(1, found.channels - 1))]
    tuned = [_nearest(lambda n, own=own: replace(own, states=n), parameters, count) for own in narrower]
    return min([found, *tuned], key=lambda own: abs(count(own) - parameters))


def _nearest(
    make: Callable[[int], ModelSettings], parameters: int, count: Callable[[ModelSettings], int]
) -> ModelSettings:
    """Of settings by a number, whose count grows with it, those with the nearest count; the smaller of two alike."""
    low, high = 0, 1
    while high < WIDEST and count(make(high)) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(make(middle)) < parameters else (low, middle)
    return min((make(n) for n in (low, high) if n), key=lambda own: abs(count(own) - parameters))
