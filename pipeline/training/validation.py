"""The error of a model on the validation frames, with the series' whole past as its memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.model import Forecaster
from pipeline.splits import Span, by_series
from pipeline.storage import store
from pipeline.volume import InputError


@torch.no_grad()
def validation_error(
    model: Forecaster, path: Path, spans: list[Span], scale: np.ndarray, *, length: int, device: torch.device
) -> float:
    """The mean squared error of one-step forecasts of some spans, in the data's own units squared, over the voxels
    that have a value.

    Args:
        path: The prepared store.
        scale: What a normalised difference is multiplied by, to be one in the data's units.
        length: Frames that go through the model at a time: as many as a training step takes, so that it takes no more
            memory.

    Raises:
        InputError: None of the frames has a value.
    """
    squares, valued = 0.0, 0
    for series, own in by_series(spans).items():
        found, count = _squares(model, path, series, own, torch.from_numpy(scale), length, device)
        squares, valued = squares + found, valued + count
    if valued == 0:
        raise InputError("no frame of the validation split has a value to be scored on; choose other periods")
    return squares / valued


def _squares(
    model: Forecaster, path: Path, series: str, spans: list[Span], scale: Tensor, length: int, device: torch.device
) -> tuple[float, int]:
    """The squared errors over some spans of a series, from its first frame on; and how many they are."""
    squares, valued, carries, stop = 0.0, 0, None, spans[-1].stop
    for first in range(0, stop - 1, length):
        last = min(first + length, stop - 1)
        frames = torch.from_numpy(store.read_frames(path, series, first, last + 1))
        forecasts, carries = model(frames[:-1].to(device), carries)
        forecasts = forecasts.cpu()
        for span in spans:
            scored = slice(*(min(max(frame - 1 - first, 0), last - first) for frame in (span.start, span.stop)))
            came = frames[1:][scored]
            errors = model.errors(forecasts[scored], came).double() * scale
            squares, valued = squares + errors.square().sum().item(), valued + model.valued(came)
    return squares, valued
