"""One DICOM file: its frames, where and when each was taken, and their values when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import iter_pixels
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from pipeline.volume import InputError

Vector = tuple[float, ...]

TEMPORAL_POSITION, TRIGGER, ACQUISITION, INSTANCE = (
    "TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime", "InstanceNumber",
)  # fmt: skip
"""What tells frames of one place apart in time, the best first; trigger and acquisition are kept in seconds."""

OTHERWISE = ("EchoTime", "EchoNumbers", "DiffusionBValue", "ImageType", "FlipAngle", "InversionTime")
"""What tells frames of one place apart that are no times."""

FRAME_TIME, FRAME_TIME_VECTOR, GRID_OFFSETS = Tag(0x0018, 0x1063), Tag(0x0018, 0x1065), Tag(0x3004, 0x000C)


NO_DAY, DAY_SECONDS = "10000101", 86400
"""The day of times that have none: they count from its midnight."""


@dataclass(frozen=True)
class Frame:
    """An image (height, width) of a file: where it lies (mm, LPS), what tells its time, and how values are scaled."""

    path: Path
    index: int
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    keys: dict[str, float]
    otherwise: dict[str, str]
    scaling: tuple[float, float]


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file.

    Attributes:
        instance: Its unique identifier.
        series: The identifier, the number and the description of the series that it belongs to.
        size: Rows, columns, samples a pixel.
        photometric: What samples mean, such as MONOCHROME2 or YBR_FULL_422.
        thickness: How far slices are apart, as the header has it, and the field that says so.
        frames: What it declares, in its order.
        held: How many of them it has; as many as it declares where frames are compressed and the file does not tell.
        clip: Seconds of each frame, where the frames of the file are a sequence in time.
        header: Facts of the series, as plain JSON.
    """

    path: Path
    instance: str
    series: tuple[str, str, str]
    size: tuple[int, int, int]
    photometric: str
    thickness: tuple[float, str] | None
    frames: tuple[Frame, ...]
    held: int
    clip: Vector | None
    header: dict[str, Any]


def open_file(path: Path) -> DicomFile | None:
    """What a DICOM file holds; none for a directory of other files (DICOMDIR).

    Raises:
        InputError: It is no DICOM, holds no image, or its header cannot be understood.
    """
    try:
        size = path.stat().st_size
        if not size:
            raise InputError(f"{path} is empty (0 bytes); fetch it again, or leave it out")
        with path.open("rb") as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            begin = file.tell()
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None
        return _described(path, dataset, max(0, size - begin))
    except InputError:
        raise
    except InvalidDicomError as error:
        raise InputError(f"{path} is no DICOM file (it has no DICM after 128 bytes); leave it out") from error
    except Exception as error:  # values are converted when they are looked at, with errors of every kind
        raise InputError(f"{path} cannot be read as DICOM: {error}; fetch it again, or leave it out") from error


