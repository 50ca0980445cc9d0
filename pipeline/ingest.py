"""Stage and command `ingest`: an archive into one store, axes (T, C, D, H, W), coordinates kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from pipeline import store
from pipeline.archive import Ask, open_archive
from pipeline.progress import Progress, Steps
from pipeline.volume import AXES, DATA, InputError, Settings, default_chunk

VERSION = 2


@dataclass(frozen=True)
class IngestSettings(Settings):
    """Settings of an `ingest` stage.

    Attributes:
        source: A file, a folder of files or a store: a path (relative ones start at the recipe's folder),
            `package://NAME/PATH`, or the URL of a store; or several of them.
        variable: The variable to read, or several, which become channels; none where the archive has only one.
        select: For axes by name what is taken of them: a value, or `FIRST:LAST`, both included.
        channels: What is stacked as channels: `variables`, `files`, or the name of an axis.
        time: The axis that is time, where the archive does not say it.
        skip_bad: Whether frames that cannot be read are recorded as missing.
        chunk: Frames a chunk; by default as many whole frames as fit 4 MB.
    """

    source: str | tuple[str, ...]
    variable: str | tuple[str, ...] | None = None
    select: dict[str, str] = field(default_factory=dict)
    channels: str = ""
    time: str = ""
    skip_bad: bool = False
    chunk: int | None = None

    def __post_init__(self):
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}; give at least 1 frame")

    @property
    def sources(self) -> list[Path | str]:
        given = (self.source,) if isinstance(self.source, str) else self.source
        return [source if "://" in source else Path(source) for source in given]

    @property
    def ask(self) -> Ask:
        variables = (self.variable,) if isinstance(self.variable, str) else self.variable or ()
        return Ask(variables, tuple(self.select.items()), self.channels, self.time, self.skip_bad)


def ingest(settings: IngestSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `raw.zarr` into the folder `output`."""
    del inputs
    yield Progress(0, 1, f"reading {Path(str(settings.sources[0])).name}")
    volume = write(settings.sources, output / "raw.zarr", settings.ask, settings.chunk)
    yield Progress(1, 1, " x ".join(str(volume.sizes[axis]) for axis in AXES))


def write(sources: Sequence[Path | str], destination: Path, ask: Ask, chunk: int | None = None) -> xr.Dataset:
    """Writes an archive to a store, which appears when all of it is there; what was written, lazily.

    Raises:
        InputError: As for `open_archive`; or something is at the destination, or it cannot be written to.
    """
    if destination.exists() or destination.is_symlink():
        raise InputError(f"{destination} is there already; remove it, or choose another name")
    folder = next(parent for parent in destination.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise InputError(f"{destination} cannot be made: {folder} is no folder; choose another place")
    volume = open_archive(sources, ask)
    frame = volume[DATA].isel(time=0)
    chunk = min(chunk or default_chunk(frame.nbytes), volume.sizes["time"])
    try:
        store.write_volume({None: volume}, destination, {None: chunk})
    except OSError as error:
        raise InputError(
            f"{destination} cannot be made: {error}; make room, allow it, or choose another place"
        ) from error
    return volume


def told(volume: xr.Dataset, destination: Path) -> list[str]:
    """What was written, in words: sizes, the span of time, channels."""
    sizes = ", ".join(f"{axis} {volume.sizes[axis]}" for axis in AXES)
    lines = [f"{destination}: {sizes}; {volume[DATA].dtype}, {volume[DATA].nbytes / 1e6:.1f} MB before compression"]
    if "time" in volume.coords:
        times = volume["time"].values
        unit = volume["time"].attrs.get("units", "")
        lines.append(f"time from {times[0]} to {times[-1]} {unit}".rstrip())
    lines.append(f"channels {', '.join(map(str, volume['channel'].values))}")
    lines += [f"left out: {one}" for one in volume.attrs.get("skipped", ())]
    if "missing" in volume.coords and volume["missing"].values.any():
        frames = [str(frame) for frame in volume["missing"].values.nonzero()[0]]
        shown = ", ".join(frames[:20]) + (", ..." if len(frames) > 20 else "")
        lines.append(f"{len(frames)} of {volume.sizes['time']} frames could not be read and are missing: {shown}")
    return lines
