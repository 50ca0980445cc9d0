"""The header of a NIfTI file: what the source's said, where that is true of what is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from pipeline.archive.nifti import LONGEST, SECONDS, SHORTEST
from pipeline.archive.nifti_file import MILLIMETRES
from pipeline.export.source import Source
from pipeline.export.spacing import along_space, along_time, told
from pipeline.volume import SPACE, InputError

LARGEST = 32767
"""Places along an axis of NIfTI-1."""

SPACE_BITS, TIME_BITS = 0x07, 0x38
"""The bits of `xyzt_units` that tell the unit of space and that of time."""

UNITS_OF_TIME = {"sec": 8, "msec": 16, "usec": 24}
UNITS_OF_SPACE = {0: "unknown", 1: "meter", 2: "mm", 3: "micron"}

SCANNER, ALIGNED = 1, 2
"""Codes of affines: places in the scanner, and places as other coordinates have them."""


def header_of(
    source: Source,
    sizes: tuple[int, ...],
    dtype: np.dtype,
    scaling: tuple[float, float] | None,
    *,
    numbered: bool,
) -> tuple[Nifti1Header, list[str]]:
    """The header, and what it cannot tell, in words.

    The affine is the source's, moved by what was cut off; sform and qform with their codes are the source's too where
    they tell that affine. Without one it comes from z, y and x (latitudes and the like count as millimetres). The
    repetition time and the start are those of the coordinate time, in the source's unit where that was right, else in
    seconds. Frames without times have the source's step, and no unit of time.

    Args:
        sizes: Of the file's axes.
        dtype: Of the stored numbers.
        scaling: Slope and intercept, if values are not the stored numbers.
        numbered: Whether the fourth axis is no time.

    Raises:
        InputError: Of an axis of space places are left out between others.
    """
    kept: dict[str, Any] = source.volume.attrs.get("nifti", {})
    large = kept.get("version") == 2 or max(sizes) > LARGEST
    header = (Nifti2Header if large else Nifti1Header)(endianness="<")
    header["vox_offset"] = header.sizeof_hdr + 4
    header.set_data_dtype(dtype)
    header.set_data_shape(sizes)
    header["scl_slope"], header["scl_inter"] = scaling or (1.0, 0.0)
    _keep(header, kept)
    lines = _place(header, source, kept)
    return header, lines + _clock(header, source, kept, numbered=numbered)


def _keep(header: Nifti1Header, kept: dict[str, Any]) -> None:
    """What of the source's header is true wherever the voxels lie."""
    if not kept:
        return
    header["xyzt_units"] = kept["xyzt_units"]
    header["pixdim"] = _numbers(kept["pixdim"])
    header["intent_code"] = kept["intent_code"]
    for name in ("descrip", "aux_file", "intent_name"):
        header[name] = kept.get(name, "").encode("latin-1")
    for number, value in enumerate(_numbers(kept.get("intent_p", [])), start=1):
        header[f"intent_p{number}"] = value
    for name, value in zip(("cal_min", "cal_max"), _numbers(kept.get("cal", [])), strict=False):
        header[name] = value


