"""Certificates of scans of somebody's own data: a transition on the frames, or each layer of a model on its inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.checkpoint import Checkpoint
from pipeline.device import own_device
from pipeline.model import Forecaster
from pipeline.network.block import Chunks, Steps
from pipeline.piece import DAY, Piece, find_store
from pipeline.storage import arrays
from pipeline.volume import InputError
from ssm_ops import Certificate, ConvSSM, Grid, Transition, verify_scan
from ssm_ops.carry import Program

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest difference from the float64 recurrence, relative to the largest state, of a scan that is right."""

MOST_WORK = 2e10
"""Frames x channels x (sum of axis sizes cubed) that the reference does in some minutes; it builds its matrices anew
for each frame and channel."""


@dataclass(frozen=True)
class Scan:
    """One scan to be certified: a transition, a boundary and the inputs that it meets.

    Raises:
        InputError: They do not fit together, the inputs are all zero, or the reference would take too long.
    """

    name: str
    x: Float[Tensor, "time channel *grid"]
    transition: Transition
    boundary: tuple[str, ...]
    dt: Float[Tensor, "time"] | Float[Tensor, "time channel"] | None = None

    def __post_init__(self):
        try:
            grid = self.transition.basis(tuple(self.x.shape[2:]), self.boundary, self.x.shape[1], self.dt)
        except ValueError as error:
            raise InputError(str(error)) from error
        if not self.x.any():
            raise InputError(f"{self.name}: all inputs are 0, which certifies nothing; choose other frames")
        if isinstance(grid, Grid):  # what leaves every voxel to itself has a fast reference
            refuse_long(self.name, *self.x.shape[:2], grid.ring)

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.x.dtype]


def refuse_long(name: str, frames: int, channels: int, ring: tuple[int, ...]) -> None:
    """Refuses a reference that nobody would wait for.

    Raises:
        InputError: It is more than `MOST_WORK`.
    """
    work = frames * channels * sum(size**3 for size in ring)
    if work > MOST_WORK:
        raise InputError(
            f"{name}: the plain recurrence over {frames} frames of {_by(ring)} voxels, channels {channels}, takes "
            f"{work / MOST_WORK:.1f} times as long as is allowed here; ask for fewer frames, or crop the grid"
        )


