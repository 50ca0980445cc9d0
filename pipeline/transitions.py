"""Transitions from what a user gives: numbers, or a file of taps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from pipeline.volume import InputError
from ssm_ops import Kernel, Propagator


def propagator(decay: float, diffusivity: float, velocity: tuple[float, ...] | None) -> Propagator:
    """The same transition for every channel.

    Raises:
        InputError: The decay or the diffusivity is negative, or a number is not finite.
    """
    numbers = (decay, diffusivity, *(velocity or ()))
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"a transition of the numbers {', '.join(f'{n:g}' for n in numbers)}; give finite ones")
    try:
        return Propagator(decay, diffusivity, velocity)
    except ValueError as error:
        raise InputError(str(error)) from error


def read_kernel(path: Path) -> Kernel:
    """The kernel of a .npy file of taps (channel or 1, *K).

    Raises:
        InputError: There is no such file, or it holds no real finite numbers of that shape.
    """
    try:
        taps = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a .npy file: {error}") from error
    if not isinstance(taps, np.ndarray) or taps.dtype.kind not in "fiu" or taps.ndim < 2 or not taps.size:
        raise InputError(f"{path} holds no taps; give one .npy array of real numbers, (channel or 1, *K)")
    if not np.isfinite(taps).all():
        raise InputError(f"{path} holds taps that are not finite; give finite ones")
    return Kernel(torch.from_numpy(taps.astype(np.float64)))
