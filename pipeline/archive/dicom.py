"""DICOM: the images of one series as one volume (time, channel, depth, height, width), lazily."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.archive.ask import Ask
from pipeline.archive.assemble import Coordinate, assemble, lazily
from pipeline.archive.dicom_file import (
    ACQUISITION,
    DAY_SECONDS,
    INSTANCE,
    TEMPORAL_POSITION,
    TRIGGER,
    DicomFile,
    Frame,
    decoded,
    open_file,
)
from pipeline.archive.geometry import check_affine, spatial
from pipeline.volume import InputError

SERIES, FRAME_AXIS = "series", "frame"
"""What `ask.select` chooses a series by, and `ask.time` the frames of a file that does not say what they are."""

SAME_PLACE = 1e-3
"""Millimetres that the positions of one slice may differ by."""

UNEVEN, NOTABLE = 0.1, 0.01
"""By which part of the usual step slices may lie elsewhere: more is refused, and less than the second is nothing."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class _Arrangement:
    """Frames by time and depth, their times, and the affine (RAS+) where positions are known."""

    table: list[list[Frame]]
    times: Coordinate
    affine: np.ndarray | None


def open_dicom(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """DICOM files of one series as one volume: slices, slices at several times, or a sequence of frames.

    Slices are put in order by their positions along the normal of their plane, and that is their spacing too; what
    the header says of thickness and spacing is only compared. Where positions are repeated, TemporalPositionIdentifier,
    TriggerTime, AcquisitionTime and InstanceNumber tell the times, the first of them that tells frames apart. Frames
    without positions are a sequence in time: by FrameTime, FrameTimeVector or the rate of a file's frames, otherwise by
    the same four of the files. Numbers of frames stand for times where nothing gives seconds.

    `ask.select` may choose the series, by its number or its identifier, among several; `ask.time` "frame" says that the
    frames of a file that does not say it are a sequence in time.

    Returns:
        `data` (time, channel, depth, height, width) in the stored type, or float32 (float64 for 32 bits and more) where
        the header rescales values; one channel, or red, green and blue; `time` in seconds; `z`, `y`, `x` in mm (see
        `pipeline.archive.geometry.spatial`; without positions only y and x, counted from a corner, where the spacing
        of pixels is known); with `ask.skip_bad` floats, and `missing`. Attributes: `source_format`, `dicom` (facts of
        the series, no names of patients), and `affine` and `orientation` where there are positions.

    Raises:
        InputError: A file cannot be read or is cut off; there are several series, uneven gaps between slices, slices
            that nothing tells apart, or files that disagree; or something is asked that DICOM has not.
    """
    number = _check_ask(ask)
    opened = [file for path in paths if (file := open_file(path)) is not None]
    if not opened:
        raise InputError(f"{', '.join(map(str, paths))} only lists other files; name those, or their folder")
    files = _one_series(opened, number)
    _check_files(files, ask)
    arranged = _arrange(files, ask)
    lost = _lost(arranged.table, files) if ask.skip_bad else np.zeros(_shape(arranged.table), bool)
    if lost.all():
        raise InputError(f"none of {len(files)} files holds a whole frame, {files[0].path} first; fetch them again")

    rows, columns, samples = files[0].size
    dtype = _dtype(arranged.table, lost, wide=ask.skip_bad)
    depth = len(arranged.table[0])
    data = lazily(
        lambda start, stop: _read(arranged.table[start:stop], lost[start:stop], (samples, rows, columns), dtype),
        (len(arranged.table), samples, depth, rows, columns),
        dtype,
    )
    coordinates, attributes = _places(arranged, files[0])
    coordinates["time"] = arranged.times
    if ask.skip_bad:
        coordinates["missing"] = (
            "time",
            lost.any(axis=1),
            {"long_name": "whether part of the frame could not be read"},
        )
    return assemble(
        data,
        channels=["red", "green", "blue"] if samples == 3 else ["intensity"],
        coordinates=coordinates,
        attributes=attributes | {"source_format": "DICOM", "dicom": files[0].header},
    )


def _check_ask(ask: Ask) -> str:
    """The series that is chosen, or nothing."""
    if ask.variables:
        raise InputError(
            f"variables {', '.join(ask.variables)} are asked for, and DICOM has none by name; leave them out (--select "
            "series=NUMBER chooses a series)"
        )
    if ask.channels:
        raise InputError(
            f"channels are to be {ask.channels!r}; of DICOM they are the colours, and nothing can be named"
        )
    if ask.time not in ("", FRAME_AXIS):
        raise InputError(f"the axis {ask.time!r} is to be time; of DICOM only the frames of a file can be, 'frame'")
    return dict(ask.select).get(SERIES, "")


def _one_series(files: Sequence[DicomFile], chosen: str) -> list[DicomFile]:
    found = Counter(file.series for file in files)
    listed = "; ".join(
        f"series {number or '(no number)'}, {description or 'no description'}, {count} files, {uid}"
        for (uid, number, description), count in sorted(found.items(), key=lambda item: item[0][1].zfill(9))
    )
    if chosen:
        found = {series: count for series, count in found.items() if chosen in series[:2]}
    if len({uid for uid, _, _ in found}) != 1:
        what = f"{len(found)} series are called {chosen}" if chosen else f"the files are of {len(found)} series"
        raise InputError(
            f"{what}, and one makes a volume ({listed}); choose one by --select series=NUMBER, or by its UID"
        )
    return [file for file in files if file.series in found]


def _check_files(files: Sequence[DicomFile], ask: Ask) -> None:
    instances: dict[str, DicomFile] = {}
    for file in files:
        twin = instances.setdefault(file.instance or str(file.path), file)
        if twin is not file:
            raise InputError(f"{twin.path} and {file.path} are the same image ({file.instance}); leave one out")
        if file.size != files[0].size:
            raise InputError(
                f"{files[0].path} and {file.path} have {list(files[0].size)} and {list(file.size)} rows, columns and "
                "samples a pixel; ingest them apart"
            )
        if file.held < len(file.frames) and not ask.skip_bad:
            raise InputError(
                f"{file.path} declares {len(file.frames)} frames and holds {file.held}: it ends early; fetch it again, "
                "or have what cannot be read recorded as missing (--skip-bad)"
            )
    if files[0].size[2] not in (1, 3):
        raise InputError(f"{files[0].path} has {files[0].size[2]} samples a pixel; a volume has 1, or 3 for colours")


def _arrange(files: Sequence[DicomFile], ask: Ask) -> _Arrangement:
    frames = _past_midnight([frame for file in files for frame in file.frames])
    placed = [frame for frame in frames if frame.position and frame.orientation and frame.spacing]
    if len(placed) == len(frames):
        return _by_position(frames, files)
    if placed:
        other = next(frame for frame in frames if frame not in placed)
        raise InputError(
            f"{placed[0].path} says where it lies and {other.path} (frame {other.index}) does not; ingest them apart"
        )
    if len(files) == 1 and len(frames) > 1:
        return _Arrangement([[frame] for frame in frames], _clip_times(files[0], ask), None)
    clip = next((file for file in files if len(file.frames) > 1), None)
    if clip is not None:
        raise InputError(
            f"{clip.path} is a sequence of {len(clip.frames)} frames, one of {len(files)} files; ingest each file alone"
        )
    rows = _in_time([frames], "without positions")
    return _Arrangement(rows, _times(rows), None)


def _past_midnight(frames: Sequence[Frame]) -> list[Frame]:
    """Frames whose times have no day, some of the last hours and some of the first: these are of the day after."""
    clocks = [frame.keys.get(ACQUISITION, DAY_SECONDS) for frame in frames]
    if max(clocks) >= DAY_SECONDS or max(clocks) - min(clocks) <= DAY_SECONDS / 2:
        return list(frames)
    return [
        replace(frame, keys=frame.keys | {ACQUISITION: clock + DAY_SECONDS * (clock < DAY_SECONDS / 2)})
        for frame, clock in zip(frames, clocks, strict=True)
    ]


def _clip_times(file: DicomFile, ask: Ask) -> Coordinate:
    if file.clip is not None:
        return "time", np.array(file.clip), {"units": "s"}
    if ask.time != FRAME_AXIS:
        raise InputError(
            f"{file.path} has {len(file.frames)} frames and says neither where nor when they were taken; say that they "
            "are a sequence in time (--time frame)"
        )
    return "time", np.arange(len(file.frames)), {}


def _by_position(frames: Sequence[Frame], files: Sequence[DicomFile]) -> _Arrangement:
    first = frames[0]
    for frame in frames[1:]:
        for what, one, other in (
            ("orientations", first.orientation, frame.orientation),
            ("spacings of pixels", first.spacing, frame.spacing),
        ):
            if not np.allclose(one, other, rtol=1e-3, atol=1e-3):
                raise InputError(
                    f"{first.path} and {frame.path} have the {what} {list(one)} and {list(other)}; slices of one "
                    "volume share them: ingest them apart"
                )
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(across, down)
    ordered = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    slices: list[list[Frame]] = []
    for frame in ordered:
        if slices and np.dot(frame.position, normal) - np.dot(slices[-1][0].position, normal) < SAME_PLACE:
            slices[-1].append(frame)
        else:
            slices.append([frame])

    positions = np.array([group[0].position for group in slices])
    step = _even_step(positions, normal, first.path, files[0].thickness)
    counts = Counter(len(group) for group in slices)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(group for group in slices if len(group) != usual)
        raise InputError(
            f"the slice at {float(np.dot(odd[0].position, normal)):.6g} mm ({odd[0].path}) has {len(odd)} frames, and "
            f"other slices have {usual}; fetch what is missing, or leave out what is too much"
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * first.spacing[1], down * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    affine = LPS_TO_RAS @ affine
    check_affine(affine, first.path)
    rows = _in_time(slices, f"at {float(np.dot(positions[0], normal)):.6g} mm")
    return _Arrangement(rows, _times(rows), affine)


def _even_step(
    positions: np.ndarray, normal: np.ndarray, path: Path, thickness: tuple[float, str] | None
) -> np.ndarray:
    """From one slice to the next (3), of positions (slice, 3) in order, in mm; even steps, or an error.

    Raises:
        InputError: A step differs by more than a tenth from the usual one: a slice is missing, or lies elsewhere.
    """
    if len(positions) == 1:
        return normal * (thickness[0] if thickness else 1.0)
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    worst = int(np.abs(steps - usual).argmax())
    off = np.linalg.norm(positions - positions[0] - np.arange(len(positions))[:, None] * step, axis=1)
    told = (
        f"the slices of {path.parent} lie unevenly: {along[worst]:.6g} and {along[worst + 1]:.6g} mm are "
        f"{steps[worst]:.6g} mm apart, and the usual step is {usual:.6g} mm (positions "
        f"{', '.join(f'{place:.6g}' for place in along[:12])}{', ..' if len(along) > 12 else ''})"
    )
    if abs(steps[worst] - usual) > UNEVEN * usual or off.max() > UNEVEN * usual:
        if abs(steps[worst] - usual) <= UNEVEN * usual:
            aside = int(off.argmax())
            told = (
                f"the slice of {path.parent} at {along[aside]:.6g} mm lies {off[aside]:.3g} mm beside the others' line"
            )
        raise InputError(f"{told}; fetch the slices that are missing, or leave out those that do not belong")
    if abs(steps[worst] - usual) > NOTABLE * usual:
        warnings.warn(f"{told}: they are taken as even, {float(step @ normal):.6g} mm", stacklevel=5)
    if thickness and abs(thickness[0] - float(step @ normal)) > NOTABLE * float(step @ normal):
        warnings.warn(
            f"{path} has {thickness[1]} {thickness[0]:.6g} mm, and the positions of the slices are "
            f"{float(step @ normal):.6g} mm apart: the positions are taken",
            stacklevel=5,
        )
    return step


def _in_time(slices: Sequence[Sequence[Frame]], place: str) -> list[list[Frame]]:
    """Frames by time and slice: those of each slice ordered by what tells all of them apart.

    Raises:
        InputError: Nothing does, or something that is no time does.
    """
    if len(slices[0]) == 1:
        return [[group[0] for group in slices]]
    for group in slices:
        for frame in group[1:]:
            for name, value in group[0].otherwise.items():
                if frame.otherwise.get(name, value) != value:
                    raise InputError(
                        f"{group[0].path} (frame {group[0].index}) and {frame.path} (frame {frame.index}) lie at one "
                        f"place and have the {name} {value} and {frame.otherwise[name]}: they are no times; ingest "
                        "them apart"
                    )
    for key in (TEMPORAL_POSITION, TRIGGER, ACQUISITION, INSTANCE):
        if all(len({frame.keys.get(key, np.nan) for frame in group}) == len(group) for group in slices) and all(
            key in frame.keys for group in slices for frame in group
        ):
            columns = [sorted(group, key=lambda frame: frame.keys[key]) for group in slices]
            return [list(row) for row in zip(*columns, strict=True)]
    one, other = slices[0][:2]
    raise InputError(
        f"{one.path} (frame {one.index}) and {other.path} (frame {other.index}), {place}, are told apart by none of "
        f"{TEMPORAL_POSITION}, {TRIGGER}, {ACQUISITION} and {INSTANCE}; leave one out"
    )


def _times(rows: Sequence[Sequence[Frame]]) -> Coordinate:
    """Seconds: of the trigger delay, or since the first acquisition, at the first slice of each time."""
    for key in (TRIGGER, ACQUISITION):
        if len(rows) > 1 and all(key in frame.keys for row in rows for frame in row):
            seconds = np.array([min(frame.keys[key] for frame in row) for row in rows])
            if (np.diff(seconds) > 0).all():
                return "time", seconds - (seconds[0] if key == ACQUISITION else 0), {"units": "s"}
    return "time", np.arange(len(rows)), {}


def _places(arranged: _Arrangement, first: DicomFile) -> tuple[dict[str, Coordinate], dict[str, Any]]:
    rows, columns, _ = first.size
    if arranged.affine is not None:
        return spatial(arranged.affine, (columns, rows, len(arranged.table[0])))
    spacing = first.frames[0].spacing
    if spacing is None:
        return {}, {}
    return {
        "y": ("height", spacing[0] * np.arange(rows), {"units": "mm"}),
        "x": ("width", spacing[1] * np.arange(columns), {"units": "mm"}),
    }, {}


def _shape(table: Sequence[Sequence[Frame]]) -> tuple[int, int]:
    return len(table), len(table[0])


def _lost(table: Sequence[Sequence[Frame]], files: Sequence[DicomFile]) -> np.ndarray:
    """Which frames (time, depth) cannot be read: everything is decoded once to see it."""
    held = {file.path: file.held for file in files}

    def unreadable(frame: Frame) -> bool:
        if frame.index >= held[frame.path]:
            return True
        try:
            list(decoded(frame.path, [frame]))
        except InputError:
            return True
        return False

    return np.array([[unreadable(frame) for frame in row] for row in table])


def _dtype(table: Sequence[Sequence[Frame]], lost: np.ndarray, *, wide: bool) -> np.dtype:
    """The type of the values; one frame is decoded for it, which tells too whether its compression can be read."""
    time, depth = np.argwhere(~lost)[0]
    frame = table[time][depth]
    stored = next(iter(decoded(frame.path, [frame]))).dtype
    scaled = any(each.scaling != (1, 0) for row in table for each in row)
    if scaled or wide:
        return np.dtype(np.float64 if stored.itemsize >= 4 and stored != np.float32 else np.float32)
    return stored.newbyteorder("=")


def _read(
    table: Sequence[Sequence[Frame]], lost: np.ndarray, frame_shape: tuple[int, int, int], dtype: np.dtype
) -> np.ndarray:
    """Values (time, channel, depth, height, width) of a part of the table, each file read once."""
    samples, rows, columns = frame_shape
    values = np.full((len(table), samples, len(table[0]), rows, columns), np.nan if dtype.kind == "f" else 0, dtype)
    wanted: dict[Path, list[tuple[int, int, Frame]]] = {}
    for time, row in enumerate(table):
        for depth, frame in enumerate(row):
            if not lost[time, depth]:
                wanted.setdefault(frame.path, []).append((time, depth, frame))
    for path, places in wanted.items():
        places.sort(key=lambda place: place[2].index)
        frames = [frame for _, _, frame in places]
        for (time, depth, frame), pixels in zip(places, decoded(path, frames), strict=True):
            slope, intercept = frame.scaling
            scaled = pixels if frame.scaling == (1, 0) else pixels * np.float64(slope) + intercept
            if dtype.kind != "f" and not np.can_cast(scaled.dtype, dtype):
                raise InputError(f"{path} stores {scaled.dtype}, and the first file {dtype}; ingest them apart")
            values[time, :, depth] = np.moveaxis(scaled, -1, 0)
    return values
