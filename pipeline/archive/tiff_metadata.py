"""What a TIFF file says of its channels, sizes and times: OME-XML, or ImageJ's description."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
import tifffile

SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
MICROMETRES = ("um", "micron", "microns", "micrometer", "micrometre", "\\u00b5m")
NO_UNITS = ("", "pixel", "pixels", "reference frame")


@dataclass(frozen=True)
class Said:
    """What is said of a series; nothing where nothing is.

    Attributes:
        channels: Names.
        sizes: Of `z`, `y` and `x`: the distance of neighbours, and its unit.
        interval: Seconds from frame to frame.
        times: (frames,) seconds, where each frame has its own.
    """

    channels: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[float, str]] = field(default_factory=dict)
    interval: float | None = None
    times: np.ndarray | None = None


def said(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Said:
    """What the file says of a series; metadata that cannot be read say nothing."""
    if series.kind == "ome" and file.ome_metadata:
        return _of_ome(file.ome_metadata, next(n for n, each in enumerate(file.series) if each is series))
    if series.kind == "imagej" and file.imagej_metadata:
        return _of_imagej(file)
    return Said()


def _of_ome(xml: str, index: int) -> Said:
    try:
        images = ElementTree.fromstring(xml).findall("{*}Image")
        pixels = images[index].find("{*}Pixels")
    except (ElementTree.ParseError, IndexError):
        return Said()
    if pixels is None:
        return Said()
    names = [channel.get("Name") or str(number) for number, channel in enumerate(pixels.findall("{*}Channel"))]
    sizes = {}
    for name in "zyx":
        size = _positive(pixels.get(f"PhysicalSize{name.upper()}"))
        unit = _unit(pixels.get(f"PhysicalSize{name.upper()}Unit", "um"))
        if size and unit:
            sizes[name] = (size, unit)
    step = (_positive(pixels.get("TimeIncrement")) or 0.0) * SECONDS.get(pixels.get("TimeIncrementUnit", "s"), 0.0)
    times = {}
    for plane in pixels.findall("{*}Plane"):
        if plane.get("TheC") == "0" and plane.get("TheZ") == "0" and plane.get("DeltaT"):
            seconds = float(plane.get("DeltaT")) * SECONDS.get(plane.get("DeltaTUnit", "s"), np.nan)
            times[int(plane.get("TheT"))] = seconds
    ordered = np.array([times.get(number, np.nan) for number in range(len(times))], np.float64)
    usable = len(ordered) > 0 and np.isfinite(ordered).all() and (np.diff(ordered) > 0).all()
    return Said(names, sizes, step or None, ordered if usable else None)


def _of_imagej(file: tifffile.TiffFile) -> Said:
    found, tags = file.imagej_metadata, file.pages.first.tags
    unit = _unit(str(found.get("unit", "")))
    sizes = {}
    for name, tag in (("y", "YResolution"), ("x", "XResolution")):
        if unit and tag in tags and all(tags[tag].value):
            counts, units = tags[tag].value
            sizes[name] = (units / counts, unit)
    if unit and _positive(found.get("spacing")):
        sizes["z"] = (_positive(found["spacing"]), unit)
    step = (_positive(found.get("finterval")) or 0.0) * SECONDS.get(str(found.get("tunit", "s")).strip(), 0.0)
    return Said([], sizes, step or None)


def _positive(text: object) -> float | None:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if 0 < value < np.inf else None


def _unit(text: str) -> str:
    """The unit as it is written everywhere here; empty for pixels."""
    text = text.strip().replace("µ", "u").replace("μ", "u")
    if text.lower() in MICROMETRES:
        return "um"
    return "" if text.lower() in NO_UNITS else text
