"""A movie (mp4) through PyAV: grey, or red, green and blue; 8 bits a colour, and lossy.

The codec is VP9 by libvpx: its licence is BSD and its format free of royalties, browsers and players show it, and
PyAV's wheels have it. x264 is GPL; MPEG-4 of FFmpeg's own is not shown by browsers.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.codec import UnknownCodecError

from pipeline.export.source import Source
from pipeline.export.spacing import along_time
from pipeline.export.wish import Wish
from pipeline.volume import InputError

CODEC = "libvpx-vp9"
OPTIONS = {"crf": "15", "b": "0", "cpu-used": "4", "row-mt": "0"}
"""Constant quality, near what the eye can tell; the time that this takes is bounded by `cpu-used`."""

COLOURS = ["red", "green", "blue"]
RATE = 10.0
"""Frames a second where times do not tell."""

FINEST, FASTEST = 1001, 1000
"""The largest denominator of a frame rate (30000/1001 is that of broadcasts), and the highest rate."""


def write_video(source: Source, path: Path, wish: Wish) -> list[str]:
    """Writes the frames as they follow each other, one thread encoding, so that the same volume gives the same movie.

    Values from `wish.span` (else the smallest to the largest there are) become black to white; values of 8 bits stay as
    they are, unless a span is wished. Missing values are black. Where latitudes increase along the height, frames are
    turned so that north is up. The frame rate is `wish.rate`, else that of times in seconds, else 10.

    Raises:
        InputError: There are several levels, or channels that are not red, green and blue; all values are missing.
    """
    _refuse_levels(source)
    coloured = source.channels == COLOURS
    if not coloured and len(source.channels) > 1:
        raise InputError(
            f"{source.path} has {len(source.channels)} channels, and a movie shows one, or red, green and blue; choose "
            f"one (--channel): {', '.join(source.channels)}"
        )
    span = _span(source, wish)
    rate = _rate(source, wish)
    latitude = source.volume.coords.get("latitude")
    south_first = latitude is not None and latitude.ndim == 1 and bool(latitude[0] < latitude[-1])
    height, width = source.shape[3:]
    try:
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream(CODEC, rate=rate, options=OPTIONS)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.codec_context.thread_count = 1
            for _, frames in source.blocks():
                for picture in _pictures(frames, span, turned=south_first):
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if coloured else "gray")
                    container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except UnknownCodecError as error:
        raise InputError(
            f"the FFmpeg of this PyAV has no encoder {CODEC}; pip install --force-reinstall --only-binary av av"
        ) from error
    black, white = span or (0, 255)
    lines = [f"{float(rate):.6g} frames a second; values of {black:g} are black, {white:g} white; 8 bits, lossy"]
    return lines + ["frames are turned so that north is up"] * south_first


def _pictures(frames: np.ndarray, span: tuple[float, float] | None, *, turned: bool) -> np.ndarray:
    """Frames (time, channel, 1, height, width) as uint8 (time, height, width), with colours last where there are."""
    values = np.moveaxis(frames[:, :, 0, :: -1 if turned else 1], 1, -1)
    values = values[..., 0] if values.shape[-1] == 1 else values
    if span is None:
        return np.ascontiguousarray(values)
    low, high = span
    shown = np.nan_to_num((values.astype(np.float64) - low) / max(high - low, np.finfo(float).tiny), nan=0.0)
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


def _refuse_levels(source: Source) -> None:
    levels = source.shape[2]
    if levels == 1:
        return
    name = next((name for name in ("level", "z") if name in source.volume.coords), "depth")
    some = source.volume[name].values[:4] if name in source.volume.coords else range(4)
    raise InputError(
        f"{source.path} has {levels} places along {name}, and a movie shows one; choose it with --select {name}=..., "
        f"of {', '.join(f'{value:g}' for value in some)}, .."
    )


def _span(source: Source, wish: Wish) -> tuple[float, float] | None:
    """The values that are black and white; none where values are shown as they are."""
    if wish.span or source.dtype == np.uint8:
        return wish.span
    low, high = source.extremes()
    if low > high:
        raise InputError(f"{source.path} has no values to show, all are missing; choose another part")
    return low, high


def _rate(source: Source, wish: Wish) -> Fraction:
    """Frames a second.

    Raises:
        InputError: What is wished cannot be.
    """
    if wish.rate is not None and not 1 / FINEST <= wish.rate <= FASTEST:
        raise InputError(f"a movie of {wish.rate:g} frames a second; give 1/{FINEST} to {FASTEST} (--fps)")
    time = along_time(source.volume)
    known = time.unit == "s" and not time.dated and time.step > 0 and source.shape[0] > 1
    rate = wish.rate or (1 / time.step if known else RATE)
    return Fraction(min(max(rate, 1 / FINEST), FASTEST)).limit_denominator(FINEST)