def transition_scan(
    piece: Piece,
    transition: Transition,
    *,
    boundary: tuple[str, ...] | None = None,
    unit_days: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Scan:
    """The scan of a piece's frames by a transition; each run of the data in it begins from a state of zero.

    Args:
        boundary: For each axis of the grid; by default what the data call for.
        unit_days: The transition's unit of time; steps are then as long as the calendar says. By default each is 1.

    Raises:
        InputError: See `Scan`; or the unit is not positive, or given where the data tell no times.
    """
    if unit_days is not None and not 0 < unit_days < math.inf:
        raise InputError(f"a unit of time of {unit_days:g} days; give a positive number")
    if unit_days is not None and piece.days is None:
        raise InputError(
            f"a unit of time of {unit_days:g} days, and the times of {piece.source} are neither dates nor seconds; "
            "leave the unit out, so that each frame is one step"
        )
    dt = None if unit_days is None else piece.days / unit_days
    if dt is None:
        dt = steps_of(piece, None)
    device = own_device()
    dt = None if dt is None else dt.to(device)
    return Scan("transition", piece.frames.to(device, dtype), transition, boundary or piece.boundary, dt)


def model_scans(piece: Piece, path: Path, *, dtype: torch.dtype = torch.float32) -> tuple[str, list[Scan]]:
    """The scans of a trained model's layers when it runs over a piece, and what that model is, in words.

    Frames that no `preprocess` stage has normalised are normalised by the statistics of the model's training frames.
    The model begins anew with each run of the data, and its steps are as long as its settings say, as in forecasts.

    Args:
        path: The checkpoint, or the folder of its stage or run.

    Raises:
        InputError: There is no such checkpoint, or it does not fit the data.
    """
    found = find_store(path, "checkpoint.zarr")
    try:
        attributes = arrays.read_attributes(found)
    except (OSError, ValueError) as error:
        raise InputError(f"{found} cannot be read as a Zarr store: {error}") from error
    if "description" not in attributes:
        raise InputError(f"{found} is a store, but describes no model; give the checkpoint.zarr that train wrote")
    checkpoint = Checkpoint.load(found)
    model = checkpoint.best_model()
    channels, axes = piece.frames.shape[1], piece.frames.ndim - 2
    reads = model.volume_channels + model.masks
    if reads != channels:
        raise InputError(
            f"the model of {found} reads {reads} channels and {piece.source} has {channels}; "
            "give the data it was trained for"
        )
    if len(model.boundary) != axes:
        raise InputError(
            f"the model of {found} reads grids of {len(model.boundary)} axes and {piece.source} has {axes}; "
            "give the data it was trained for"
        )
    frames = piece.frames if piece.normalised else _normalised(piece, checkpoint, found)
    steps = steps_of(piece, model.unit)
    steps = None if steps is None else steps.to(own_device(), dtype)
    scans = layer_scans(model.to(own_device(), dtype), frames.to(own_device(), dtype), steps)
    by = "" if piece.normalised else ", which normalises the frames by its training statistics"
    return f"{found}, step {checkpoint.step}{by}", scans


def steps_of(piece: Piece, unit: float | None) -> Float[Tensor, "time"] | None:
    """The steps that a model takes over a piece, float64, as `pipeline.elapsed` has them; `None` where all are 1.

    Args:
        piece: The frames.
        unit: How many seconds count as 1; `None`: every step is 1.

    Raises:
        InputError: The model counts time, and the data tell none.
    """
    if unit is not None and piece.days is None:
        raise InputError(
            f"the model counts time in steps of {unit:g} s, and the times of {piece.source} are neither dates nor "
            "seconds; give data that have times"
        )
    if unit is None and not piece.begins:
        return None
    steps = torch.ones(len(piece.frames), dtype=torch.float64) if unit is None else piece.days * DAY / unit
    steps[0] = 1
    steps[list(piece.begins)] = math.inf
    return steps


@torch.no_grad()
def layer_scans(
    model: Forecaster, frames: Float[Tensor, "time channel *grid"], steps: Float[Tensor, "time"] | None = None
) -> list[Scan]:
    """The scan of each layer, with the inputs that reach it when the model runs over the frames, `steps` apart.

    Raises:
        InputError: See `Scan`; or the layers' states are no scan.
    """
    if model.settings.mixer != "convssm":
        raise InputError(
            f"the model's mixer is {model.settings.mixer!r}, and certificates are for the scans of convssm; give a "
            "model of that mixer"
        )
    refuse_long("model", len(frames), model.settings.states, tuple(frames.shape[2:]))  # before it runs
    layers = [block.mixer for block in model.blocks]
    recorders = [_Recorder(layer) for layer in layers]
    for block, recorder in zip(model.blocks, recorders, strict=True):
        block.mixer = recorder
    try:
        model(frames.unsqueeze(2) if frames.ndim == 4 else frames, steps=steps)
    finally:
        for block, layer in zip(model.blocks, layers, strict=True):
            block.mixer = layer
    met = [
        layer.meets([recorder.seen], model.boundary, recorder.dt)
        for layer, recorder in zip(layers, recorders, strict=True)
    ]
    return [
        Scan(f"layer {n}", offsets[0], transition, model.boundary, steps[0])
        for n, (transition, offsets, steps) in enumerate(met, start=1)
    ]


def certify(scans: list[Scan], *, trials: int = 10, seed: int = 0) -> Iterator[tuple[Scan, Certificate]]:
    """The certificate of one scan after the other; see `ssm_ops.verify_scan`."""
    for scan in scans:
        found = verify_scan(scan.x, scan.transition, boundary=scan.boundary, dt=scan.dt, trials=trials, seed=seed)
        yield scan, found


class _Recorder(nn.Module):
    """A layer that remembers what it was given."""

    def __init__(self, layer: ConvSSM):
        super().__init__()
        self.layer = layer

    def program(self, chunks: Chunks, boundary: tuple[str, ...], dt: Steps | None = None) -> Program[Chunks]:
        self.seen, self.dt = torch.cat(chunks), None if dt is None else [torch.cat(dt)]
        return (yield from self.layer.program(chunks, boundary, dt))


def _normalised(piece: Piece, checkpoint: Checkpoint, path: Path) -> Float[Tensor, "time channel *grid"]:
    """The frames as the model was trained to read them."""
    if "cycle" in checkpoint.statistics:
        raise InputError(
            f"{piece.source} is not normalised, and the model of {path} reads anomalies from phases of the year; give "
            "the prepared store"
        )
    mean, scale = (torch.from_numpy(checkpoint.statistics[name]) for name in ("mean", "scale"))
    if len(piece.grid) == 2:
        mean, scale = mean.squeeze(1), scale.squeeze(1)
    if mean[0].numel() > 1:  # a mean for each voxel
        if tuple(mean.shape[1:]) != piece.grid:
            raise InputError(
                f"{piece.source} is not normalised, and its grid of {_by(piece.grid)} voxels is not that of the "
                f"training frames of {path}, {_by(mean.shape[1:])}; give data on that grid, or a prepared store"
            )
        mean = mean[(slice(None), *piece.window)]
    return (piece.frames.double() - mean) / scale


def _by(sizes: Iterable[int]) -> str:
    return " x ".join(map(str, sizes))