def decoded(path: Path, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
    """The stored samples (height, width, sample) of frames of one file, in the order given; colours are RGB.

    Raises:
        InputError: They are not there, damaged, or compressed in a way that nothing installed can read.
    """
    indices = [frame.index for frame in frames]
    try:
        for pixels in iter_pixels(path, indices=indices):
            yield pixels if pixels.ndim == 3 else pixels[..., None]
    except Exception as error:  # decoders of many libraries, each with errors of its own
        told = f"frames {indices[0]} to {indices[-1]}" if len(indices) > 1 else f"frame {indices[0]}"
        raise InputError(
            f"{path} cannot be read in {told}: {error}; fetch it again, or have what cannot be read recorded as "
            "missing (--skip-bad)"
        ) from error


def _described(path: Path, dataset: Dataset, pixel_bytes: int) -> DicomFile:
    modality = str(dataset.get("Modality", "unknown"))
    if "Rows" not in dataset or "Columns" not in dataset or not dataset.Rows or not dataset.Columns:
        raise InputError(f"{path} holds no image (its modality is {modality}), or ends before it; leave it out")
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR" or "ModalityLUTSequence" in dataset:
        table = "colours" if photometric == "PALETTE COLOR" else "values"
        raise InputError(f"{path} stores places in a table of {table} and not {table}; convert it to plain pixels")
    declared = int(dataset.get("NumberOfFrames") or 1)
    syntax = dataset.file_meta.TransferSyntaxUID
    held = declared
    if not (syntax.is_compressed or syntax.is_deflated):
        element = 8 if syntax.is_implicit_VR else 12
        held = max(0, pixel_bytes - element) * declared // get_expected_length(dataset)
    thickness = next(
        (
            (abs(float(dataset[name].value)), name)
            for name in ("SpacingBetweenSlices", "SliceThickness")
            if dataset.get(name)
        ),
        None,
    )
    frames = tuple(_frames(path, dataset, declared))
    return DicomFile(
        path=path,
        instance=str(dataset.get("SOPInstanceUID", "")),
        series=tuple(
            str(dataset.get(name) or "") for name in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription")
        ),
        size=(int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel", 1))),
        photometric=photometric,
        thickness=thickness,
        frames=frames,
        held=min(held, declared),
        clip=_clip(dataset, declared) if frames[0].position is None or declared > 1 else None,
        header={
            "modality": modality,
            "sop_class": str(dataset.get("SOPClassUID", "")),
            "series_uid": str(dataset.get("SeriesInstanceUID", "")),
            "series_number": str(dataset.get("SeriesNumber") or ""),
            "series_description": str(dataset.get("SeriesDescription") or ""),
            "photometric": photometric,
            "bits_stored": int(dataset.get("BitsStored", dataset.BitsAllocated)),
            "rescale": list(frames[0].scaling),
            "rescale_type": str(dataset.get("RescaleType") or ""),
        },
    )


def _frames(path: Path, dataset: Dataset, declared: int) -> Iterator[Frame]:
    """Each frame by the header that is common, and the groups that frames of newer kinds have of their own."""
    common = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    own = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * declared
    if len(own) != declared:
        raise InputError(
            f"{path} declares {declared} frames and describes {len(own)} in PerFrameFunctionalGroupsSequence; mend one"
        )
    offsets = None
    if declared > 1 and "GridFrameOffsetVector" in dataset:
        offsets = [float(value) for value in dataset.GridFrameOffsetVector]
        if len(offsets) != declared:
            raise InputError(f"{path} declares {declared} frames and {len(offsets)} places for them; mend one")
    for index, group in enumerate(own):
        levels = [_flat(group), _flat(common[0]), dataset]

        def find(name: str, levels: list[Dataset] = levels) -> Any:
            return next((level[name].value for level in levels if level.get(name) not in (None, "")), None)

        position, orientation = _vector(find("ImagePositionPatient"), 3), _vector(find("ImageOrientationPatient"), 6)
        if offsets and position and orientation:
            normal = np.cross(orientation[:3], orientation[3:])
            position = tuple((np.array(position) + normal * (offsets[index] - offsets[0])).tolist())
        elif declared > 1 and "ImagePositionPatient" not in levels[0]:
            position = None  # one place for all is none that tells frames apart
        slope, intercept = find("RescaleSlope"), find("RescaleIntercept")
        if slope is None:
            slope = dataset.get("DoseGridScaling")
        yield Frame(
            path=path,
            index=index,
            position=position,
            orientation=orientation,
            spacing=_vector(find("PixelSpacing"), 2),
            keys=_keys(find, alone=declared == 1),
            otherwise={name: str(find(name)) for name in OTHERWISE if find(name) is not None},
            scaling=(float(1 if slope is None else slope), float(intercept or 0)),
        )


def _flat(group: Dataset) -> Dataset:
    """The elements of all macros of a functional group in one data set."""
    flat = Dataset()
    for element in group:
        if element.VR == "SQ" and len(element.value) == 1:
            flat.update({inner.tag: inner for inner in element.value[0]})
    return flat


def _vector(value: Any, length: int) -> Vector | None:
    if value is None:
        return None
    numbers = tuple(float(number) for number in value)
    return numbers if len(numbers) == length and np.isfinite(numbers).all() else None


def _keys(find: Any, *, alone: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    position = find(TEMPORAL_POSITION)
    position = find("TemporalPositionIndex") if position is None else position
    if position is not None:
        found[TEMPORAL_POSITION] = float(position)
    for name in ("TriggerTime", "NominalCardiacTriggerDelayTime"):
        if find(name) is not None:
            found.setdefault(TRIGGER, float(find(name)) / 1000)
    moment = find("FrameAcquisitionDateTime") or find("AcquisitionDateTime")
    if not moment and find("AcquisitionTime"):
        moment = f"{find('AcquisitionDate') or NO_DAY}{find('AcquisitionTime')}"
    seconds = _seconds(str(moment)) if moment else None
    if seconds is not None:
        found[ACQUISITION] = seconds
    if alone and find(INSTANCE) is not None:
        found[INSTANCE] = float(find(INSTANCE))
    return found


def _seconds(moment: str) -> float | None:
    """Seconds since `NO_DAY` of YYYYMMDDHHMMSS.FFFFFF; the shift from universal time behind it is the same for all.

    None where it is no such moment: then something else tells the times.
    """
    whole, _, rest = moment.split("+")[0].split("-")[0].partition(".")
    try:
        parsed = datetime.strptime(whole.ljust(14, "0")[:14], "%Y%m%d%H%M%S")
        return (parsed - datetime.strptime(NO_DAY, "%Y%m%d")).total_seconds() + float(f"0.{rest.strip() or 0}")
    except ValueError:
        return None


def _clip(dataset: Dataset, declared: int) -> Vector | None:
    """Seconds of the frames of a sequence; none where the file does not say that its frames are one."""
    pointers = dataset.get("FrameIncrementPointer")
    pointers = [] if pointers is None else list(pointers) if isinstance(pointers, list) else [pointers]
    if pointers and FRAME_TIME not in pointers and FRAME_TIME_VECTOR not in pointers:
        return None
    if dataset.get("FrameTimeVector") is not None and (not pointers or FRAME_TIME_VECTOR in pointers):
        steps = np.array(dataset.FrameTimeVector, float).reshape(-1)
        if len(steps) != declared:
            raise InputError(f"{dataset.filename} declares {declared} frames and {len(steps)} times; mend one")
        return tuple((np.cumsum(steps) / 1000).tolist())
    milliseconds = float(dataset.get("FrameTime") or 0)
    if not milliseconds:
        rate = float(dataset.get("CineRate") or dataset.get("RecommendedDisplayFrameRate") or 0)
        milliseconds = 1000 / rate if rate else 0
    return tuple((np.arange(declared) * milliseconds / 1000).tolist()) if milliseconds > 0 else None
