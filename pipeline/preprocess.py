"""Stage `preprocess`: splits, statistics of the training frames alone, normalisation, for all series at once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import dask
import dask.array
import numpy as np
import xarray as xr

from pipeline.grid import natural_boundary
from pipeline.masks import mask_names, with_masks
from pipeline.measured import measured
from pipeline.moments import Moments, Period, merged
from pipeline.normalisation import Normalisation
from pipeline.phases import PHASE, Phases
from pipeline.progress import Progress, Steps
from pipeline.reshape import Reshape, reshaped, told
from pipeline.splits import Span, Splits, spans_of
from pipeline.storage import arrays, codecs, store
from pipeline.storage.make import Storage, make
from pipeline.storage.means import COPIES, Means
from pipeline.survey import refuse_gaps, refuse_leaks
from pipeline.times import in_words, one_further, with_times
from pipeline.volume import AXES, DATA, InputError, Settings

VERSION = 2

COPIES_RESHAPED = 2 * COPIES
"""Copies of a piece that are held while its frames are reshaped."""


@dataclass(frozen=True)
class Normalise(Settings):
    """What is subtracted and what is divided by, of the training frames alone.

    Attributes:
        mean: `voxel` (the mean of each voxel over time), `channel` (one of a whole channel) or `none`. Of anomalies
            the mean is zero already.
        scale: The root mean square of what remains, of a whole `channel` or of each `voxel`; or `none`. A voxel that
            varies less than a thousandth as much as its channel has the channel's scale.
    """

    mean: Literal["voxel", "channel", "none"] = "voxel"
    scale: Literal["channel", "voxel", "none"] = "channel"


@dataclass(frozen=True)
class PreprocessSettings(Settings):
    """Settings of a `preprocess` stage: series are reshaped, cut into splits and normalised. `prepared.zarr` has a
    group for each of them, `statistics.zarr` what they were normalised with. Its inputs name the series.

    Attributes:
        splits: The training, validation and test periods.
        normalise: What is subtracted and what is divided by.
        anomalies: What is subtracted first: the mean of the training frames of the same `month`, `season` (DJF, MAM,
            JJA, SON) or `day` of the year, in each series' own calendar (29 February counts as the 28th); or `none`.
        missing: What becomes of missing values (NaN): `refuse`, or `mask`: they become zero, and a channel is added
            that is 1 where there is a value and 0 where there is none; one for all channels if they always lack the
            same voxels, else one for each.
        chunk: Frames of a chunk, or sizes by axis; by default as many whole frames as fit 4 MB.
        shard: Frames of a shard (a file, with one writer), or sizes by axis; by default 256 MB of chunks.
        compressor: How chunks are compressed: `blosc-lz4`, `blosc-lz4hc`, `blosc-zstd`, `blosc-zlib`, `blosc-blosclz`,
            `zstd`, `gzip`, `lz4`, `zlib`, `bz2`, `lzma` or `none`; with a level as in `zstd:5`.
        reshape: What is done to the volumes before all else.
    """

    splits: Splits
    normalise: Normalise = field(default_factory=Normalise)
    anomalies: Literal["none", "month", "season", "day"] = "none"
    missing: Literal["refuse", "mask"] = "refuse"
    chunk: int | dict[str, int] | None = None
    shard: int | dict[str, int] | None = None
    compressor: str = codecs.DEFAULT
    reshape: Reshape = field(default_factory=Reshape)

    def __post_init__(self):
        _ = self.storage
        if self.reshape.tile is not None and self.of_voxels:
            raise ValueError(
                "statistics of each voxel belong to a place, and tiles lie at different places; with reshape.tile give "
                "normalise: {mean: channel, scale: channel} and no anomalies"
            )

    @property
    def storage(self) -> Storage:
        return Storage.of(self.chunk, self.shard, self.compressor)

    @property
    def of_voxels(self) -> bool:
        """Whether any of the statistics is of each voxel."""
        return self.anomalies != "none" or "voxel" in (self.normalise.mean, self.normalise.scale)


def preprocess(
    settings: PreprocessSettings,
    inputs: dict[str, Path],
    output: Path,
    means: Means = Means(),  # noqa: B008  it is frozen
) -> Steps:
    """Writes `statistics.zarr` and `prepared.zarr` (a normalised volume a series, the splits as attributes).

    Whatever dask's scheduler, the result has the same bits.
    """
    destination, statistics = output / "prepared.zarr", output / "statistics.zarr"
    means = narrowed(means, settings)
    if not destination.exists():
        plan = yield from planned(settings, inputs, means)
        arrays.write_arrays(statistics, plan.normalisation.arrays(), plan.learned_from)
        yield from make(plan.volumes, destination, settings.storage, means, origin_of(settings, inputs))
    yield Progress(3, 3, f"{len(arrays.groups(destination))} series")


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        volumes: Of each series, lazily.
        normalisation: By the statistics of the training frames.
        learned_from: What those are of.
    """

    volumes: dict[str | None, xr.Dataset]
    normalisation: Normalisation
    learned_from: dict[str, Any]


