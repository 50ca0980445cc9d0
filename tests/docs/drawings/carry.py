"""A scan from zero in each shard, and what the carry becomes: together the scan of all, computed by `ssm_ops.scan`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops import Propagator, scan
from tests.docs.drawings.canvas import Canvas

FRAMES, LENGTH, VOXELS, SHOWN = 60, 20, 32, 12

DECAY, DIFFUSIVITY = 0.06, 0.4
TRANSITION = Propagator(decay=DECAY, diffusivity=DIFFUSIVITY)
BOUNDARY = ("reflect",)

LEFT, RIGHT, TOP, BOTTOM = 118, 836, 90, 300

BOUND = 1e-6
"""Of the error: what the drawing says is the same on any machine."""


@dataclass(frozen=True)
class Curves:
    """One voxel through time, by frame.

    Attributes:
        whole: The uncut scan.
        alone: Each shard from a state of zero.
        carried: What the carry that enters a shard becomes in it, a scan of nothing from that carry.
        error: The largest difference of the last two from the first, of all voxels, as a share of the largest state.
    """

    whole: list[float]
    alone: list[float]
    carried: list[float]
    error: float


def inputs() -> Float[Tensor, "time channel width"]:
    """Something that swells, fades and wanders."""
    time, voxel = torch.arange(FRAMES)[:, None], torch.arange(VOXELS)
    strength = 0.55 + 0.45 * torch.sin(0.45 * time)
    place = 12 + 5 * torch.sin(0.11 * time)
    return (strength * torch.exp(-(((voxel - place) / 4) ** 2)))[:, None]


def computed() -> Curves:
    """The curves."""
    x = inputs()
    whole, _ = scan(x, TRANSITION, boundary=BOUNDARY)
    alone, carried, carry = [], [], None
    for part in x.split(LENGTH):
        alone.append(scan(part, TRANSITION, boundary=BOUNDARY)[0])
        carried.append(scan(torch.zeros_like(part), TRANSITION, boundary=BOUNDARY, carry=carry)[0])
        _, carry = scan(part, TRANSITION, boundary=BOUNDARY, carry=carry)
    both = torch.cat(alone), torch.cat(carried)
    error = ((both[0] + both[1] - whole).abs().max() / whole.abs().max()).item()
    return Curves(*(one[:, 0, SHOWN].tolist() for one in (whole, *both)), error)


def draw() -> str:
    """The drawing."""
    curves = computed()
    assert curves.error < BOUND
    canvas = Canvas(
        392,
        "A voxel through three shards: the scan of each from zero falls behind the whole scan by what the carry "
        "becomes, which fades",
    )
    canvas.text(28, 34, "A scan from zero, and what the carry becomes, make the whole scan", "title")
    told = f"one voxel of {VOXELS}; decay {DECAY} and diffusivity {DIFFUSIVITY} a step; shards of {LENGTH} frames"
    canvas.text(28, 56, told, "small soft")
    canvas.text(28, (TOP + BOTTOM) / 2, "state", "bold")
    whole, alone = _places(curves.whole, curves.whole), _places(curves.alone, curves.whole)
    for shard in range(FRAMES // LENGTH):
        own = slice(shard * LENGTH, (shard + 1) * LENGTH)
        canvas.area([*whole[own], *reversed(alone[own])], "purple-fill")
        canvas.line(alone[own], "orange thick")
    canvas.line(whole, "line thick")
    for shard in range(FRAMES // LENGTH):
        border, width = _x(shard * LENGTH - 0.5), (RIGHT - LEFT) / 3
        canvas.line([(border, TOP - 8), (border, BOTTOM + 6)], "thin dashed")
        canvas.text(border + width / 2, BOTTOM + 24, f"shard {shard}", "small bold", "middle")
        if shard:
            high = (whole[shard * LENGTH - 1][1] + whole[shard * LENGTH][1]) / 2
            canvas.arrow((border - 16, high - 44), (border - 1, high - 4), "purple")
            canvas.text(border - 20, high - 50, "carry", "small bold purple", "middle")
    canvas.arrow((LEFT, BOTTOM + 6), (RIGHT, BOTTOM + 6))
    canvas.text(RIGHT, BOTTOM + 24, "frames", "small soft", "end")
    for number, (line, kind, told) in enumerate(KEYS):
        x = LEFT + 190 * number
        canvas.line([(x, 350), (x + 24, 350)], line)
        canvas.text(x + 32, 355, told, f"small bold {kind}")
    canvas.box(LEFT + 400, 342, 24, 16, "purple-fill")
    canvas.text(LEFT + 432, 355, "what the carry becomes", "small bold purple")
    told = "the two together differ from the whole scan by less than a millionth of the largest state, in float32"
    canvas.text(LEFT, 378, told, "small soft")
    return canvas.svg()


KEYS = (("line thick", "", "the whole scan"), ("orange thick", "orange", "each shard from zero"))


def _places(values: list[float], scale: list[float]) -> list[tuple[float, float]]:
    """Where a curve goes, whose height is taken from another one."""
    return [(_x(t), BOTTOM - (BOTTOM - TOP) * value / (1.05 * max(scale))) for t, value in enumerate(values)]


def _x(frame: float) -> float:
    return LEFT + 9 + (RIGHT - LEFT - 24) * frame / (FRAMES - 1)