def _numbers(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _place(header: Nifti1Header, source: Source, kept: dict[str, Any]) -> list[str]:
    """Writes where voxels lie."""
    volume = source.volume
    first = np.array([_first(source, axis) for axis in SPACE[::-1]], float)  # x, y, z
    if "affine" not in volume.attrs:
        spacings = [along_space(volume, axis) for axis in SPACE]
        affine = np.diag([*(abs(s.step) * s.millimetres or 1.0 for s in spacings[::-1]), 1.0])
        affine[:3, :3] *= np.sign([s.step or 1.0 for s in spacings[::-1]])
        affine[:3, 3] = [s.start * s.millimetres for s in spacings[::-1]]
        _set(header, affine, ALIGNED)
        return [line for s, axis in zip(spacings, SPACE, strict=True) for line in told(s, axis)]
    affine = np.array(volume.attrs["affine"], float)
    affine[:3, 3] = (affine @ [*first, 1.0])[:3]
    if not kept:
        _set(header, affine, SCANNER)
        return []
    affine[:3] /= MILLIMETRES[UNITS_OF_SPACE.get(kept["xyzt_units"] & SPACE_BITS, "mm")]
    header["qform_code"], header["sform_code"] = kept["qform_code"], kept["sform_code"]
    for name, value in zip("bcd", _numbers(kept["quatern"]), strict=True):
        header[f"quatern_{name}"] = value
    for name, offset, row in zip("xyz", _numbers(kept["qoffset"]), kept["srow"], strict=True):
        header[f"qoffset_{name}"], header[f"srow_{name}"] = offset, _numbers(row)
    if first.any():
        for name, move in zip("xyz", _rotated(header, first), strict=True):
            header[f"qoffset_{name}"] += move
            header[f"srow_{name}"][3] += header[f"srow_{name}"][:3] @ first
    if "dim_info" in kept:
        header["dim_info"] = kept["dim_info"]
        if kept["slices"][1] is not None and not first[2] and kept["slices"][1] < volume.sizes["depth"]:
            for name, value in zip(("start", "end", "code", "duration"), _numbers(kept["slices"]), strict=True):
                header[f"slice_{name}"] = value
    if not np.allclose(header.get_best_affine(), affine, rtol=1e-5, atol=1e-4):
        _set(header, affine, ALIGNED, spacing=False)  # the header named none, and its default depends on the sizes
    return []


def _rotated(header: Nifti1Header, first: np.ndarray) -> np.ndarray:
    """How far the first voxel was moved, by the rotation and the steps of the qform; nowhere where that is none."""
    if not header["qform_code"]:
        return np.zeros(3)
    try:
        return header.get_qform()[:3, :3] @ first
    except HeaderDataError:  # of a qform that nobody could read either
        return np.zeros(3)


def _set(header: Nifti1Header, affine: np.ndarray, code: int, *, spacing: bool = True) -> None:
    """Writes an affine in mm (or in the header's unit) as sform, and with its spacing as qform too."""
    header.set_sform(affine, code)
    if spacing:
        header.set_qform(affine, code, strip_shears=True)
        header["xyzt_units"] = (int(header["xyzt_units"]) & TIME_BITS) | 2


def _first(source: Source, axis: str) -> int:
    places = source.places[axis]
    if (np.diff(places) != 1).any():
        raise InputError(
            f"of {axis} the places {places[:4].tolist()} .. are selected, with gaps, which NIfTI cannot tell; select "
            "places beside each other"
        )
    return int(places[0])


def _clock(header: Nifti1Header, source: Source, kept: dict[str, Any], *, numbered: bool) -> list[str]:
    """Writes the times of frames."""
    volume, pixdim = source.volume, _numbers(kept.get("pixdim", [0.0] * 8))
    time = along_time(volume)
    unit = next((u for u, bits in UNITS_OF_TIME.items() if kept and kept["xyzt_units"] & TIME_BITS == bits), "")
    if not time.unit or numbered:
        header["toffset"] = 0.0 if kept.get("toffset") is None else kept["toffset"]
        if volume.sizes["time"] > 1:
            header["pixdim"][4] = pixdim[4] if pixdim[4] > 0 else 1.0
            if unit:  # the step is that of other files than this one
                header["xyzt_units"] = int(header["xyzt_units"]) & SPACE_BITS
        return []
    said = pixdim[4] * SECONDS[unit] if unit else 0.0
    step = time.step
    if volume.sizes["time"] == 1:
        step = said if SHORTEST <= said <= LONGEST else 0.0
    start = time.start - source.since[0]
    if not unit or not np.isclose(said, step, rtol=1e-4):
        unit, header["slice_duration"] = "sec", 0.0  # which is in the unit that was wrong
    elif source.since[0] and kept["toffset"]:
        start += kept["toffset"] * SECONDS[unit]
    header["xyzt_units"] = (int(header["xyzt_units"]) & SPACE_BITS) | UNITS_OF_TIME[unit]
    header["pixdim"][4] = step / SECONDS[unit]
    header["toffset"] = start / SECONDS[unit]
    return told(time, "time")
