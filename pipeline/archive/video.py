"""Video files (mp4, avi, mkv) through PyAV: frames by the times at which they are shown."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import xarray as xr
from av.video.reformatter import VideoReformatter

from pipeline.archive.ask import FILES, Ask
from pipeline.archive.assemble import assemble, lazily
from pipeline.archive.several import as_channels, as_runs, no_variables
from pipeline.archive.video_index import VideoIndex, decoded, index_video, opened
from pipeline.volume import InputError

GREY = "grey"
COLOURS = ("red", "green", "blue")


def open_video(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """The volume of videos, lazily: (time, channel, 1, height, width).

    Channels are `red`, `green` and `blue`, or `grey` where the video is grey or `ask.channels` says so; alpha is left
    out. uint8, or uint16 where the video has more than 8 bits: stretched to 16 bits, but a grey video's own values.
    Times are presentation times in seconds. Frames are turned as the file says that they are shown. Several files are
    runs one after another (coordinate `run`, times go on), or channels where `ask.channels` is `files`.

    With `ask.skip_bad` the volume has as many frames as the file declares, and the coordinate `missing`: frames that
    do not decode, with all that build on them up to the next key frame, and frames that the file lacks (at its end)
    are NaN, and the volume then float32.

    Raises:
        InputError: A file is no video, is cut short, gives fewer frames than it declares, or disagrees with another;
            or what is asked makes no sense for a video. Reading raises it where a frame does not decode or has
            another size.
    """
    no_variables(ask, paths[0], "a video")
    if ask.channels not in ("", GREY, FILES):
        raise InputError(
            f"{paths[0]} is a video and {ask.channels!r} is asked as its channels; ask for {GREY!r}, "
            f"for {FILES!r} where each file is a channel, or for nothing ({', '.join(COLOURS)})"
        )
    if ask.time not in ("", "time"):
        raise InputError(f"{paths[0]} is a video, whose time is known, and {ask.time!r} is asked as time; leave it out")
    volumes = [(path, _open_one(path, ask)) for path in paths]
    return as_channels(volumes) if ask.channels == FILES else as_runs(volumes)


def _open_one(path: Path, ask: Ask) -> xr.Dataset:
    index = index_video(path, ask.skip_bad)
    movie = _Movie(path, index, _picture(path, ask.channels == GREY, len(index.times)))
    frames, channels = len(index.times), (GREY,) if movie.picture.grey else COLOURS
    coordinates = {"time": ("time", index.times, {"units": "s"})}
    if ask.skip_bad:
        coordinates["missing"] = ("time", np.isin(np.arange(frames), list(index.missing)), {})
    return assemble(
        lazily(movie.read, (frames, len(channels), 1, *movie.picture.shown), movie.dtype),
        channels=channels,
        coordinates=coordinates,
        attributes={"source_format": "video", "frame_rate": index.rate, "codec": index.codec},
    )


@dataclass(frozen=True)
class _Picture:
    """What a frame is: (height, width) as stored, FFmpeg's name of what it is converted to, and how it is turned."""

    stored: tuple[int, int]
    format: str
    grey: bool
    dtype: np.dtype
    transposed: bool
    rows: int
    columns: int

    @property
    def shown(self) -> tuple[int, int]:
        return self.stored[::-1] if self.transposed else self.stored

    def turned(self, pixels: np.ndarray) -> np.ndarray:
        pixels = pixels.swapaxes(0, 1) if self.transposed else pixels
        return pixels[:: self.rows, :: self.columns]