def planned(settings: PreprocessSettings, inputs: dict[str, Path], means: Means) -> Generator[Progress, None, Plan]:
    """Checks, measures, and returns what is to be written.

    Raises:
        InputError: A split does not fit the series, or leaks; series do not fit together; values are missing or
            infinite; or the settings cannot be done.
    """
    yield Progress(0, 3, "checking splits")
    means = narrowed(means, settings)
    more = (settings.missing == "mask", settings.reshape != Reshape())  # masks are as many numbers again
    piece = means.piece / (1 + sum(more))
    opened = {name: store.open_volume(path / "raw.zarr", chunked=True, together=piece) for name, path in inputs.items()}
    series = reshaped({name: with_times(volume) for name, volume in opened.items()}, settings.reshape)
    yield from (Progress(0, 3, "checking splits", line) for line in told(series))
    spans = spans_of(series, settings.splits)
    refuse_unlike(series, settings)
    phases = phases_of(series, spans["train"], settings.anomalies)
    looks = {
        name: measured(volume[DATA].data, periods_of(series, spans["train"], phases, name), means)
        for name, volume in series.items()
    }
    surveys = {name: found for name, (found, _) in looks.items()}
    refuse_gaps(surveys, masked=settings.missing == "mask")
    refuse_leaks(surveys, settings.splits, spans)
    masks = mask_names(series, surveys) if settings.missing == "mask" else []

    yield Progress(1, 3, "statistics of the training frames")
    moments = training_moments(spans["train"], {name: own for name, (_, own) in looks.items()})
    normalisation = Normalisation.measured(
        moments, mean=settings.normalise.mean, scale=settings.normalise.scale, anomalies=phases is not None
    )

    yield Progress(2, 3, "normalising")
    splits = {split: [asdict(span) for span in own] for split, own in spans.items()}
    shared = dask.delayed(normalisation, pure=False, traverse=False)  # one object, however many blocks
    volumes: dict[str | None, xr.Dataset] = {
        name: prepared(volume, shared, phases, masks).assign_attrs(
            splits=splits, boundary=list(natural_boundary(volume))
        )
        for name, volume in series.items()
    }
    return Plan(volumes, normalisation, provenance(series, spans["train"], settings, phases))


def narrowed(means: Means, settings: PreprocessSettings) -> Means:
    """The means, with fewer threads where the memory does not hold what each needs."""
    import pipeline.voxelwise  # noqa: F401  brings numba, whose memory is to be known

    return means.where_each_holds(COPIES if settings.reshape == Reshape() else COPIES_RESHAPED)


def origin_of(settings: PreprocessSettings, inputs: dict[str, Path]) -> dict[str, Any]:
    """What a prepared store was made of."""
    named = {name: str(path.resolve()) for name, path in inputs.items()}
    return {"made_by": "preprocess", "settings": asdict(settings), "inputs": named}


def refuse_unlike(series: dict[str, xr.Dataset], settings: PreprocessSettings) -> None:
    """Refuses series whose frames are not of one shape. Where all statistics are of whole channels, a series that no
    split names need only have as many channels."""
    names = dict.fromkeys((*settings.splits.names().values(), *series))
    first = next(iter(names))
    for name in names:
        one, other = (series[each][DATA].shape[1:] for each in (first, name))
        if name not in settings.splits.names().values() and not settings.of_voxels:
            one, other = one[:1], other[:1]
        if one != other:
            raise InputError(
                f"frames of series {first!r} are {one} ({', '.join(AXES[1:][: len(one)])}), those of {name!r} are "
                f"{other}, and they are to share statistics; bring them to one grid, or give each a stage of its own"
            )


