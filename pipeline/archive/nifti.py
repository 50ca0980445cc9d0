"""NIfTI: files (x, y, z, t) as one volume (time, channel, depth, height, width), lazily, with time in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive.ask import FILES, Ask
from pipeline.archive.assemble import Coordinate, assemble, lazily
from pipeline.archive.geometry import TOLERANCE_VOXELS, farthest, spatial
from pipeline.archive.nifti_file import NiftiFile, open_file
from pipeline.volume import InputError

TIME_AXIS, DIRECTION, FIFTH_AXIS = "t", "direction", "u"
"""What the fourth axis is called, what it may be instead of time, and the name of the fifth."""

SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
WRITTEN = {"sec": "s", "msec": "ms", "usec": "us"}
SHORTEST, LONGEST = 0.01, 500.0
"""Repetition times that are believed, in seconds: from fast imaging to the frames of emission tomography."""

COMPONENTS = (
    "symmetric matrix", "general matrix", "displacement vector", "vector", "pointset", "triangle", "quaternion",
    "rgb vector", "rgba vector",
)  # fmt: skip
"""Intents of NIfTI that make a further axis the components of one quantity."""


def open_nifti(paths: Sequence[Path], ask: Ask, *, whole: bool = True) -> xr.Dataset:
    """NIfTI-1 and NIfTI-2 files (also compressed, also pairs of .hdr and .img) as one volume.

    Several files with a fourth axis are runs, one after another in the order given: the coordinate `run` marks their
    borders, and time goes on as if there were no pause. Several files without are the frames of one run, without times.
    With `ask.channels == "files"` they are channels instead, named as the files. With `ask.channels == "t"` (or
    "direction") the fourth axis is stacked as channels, with "u" the fifth.

    A compressed file is read through once to see that it is whole, then again as its frames are needed, from the
    beginning wherever they are needed in another order (from near the place, where indexed_gzip is installed).

    The fourth axis is time where the header gives it a unit of time and a step; a step that cannot be meant (2000 s) is
    read in the unit that was, with a warning. Any other is refused unless `ask.time` is "t": then frames are numbered.

    Args:
        paths, ask: What is read, and what of it.
        whole: Whether compressed files are read through to see that they are; without, their headers are believed.

    Returns:
        `data` (time, channel, depth, height, width) = (t, 1, z, y, x), in the stored type where values are not scaled,
        otherwise float32 (float64 where 32 bits and more are scaled); `time` in seconds, `z`, `y`, `x` in mm (see
        `pipeline.archive.geometry.spatial`); with `ask.skip_bad` floats, and `missing`. Attributes: `affine`,
        `orientation`, `source_format`, and `nifti`, the fields of the first header.

    Raises:
        InputError: A file cannot be read, is cut off, or disagrees with the first; the fourth axis is not known to be
            time; or something is asked that NIfTI has not.
    """
    _check_ask(ask)
    opened = [_opened(path, ask, whole=whole) for path in paths]
    files = [file for file in opened if file is not None]
    if not files:
        open_file(paths[0])  # tells why it cannot be read
    first = files[0]
    for file in files[1:]:
        _check_same(first, file, frames=ask.channels == FILES)
    for file in files:
        _check_axes(file, ask)

    numbered = len(files) > 1 and _frames(first, ask) == 1
    if len(files) < len(opened) and not (numbered and ask.channels != FILES):
        broken = paths[opened.index(None)]
        raise InputError(f"{broken} cannot be read, and how many frames it had is not known; leave it out")
    arrays = [_array(file, first, files, ask) for file in opened]
    missing = [_missing(file or first, ask) | (file is None) for file in opened]
    if ask.channels == FILES:
        data, lost, runs = dask.array.concatenate(arrays, axis=1), np.any(missing, axis=0), 1
        channels = _names(paths)
    else:
        data, lost, runs = dask.array.concatenate(arrays, axis=0), np.concatenate(missing), len(arrays)
        channels = _channels(first, ask)
    if lost.all():
        raise InputError(f"{first.path} holds no whole frame; fetch it again")

    sizes = first.sizes[:3]
    coordinates, attributes = spatial(first.affine, sizes)
    coordinates["time"] = _times(first, data.shape[0], ask, numbered=numbered)
    if runs > 1 and not numbered:
        run = np.repeat(np.arange(runs), [len(part) for part in missing])
        coordinates["run"] = ("time", run, {"long_name": "number of the recording without interruption"})
    if ask.skip_bad:
        coordinates["missing"] = ("time", lost, {"long_name": "whether the frame could not be read"})
    attributes |= {"source_format": "NIfTI", "nifti": first.header}
    return assemble(data, channels=channels, coordinates=coordinates, attributes=attributes)


def _check_ask(ask: Ask) -> None:
    if ask.variables:
        raise InputError(
            f"variables {', '.join(ask.variables)} are asked for, and NIfTI has none by name; leave them out (--select "
            "takes parts of axes, --channels stacks files)"
        )
    if ask.channels not in ("", FILES, TIME_AXIS, DIRECTION, FIFTH_AXIS):
        raise InputError(
            f"channels are to be {ask.channels!r}; of NIfTI they can be 'files', 't' or 'direction' (the fourth axis), "
            "or 'u' (the fifth)"
        )
    if ask.time not in ("", TIME_AXIS):
        raise InputError(f"the axis {ask.time!r} is to be time; of NIfTI only the fourth can be, 't'")
    if ask.time and ask.channels in (TIME_AXIS, DIRECTION):
        raise InputError(f"the axis 't' is to be time and {ask.channels!r}, the same axis, channels; choose one")


def _opened(path: Path, ask: Ask, *, whole: bool) -> NiftiFile | None:
    try:
        file = open_file(path, whole=whole)
    except InputError:
        if ask.skip_bad:
            return None
        raise
    declared = file.sizes[3] * file.sizes[4]
    if file.held < declared and not ask.skip_bad:
        raise InputError(
            f"{path} declares {declared} frames and holds {file.held}: {file.damage}; fetch it again, or take what is "
            "there, with the other frames recorded as missing (--skip-bad)"
        )
    return file


def _check_same(first: NiftiFile, other: NiftiFile, *, frames: bool) -> None:
    """Refuses files that are not of one grid; `frames`: also of one number of frames."""
    pair = f"{first.path} and {other.path}"
    if first.sizes[:3] != other.sizes[:3]:
        raise InputError(
            f"{pair} have the sizes {list(first.sizes[:3])} and {list(other.sizes[:3])}; resample one to the other, or "
            "ingest them apart"
        )
    if (first.sizes[3] == 1) != (other.sizes[3] == 1) or first.sizes[4] != other.sizes[4]:
        raise InputError(
            f"{pair} have {list(first.sizes[3:])} and {list(other.sizes[3:])} as fourth and fifth axis; ingest files "
            "with and without such an axis apart"
        )
    if frames and first.sizes[3] != other.sizes[3]:
        raise InputError(
            f"{pair} are to be channels and have {first.sizes[3]} and {other.sizes[3]} frames; cut the longer one, or "
            "ingest them apart"
        )
    apart = farthest(first.affine, other.affine, first.sizes[:3])
    if apart > TOLERANCE_VOXELS:
        raise InputError(
            f"{pair} have the affines {np.round(first.affine[:3], 4).tolist()} and "
            f"{np.round(other.affine[:3], 4).tolist()}, which lie up to {apart:.3g} voxels apart; resample one to the "
            "other, or ingest them apart"
        )
    if first.sizes[3] > 1 and (
        first.step[1] != other.step[1] or not np.isclose(first.step[0], other.step[0], rtol=1e-4, equal_nan=True)
    ):
        raise InputError(
            f"{pair} have the repetition times {_step(first)} and {_step(other)}; mend the header that is wrong, or "
            "ingest them apart"
        )


def _step(file: NiftiFile) -> str:
    step, unit = file.step
    return f"{step:.6g} {WRITTEN.get(unit, f'({unit} unit)' if unit == 'unknown' else unit)}"


def _check_axes(file: NiftiFile, ask: Ask) -> None:
    stacked = {TIME_AXIS: 3, DIRECTION: 3, FIFTH_AXIS: 4}.get(ask.channels)
    if stacked and file.sizes[stacked] == 1:
        raise InputError(
            f"{file.path} has the sizes {list(file.sizes)}, and its {'fourth' if stacked == 3 else 'fifth'} axis, of "
            f"one place, is to be channels (--channels {ask.channels}); leave that out"
        )
    if file.sizes[4] > 1 and (ask.channels != FIFTH_AXIS):
        raise InputError(
            f"{file.path} has a fifth axis of {file.sizes[4]}; stack it as channels (--channels u), or split the file"
        )
    if file.sizes[3] == 1 or ask.time == TIME_AXIS or ask.channels in (TIME_AXIS, DIRECTION):
        return
    reason = _why_not_time(file)
    if reason:
        raise InputError(
            f"{file.path} has a fourth axis of {file.sizes[3]} that is not known to be time: {reason}; say that it is "
            "time (--time t), or stack it as channels (--channels direction)"
        )


def _why_not_time(file: NiftiFile) -> str:
    """Why the fourth axis cannot be taken for time; empty where it can."""
    step, unit = file.step
    name = file.path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".hdr")
    for ending in (".bval", ".bvals"):
        if file.path.with_name(name + ending).exists():
            return f"{name}{ending} beside it makes it the directions of a diffusion scan"
    if file.intent in COMPONENTS:
        return f"its intent is {file.intent!r}, which makes it components"
    if unit == "unknown":
        return f"the header gives it the step {step:.6g} and no unit"
    if unit not in SECONDS:
        return f"the header gives it the unit {unit!r}, and time has seconds, milliseconds or microseconds"
    if not (np.isfinite(step) and step > 0):
        return f"the header gives it the step {step:.6g} {WRITTEN[unit]}"
    return ""


def _seconds(file: NiftiFile) -> float:
    """How many seconds the unit of the fourth axis is, or the one that must have been meant, with a warning."""
    step, unit = file.step
    if SHORTEST <= step * SECONDS[unit] <= LONGEST:
        return SECONDS[unit]
    meant = next((u for u in SECONDS if u != unit and SHORTEST <= step * SECONDS[u] <= LONGEST), unit)
    taken = (
        "no other unit makes it plausible, so it is taken as it is; mend pixdim[4] and xyzt_units if they are wrong"
        if meant == unit
        else f"it is taken as {step:.6g} {WRITTEN[meant]} = {step * SECONDS[meant]:.6g} s; mend xyzt_units if not"
    )
    warnings.warn(
        f"{file.path} has the repetition time {step:.6g} {WRITTEN[unit]}, which is not between {SHORTEST:g} and "
        f"{LONGEST:g} s: {taken}",
        stacklevel=4,
    )
    return SECONDS[meant]


def _times(file: NiftiFile, frames: int, ask: Ask, *, numbered: bool) -> Coordinate:
    """Seconds where the header gives them, otherwise the numbers of frames, without a unit."""
    if numbered or _frames(file, ask) == 1 or file.step[1] not in SECONDS or not file.step[0] > 0:
        return "time", np.arange(frames), {}
    second = _seconds(file)
    return "time", (file.start + file.step[0] * np.arange(frames)) * second, {"units": "s"}


def _frames(file: NiftiFile, ask: Ask) -> int:
    return 1 if ask.channels in (TIME_AXIS, DIRECTION) else file.sizes[3]


def _channels(file: NiftiFile, ask: Ask) -> list[str]:
    if ask.channels in (TIME_AXIS, DIRECTION):
        return [f"{ask.channels}{number}" for number in range(file.sizes[3])]
    if ask.channels == FIFTH_AXIS:
        return [f"{FIFTH_AXIS}{number}" for number in range(file.sizes[4])]
    return ["intensity"]


def _names(paths: Sequence[Path]) -> list[str]:
    """What files are called without their endings; with their folders where that is not enough."""
    names = [path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".hdr") for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}/{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two of the files are {twice}, and channels are named as files; rename one")
    return names


def _missing(file: NiftiFile, ask: Ask) -> np.ndarray:
    """Whether each frame (time) lacks any of its channels: t goes before u in the file."""
    frames, channels = _frames(file, ask), file.sizes[3] * file.sizes[4] // _frames(file, ask)
    return np.arange(frames) + frames * (channels - 1) >= file.held


def _array(file: NiftiFile | None, first: NiftiFile, files: Sequence[NiftiFile], ask: Ask) -> dask.array.Array:
    """The values (time, channel, depth, height, width) of one file; NaN all over where there is none."""
    dtype = np.result_type(*(each.dtype for each in files))
    if ask.skip_bad:
        dtype = np.dtype(np.float64 if dtype.type in (np.float64, np.int64, np.uint64) else np.float32)
    known = file or first
    frames = _frames(known, ask)
    shape = (frames, known.sizes[3] * known.sizes[4] // frames, *known.sizes[2::-1])
    return lazily(_reader(file, ask, shape), shape, dtype)


def _reader(file: NiftiFile | None, ask: Ask, shape: tuple[int, ...]) -> Callable[[int, int], np.ndarray]:
    if file is None:
        return lambda start, stop: np.full((stop - start, *shape[1:]), np.nan)
    if ask.channels in (TIME_AXIS, DIRECTION):
        return lambda start, stop: file.read(0, file.sizes[3]).transpose(4, 3, 2, 1, 0)[start:stop]
    if not ask.skip_bad:
        return lambda start, stop: file.read(start, stop).transpose(3, 4, 2, 1, 0)

    lost = _missing(file, ask)

    def read(start: int, stop: int) -> np.ndarray:
        values = file.read(start, stop).transpose(3, 4, 2, 1, 0)
        return np.where(lost[start:stop, None, None, None, None], np.nan, values) if lost[start:stop].any() else values

    return read
