"""The moving picture of a report: what was made, truth and error of frames in a row."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pipeline.dataset import Truth
from pipeline.label_figures import label_colours
from pipeline.storage import store
from pipeline.times import in_words

FRAMES = 24
"""That are shown at most."""

PIXELS = 160
"""Of an axis that are drawn at most; of a longer one every second voxel, every third, ..."""

PAUSE = 250
"""Milliseconds that a frame is shown."""

SIZE, DPI = (9.0, 2.6), 80


def in_a_row(tested: Sequence[tuple[str, int]], series: str, middle: int) -> list[int]:
    """The tested frames of a series around one of them, in a row, and not more than are shown."""
    own = [frame for name, frame in tested if name == series]
    gaps = np.flatnonzero(np.diff(own) != 1) + 1
    row = next(part.tolist() for part in np.split(np.array(own), gaps) if middle in part)
    first = min(max(0, row.index(middle) - FRAMES // 2), max(0, len(row) - FRAMES))
    return row[first : first + FRAMES]


def moving_maps(prediction: Path, truth: Truth, numbers: Sequence[int], lead: int, classes: int | None) -> dict:
    """Frames in a row, channel 0, middle slice, each of the panels with one range of colours for all frames.

    Args:
        numbers: Of the frames.
        lead: 1 of forecasts, 0 of what is made of the frame itself.
        classes: How many labels there are, where the channel holds labels.

    Returns:
        For the page: the `picture` (a data URI), how many `frames`, and the times of the `first` and `last`.
    """
    times = [in_words(truth.volume["time"].values[number]) for number in numbers]
    middle, upwards = truth.volume.sizes["depth"] // 2, _upwards(truth)
    pairs = []
    for number in numbers:
        made = store.read_frames(prediction, None, number - lead, number - lead + 1)[0, 0, middle]
        pairs.append([_thinned(one)[::upwards] for one in (made, truth.frames(number, number + 1)[0, 0, middle])])
    made, real = np.moveaxis(np.array(pairs), 1, 0)
    name = "forecast" if lead else "model"
    if classes is None:
        range_, reach = (np.nanmin(pairs), np.nanmax(pairs)), np.nanmax(np.abs(made - real))
        colours = {"cmap": "inferno", "vmin": range_[0], "vmax": range_[1]}
        third = "error", made - real, {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    else:
        colours, two = label_colours(classes)
        real = np.round(real)
        third = "where they differ", np.where(np.isnan(real), np.nan, made != real), two
    frames = _drawn([(name, made, colours), ("truth", real, colours), third], times)
    return {"picture": _as_uri(frames), "frames": len(times), "first": times[0], "last": times[-1]}


def _upwards(truth: Truth) -> int:
    """1 where rows go up in a picture, as they do in the report's maps; -1 where latitudes fall from row to row."""
    latitudes = truth.volume.coords.get("latitude")
    return -1 if latitudes is not None and latitudes.ndim == 1 and latitudes[0] > latitudes[-1] else 1


def _thinned(field: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "rows columns"]:
    """A field of not more voxels than are drawn."""
    down, along = (-(-size // PIXELS) for size in field.shape)
    return field[::down, ::along]


def _drawn(
    panels: Sequence[tuple[str, Float[np.ndarray, "frame rows columns"], dict]], times: Sequence[str]
) -> list[Image.Image]:
    """The pictures, one a frame."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    all_axes, drawn = figure.subplots(1, len(panels)), []
    images = [
        axes.imshow(fields[0], origin="lower", **colours)
        for axes, (_, fields, colours) in zip(all_axes, panels, strict=True)
    ]
    for axes, (name, _, _) in zip(all_axes, panels, strict=True):
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    for number, time in enumerate(times):
        for image, (_, fields, _) in zip(images, panels, strict=True):
            image.set_data(fields[number])
        figure.suptitle(time, fontsize=9)
        canvas.draw()
        figure.set_layout_engine("none")  # panels stay where the first frame has them
        drawn.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    return drawn


def _as_uri(frames: Sequence[Image.Image]) -> str:
    """The frames as an animated WebP that begins again at its end."""
    buffer = io.BytesIO()
    first, *others = frames
    first.save(buffer, format="webp", save_all=True, append_images=others, duration=PAUSE, loop=0, quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