def phases_of(series: dict[str, xr.Dataset], training: list[Span], anomalies: str) -> Phases | None:
    """The phases of the year that the training frames have; `None` where no anomalies are asked for.

    Raises:
        InputError: There are no dates, or a frame, or the one that follows a series, has a phase that training lacks.
    """
    if anomalies == "none":
        return None
    phases = Phases.found(anomalies, (times_of(series, span) for span in training))
    for volume in series.values():
        times = volume.indexes["time"]
        phases.of([*times, one_further(times)] if len(times) > 1 else list(times))
    return phases


def times_of(series: dict[str, xr.Dataset], span: Span) -> list:
    """The times of a span's frames."""
    return list(series[span.series].indexes["time"][span.start : span.stop])


def periods_of(series: dict[str, xr.Dataset], training: list[Span], phases: Phases | None, name: str) -> list[Period]:
    """The training periods of one series."""
    found = []
    for span in training:
        if span.series == name:
            groups = phases.of(times_of(series, span)) if phases else None
            found.append(Period(span.start, span.stop, groups, len(phases.names) if phases else 1))
    return found


def training_moments(training: list[Span], found: dict[str, list[list[Moments | None]]]) -> list[Moments]:
    """The moments of the training frames in each phase, from those of each series' periods, in the order of the
    recipe."""
    own = {name: iter(periods) for name, periods in found.items()}
    periods = [next(own[span.series]) for span in training]
    shape = next(one.mean.shape for period in periods for one in period if one is not None)
    return [merged((period[phase] for period in periods), shape) for phase in range(len(periods[0]))]


def provenance(
    series: dict[str, xr.Dataset], training: list[Span], settings: PreprocessSettings, phases: Phases | None
) -> dict:
    """What the statistics are of, as JSON: the frames of each period by their times, and of each phase their number."""
    periods, frames = [], []
    for span in training:
        times = times_of(series, span)
        first, last = in_words(times[0]), in_words(times[-1])
        periods.append({"series": span.series, "first": first, "last": last, "frames": len(times)})
        frames += list(phases.of(times)) if phases else []
    told = {"periods": periods, "normalise": asdict(settings.normalise)}
    if phases is None:
        return told
    counts = np.bincount(frames, minlength=len(phases.names)).tolist()
    return told | {"anomalies": phases.kind, "phases": dict(zip(phases.names, counts, strict=True))}


def prepared(volume: xr.Dataset, normalisation: object, phases: Phases | None, masks: list[str]) -> xr.Dataset:
    """The volume normalised, float32, with its coordinates, the phase of each frame, and masks as further channels.

    Args:
        normalisation: A `Normalisation`, delayed.
    """
    data = volume[DATA].data.rechunk(dict.fromkeys(range(1, len(AXES)), -1))
    arguments = [data]
    if phases is not None:
        volume = volume.assign_coords({PHASE: phases.coordinate(list(volume.indexes["time"]))})
        own = volume[PHASE].values
        arguments.append(dask.array.from_array(own[:, None, None, None, None], chunks=(data.chunks[0], 1, 1, 1, 1)))
    normal = dask.array.map_blocks(
        normal_block,
        *arguments,
        normalisation=normalisation,
        masks=len(masks),
        dtype=np.float32,
        chunks=(data.chunks[0], (data.shape[1] + len(masks),), *data.chunks[2:]),
        meta=np.empty((0,) * len(AXES), np.float32),
    )
    attributes = {**volume[DATA].attrs, "units": "1", "normalised_from": volume[DATA].attrs.get("units", "")}
    return with_masks(volume, masks).assign({DATA: (AXES, normal, attributes)})


def normal_block(
    frames: np.ndarray, phases: np.ndarray | None = None, *, normalisation: Normalisation, masks: int
) -> np.ndarray:
    """A block of frames normalised; with masks, missing values are zero and masks follow the channels."""
    normal = normalisation.to_normal(frames, None if phases is None else phases.ravel())
    if not masks:
        return normal
    valued = ~np.isnan(normal)
    return np.concatenate([np.where(valued, normal, np.float32(0)), valued[:, :masks].astype(np.float32)], axis=1)
