"""Stage and command `ingest`: an archive into one store, axes (T, C, D, H, W), coordinates kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.archive import Ask, open_archive
from pipeline.progress import Progress, Steps
from pipeline.storage import codecs, store
from pipeline.storage.make import Storage, make
from pipeline.storage.means import Means
from pipeline.storage.more import refuse_misfit, with_more
from pipeline.storage.origin import origin_of
from pipeline.times import in_words
from pipeline.volume import AXES, DATA, InputError, Settings

VERSION = 3


@dataclass(frozen=True)
class IngestSettings(Settings):
    """Settings of an `ingest` stage: an archive becomes the store `raw.zarr` (time, channel, depth, height, width).

    Attributes:
        source: A file, a folder of files or a store: a path (relative ones start at the recipe's folder),
            `package://NAME/PATH`, or the URL of a store; or several of them.
        variable: The variable to read, or several, which become channels; none where the archive has only one.
        select: For axes by name what is taken of them: a value, or `FIRST:LAST`, both included.
        channels: What is stacked as channels: `variables`, `files`, or the name of an axis.
        time: The axis that is time, where the archive does not say it.
        skip_bad: Whether frames that cannot be read are recorded as missing.
        chunk: Frames of a chunk, or sizes by axis; by default as many whole frames as fit 4 MB.
        shard: Frames of a shard (a file, with one writer), or sizes by axis; by default 256 MB of chunks.
        compressor: How chunks are compressed: `blosc-lz4`, `blosc-lz4hc`, `blosc-zstd`, `blosc-zlib`, `blosc-blosclz`,
            `zstd`, `gzip`, `lz4`, `zlib`, `bz2`, `lzma` or `none`; with a level as in `zstd:5`.
    """

    source: str | tuple[str, ...]
    variable: str | tuple[str, ...] | None = None
    select: dict[str, str] = field(default_factory=dict)
    channels: str = ""
    time: str = ""
    skip_bad: bool = False
    chunk: int | dict[str, int] | None = None
    shard: int | dict[str, int] | None = None
    compressor: str = codecs.DEFAULT

    def __post_init__(self):
        _ = self.storage

    @property
    def storage(self) -> Storage:
        return Storage.of(self.chunk, self.shard, self.compressor)

    @property
    def sources(self) -> list[Path | str]:
        given = (self.source,) if isinstance(self.source, str) else self.source
        return [source if "://" in source else Path(source) for source in given]

    @property
    def ask(self) -> Ask:
        variables = (self.variable,) if isinstance(self.variable, str) else self.variable or ()
        return Ask(variables, tuple(self.select.items()), self.channels, self.time, self.skip_bad)


def ingest(
    settings: IngestSettings,
    inputs: dict[str, Path],
    output: Path,
    means: Means = Means(),  # noqa: B008  it is frozen
) -> Steps:
    """Writes `raw.zarr` into the folder `output`, or what is left of it to be written."""
    del inputs
    destination = output / "raw.zarr"
    if not destination.exists():
        yield from bring_in(settings.sources, destination, settings.ask, settings.storage, means)
    volume = store.open_volume(destination)
    yield Progress(1, 1, " x ".join(str(volume.sizes[axis]) for axis in AXES))


def bring_in(
    sources: Sequence[Path | str],
    destination: Path,
    ask: Ask,
    storage: Storage = Storage(),  # noqa: B008  it is frozen
    means: Means = Means(),  # noqa: B008  it is frozen
    *,
    append: bool = False,
) -> Steps:
    """Writes an archive to a store, which appears when all of it is there; or, with `append`, adds it to what the
    store holds, cut and compressed as that is.

    Raises:
        InputError: As for `open_archive` and `make`; what is to be added does not follow what is there.
    """
    part = {"sources": [str(source) for source in sources], "ask": asdict(ask)}
    if not append:
        origin = {"made_by": "ingest", "parts": [part | {"stamps": stamps(sources)}]}
        yield Progress(0, 1, f"reading {Path(str(sources[0])).name}")
        yield from make({None: open_archive(sources, ask)}, destination, storage, means, origin)
        return
    known = origin_of(destination)
    if known.get("made_by") != "ingest":
        raise InputError(f"{destination} is no store that `chronovox ingest` made, and nothing can be added to it")
    yield Progress(0, 1, f"reading {Path(str(sources[0])).name}")
    more = open_archive(sources, ask)
    earlier = store.open_volume(destination, chunked=True)
    refuse_misfit(earlier, more, destination)
    origin = known | {"parts": [*known["parts"], part | {"stamps": stamps(sources)}]}
    storage = Storage(**known["storage"])  # else no shard of it could be taken over
    yield from make({None: with_more(earlier, more)}, destination, storage, means, origin, longer=True)


def again(origin: Mapping[str, Any]) -> xr.Dataset:
    """The volume that a store was made of, lazily.

    Raises:
        InputError: As for `open_archive`; or a file is not as it was.
    """
    volume = None
    for part in origin["parts"]:
        sources = [source if "://" in source else Path(source) for source in part["sources"]]
        for path, stamp in part["stamps"].items():
            if not Path(path).exists():
                raise InputError(f"{path} is not there any more; bring it back, or ingest anew")
            if list(stamp_of(Path(path))) != stamp:
                raise InputError(f"{path} was changed since it was read; ingest anew, or bring the old one back")
        asked = {name: tuple(map(tuple, value)) if name == "select" else value for name, value in part["ask"].items()}
        found = open_archive(sources, Ask(**asked | {"variables": tuple(asked["variables"])}))
        volume = found if volume is None else with_more(volume, found)
    return volume


def stamps(sources: Sequence[Path | str]) -> dict[str, list[int]]:
    """Size and time of the last change (ns) of all files; of URLs nothing is known."""
    paths = [source for source in sources if isinstance(source, Path)]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return {str(file): list(stamp_of(file)) for file in files if file.is_file()}


def stamp_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def told(volume: xr.Dataset, destination: Path) -> list[str]:
    """What was written, in words: sizes, the span of time, runs, channels."""
    sizes = ", ".join(f"{axis} {volume.sizes[axis]}" for axis in AXES)
    lines = [f"{destination}: {sizes}; {volume[DATA].dtype}, {volume[DATA].nbytes / 1e6:.1f} MB before compression"]
    if "time" in volume.coords:
        times = volume["time"].values
        unit = volume["time"].attrs.get("units", "")
        lines.append(f"time from {in_words(times[0])} to {in_words(times[-1])} {unit}".rstrip())
    if "run" in volume.coords:
        frames = np.unique(volume["run"].values, return_counts=True)[1]
        sizes = " to ".join(map(str, dict.fromkeys((frames.min(), frames.max()))))
        lines.append(f"{len(frames)} runs of {sizes} frames")
    lines.append(f"channels {', '.join(map(str, volume['channel'].values))}")
    lines += [f"left out: {one}" for one in volume.attrs.get("skipped", ())]
    if "missing" in volume.coords and volume["missing"].values.any():
        frames = [str(frame) for frame in volume["missing"].values.nonzero()[0]]
        shown = ", ".join(frames[:20]) + (", ..." if len(frames) > 20 else "")
        lines.append(f"{len(frames)} of {volume.sizes['time']} frames could not be read and are missing: {shown}")
    return lines