class _Movie:
    """Reads runs of frames: goes on where the last run ended, else begins at the key frame before."""

    def __init__(self, path: Path, index: VideoIndex, picture: _Picture):
        self.path, self.index, self.picture = path, index, picture
        self.dtype = np.dtype(np.float32) if index.missing else picture.dtype
        self.number = {stamp: number for number, stamp in enumerate(index.stamps)}
        self.reformatter = VideoReformatter()
        self.lock = threading.Lock()
        self.frames: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self.next = -1  # the first frame that may still come; -1 where none does

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames [start, stop) as (time, channel, 1, height, width)."""
        colours = 1 if self.picture.grey else 3
        run = np.full((stop - start, *self.picture.shown, colours), np.nan if self.index.missing else 0, self.dtype)
        wanted = set(range(start, stop)) - self.index.missing
        with self.lock:
            key = self.index.keys[bisect_right(self.index.keys, start) - 1]
            if not key <= self.next <= start:
                self._begin(key, "NONE" if self.index.missing else "AUTO")
            self._fill(run, start, wanted)
            if wanted:  # a key frame may need frames before it (gradual refresh); an error ends more frames on threads
                self._begin(0, "NONE")
                self._fill(run, start, wanted)
            if wanted:
                self.next = -1
                raise self._undecodable(min(wanted))
        return run.transpose(0, 3, 1, 2)[:, :, None]

    def _begin(self, key: int, threads: str) -> None:
        self.frames, self.next = self._from(key, threads), key

    def _fill(self, run: np.ndarray, start: int, wanted: set[int]) -> None:
        """Puts frames that are wanted into the run, and takes them off that set."""
        last = max(wanted, default=-1)
        while self.next <= last:
            number, frame = next(self.frames, (len(self.index.times), None))
            self.next = number + 1
            if number in wanted:
                run[number - start] = self._pixels(frame)
                wanted.discard(number)

    def _from(self, key: int, threads: str) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames from a key frame on with their numbers, in the order in which they are shown."""
        with opened(self.path) as (container, stream):
            stream.thread_type = threads
            if key:
                container.seek(self.index.stamps[key], stream=stream)
            failed: set[int] = set()
            for count, frame in enumerate(decoded(container, stream, failed)):
                number = self.number.get(frame.pts, -1) if self.number else count
                if number >= 0 and frame.pts not in failed:
                    yield number, frame

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        stored = (frame.height, frame.width)
        if stored != self.picture.stored:
            raise InputError(
                f"{self.path} begins with frames of {self.picture.stored} (height, width) and goes on with {stored}; "
                f"cut it there into two files"
            )
        pixels = self.reformatter.reformat(frame, format=self.picture.format).to_ndarray()
        return self.picture.turned(pixels.reshape(*stored, -1))

    def _undecodable(self, number: int) -> InputError:
        frames = len(self.index.times)
        given = frames - len(index_video(self.path, skip_bad=True).missing)
        return InputError(
            f"{self.path} declares {frames} frames and gives {given}: frame {number}, at "
            f"{self.index.times[number]:g} s, does not decode; fetch the file again, or have such frames as missing "
            "(--skip-bad)"
        )


def _picture(path: Path, grey: bool, frames: int) -> _Picture:
    """What the first frame that decodes tells of all."""
    with opened(path) as (container, stream):
        frame = next(decoded(container, stream, set()), None)
    if frame is None:
        raise InputError(f"{path} declares {frames} frames and gives 0; fetch the file again")
    form = frame.format
    bits = max(component.bits for component in form.components)
    plain = [component for component in form.components if not component.is_alpha]
    native = len(plain) == 1 and not form.has_palette and not form.is_bayer
    if bits > 16:
        raise InputError(f"{path} has {bits} bits a colour ({form.name}), 16 at most are read; convert it to rgb48le")
    if native and len(form.components) == 1 and bits > 8:
        target = form.name
    elif native or grey:
        target = "gray" if bits <= 8 else "gray16le"
    else:
        target = "rgb24" if bits <= 8 else "rgb48le"
    dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    return _Picture((frame.height, frame.width), target, native or grey, dtype, *_turn(path, frame))


def _turn(path: Path, frame: av.VideoFrame) -> tuple[bool, int, int]:
    """Whether rows and columns change places to show a frame, and the steps through rows and columns after that."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, 1, 1
    right, down = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()  # where a step goes: (x, y)
    if right[0] and down[1] and not right[1] and not down[0]:
        return False, 1 if down[1] > 0 else -1, 1 if right[0] > 0 else -1
    if right[1] and down[0] and not right[0] and not down[1]:
        return True, 1 if right[1] > 0 else -1, 1 if down[0] > 0 else -1
    raise InputError(
        f"{path} is to be shown turned by {frame.rotation} degrees, and only turns by 90, 180 and 270 are read; "
        f"turn it with a video editor"
    )
