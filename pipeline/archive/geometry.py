"""Where voxels lie in millimetres: the coordinates and attributes of a volume with an affine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes

from pipeline.archive.assemble import Coordinate
from pipeline.volume import InputError

TOLERANCE_VOXELS = 0.01
"""What grids may differ by, at their corners, and still be one."""


def check_affine(affine: np.ndarray, path: Path) -> None:
    """Refuses an affine (4 x 4) that gives no place to voxels.

    Raises:
        InputError: It has numbers that are not finite, or two of its axes are one.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(spacing_free(affine))) < 1e-4:
        raise InputError(
            f"{path} has the affine {np.round(affine[:3], 4).tolist()}, which puts voxels nowhere or on one plane; "
            "write a right affine into its header"
        )


def spacing(affine: np.ndarray) -> np.ndarray:
    """The distances (3) of neighbours along width, height and depth, in the unit of the affine (4 x 4)."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def spacing_free(affine: np.ndarray) -> np.ndarray:
    """The directions of width, height and depth: the columns of a (3 x 3) array, of length one, or zero."""
    lengths = spacing(affine)
    return affine[:3, :3] / np.where(lengths > 0, lengths, 1)


def farthest(first: np.ndarray, second: np.ndarray, sizes: tuple[int, int, int]) -> float:
    """By how many voxels two affines (4 x 4) put a corner of a (width, height, depth) grid apart, at most."""
    corners = np.array([(i, j, k, 1) for i in (0, sizes[0]) for j in (0, sizes[1]) for k in (0, sizes[2])], float)
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max() / spacing(first).min())


def spatial(affine: np.ndarray, sizes: tuple[int, int, int]) -> tuple[dict[str, Coordinate], dict[str, Any]]:
    """The coordinates z, y and x (mm, along depth, height and width) and the attributes `affine` and `orientation`.

    Where width, height and depth run along the patient's right-left, back-front and foot-head axes, in either
    direction, coordinates are millimetres in the patient's system (towards right, front and head), as the affine tells.
    Where the grid is oblique or its axes are exchanged, no coordinate of the patient belongs to an axis: then they are
    the voxel's number times the spacing, from 0, and `affine` alone tells the place.

    Args:
        affine: (4, 4), from (width, height, depth) to millimetres towards right, front and head (RAS+).
        sizes: How many voxels along width, height and depth.
    """
    along = np.diag(affine[:3, :3])
    aside = np.abs(affine[:3, :3] - np.diag(along)) * (np.array(sizes) - 1)
    straight = (aside.max(axis=1) < TOLERANCE_VOXELS * spacing(affine)).all()
    steps, starts = (along, affine[:3, 3]) if straight else (spacing(affine), np.zeros(3))
    coordinates: dict[str, Coordinate] = {
        name: (axis, start + step * np.arange(size), {"units": "mm"})
        for name, axis, start, step, size in zip("xyz", ("width", "height", "depth"), starts, steps, sizes, strict=True)
    }
    return coordinates, {"affine": affine.tolist(), "orientation": "".join(aff2axcodes(affine))}
