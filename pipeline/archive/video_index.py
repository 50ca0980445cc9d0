"""Which frames a video has, when each is shown, and from where each can be decoded.

How many there are is counted, never taken from the header. Where a codec makes one frame of each packet, packets are
counted, without decoding; else, or where packets are damaged or frames may be missing, the whole is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.volume import InputError

ONE_FRAME_A_PACKET = frozenset(
    ("h264", "hevc", "av1", "vp9", "mjpeg", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "prores")
)
"""Codecs whose packets are one frame each. Of others a packet may hold two, or none (MPEG-4 in AVI, VP8)."""


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video, numbered as they are shown.

    Attributes:
        times: (frames,) seconds.
        stamps: The time stamp of each frame, in units of the stream; empty where frames can only be counted from the
            start. Missing frames at the end have none.
        keys: The frames at which decoding can begin, in order; the first is 0.
        missing: The frames that cannot be read.
        rate: Mean frames a second.
        codec: Its name.
    """

    times: np.ndarray
    stamps: tuple[int, ...]
    keys: tuple[int, ...]
    missing: frozenset[int]
    rate: float
    codec: str


@dataclass(frozen=True)
class _Packet:
    stamp: int | None
    key: bool
    whole: bool


@dataclass(frozen=True)
class _Listed:
    """What a file tells without being decoded; `packets` in its own order, those that are shown."""

    packets: list[_Packet]
    declared: int
    base: Fraction
    rate: Fraction | None
    codec: str


def index_video(path: Path, skip_bad: bool) -> VideoIndex:
    """Counts the frames of a video.

    With `skip_bad`, frames that do not decode are missing together with all that build on them up to the next key
    frame, and so are those that the file declares and lacks: they come last, at the mean rate.

    Raises:
        InputError: The file cannot be read, gives no frame, or (unless `skip_bad`) fewer than it declares.
    """
    listed = _list(path)
    one_each = listed.codec in ONE_FRAME_A_PACKET
    stamps = [packet.stamp for packet in listed.packets]
    stamped = None not in stamps and len(set(stamps)) == len(stamps)
    if one_each and stamped and not skip_bad and all(packet.whole for packet in listed.packets):
        found = _by_stamps(listed.packets, set(stamps), listed.base)
    else:
        shown, failed = _decode_all(path)
        if stamped and len(set(shown)) == len(shown) and set(shown) <= set(stamps):
            kept = [p for p in listed.packets if one_each or not p.whole or p.stamp in failed.union(shown)]
            found = _by_stamps(kept, set(shown) - failed, listed.base)
        else:
            found = _by_count(path, shown, listed)
    times, stamps, keys, missing = found
    declared = max(listed.declared, len(times))
    given = len(times) - len(missing)
    if given < declared and (given == 0 or not skip_bad):
        raise InputError(
            f"{path} declares {declared} frames and gives {given}; fetch the file again"
            + (", or have such frames as missing (--skip-bad)" if given else "")
        )
    if given == 0:
        raise InputError(f"{path} has a video stream of 0 frames; leave it out")
    rate = float(listed.rate or (len(times) - 1) / ((times[-1] - times[0]) or 1.0) or 1.0)
    lacking = times[-1] + np.arange(1, declared - len(times) + 1) / rate
    missing = missing.union(range(len(times), declared))
    return VideoIndex(np.concatenate([times, lacking]), stamps, keys, frozenset(missing), rate, listed.codec)


@contextmanager
def opened(path: Path, **options: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream.

    Raises:
        InputError: It cannot be read, or has no video stream.
    """
    try:
        container = av.open(str(path), options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as video: {reason}; it may be cut short, fetch it again") from error
    with container:
        if not container.streams.video:
            kinds = ", ".join(stream.type for stream in container.streams) or "no"
            raise InputError(f"{path} has no video stream, only {kinds}; leave it out")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(f"{path} is encoded in a way that FFmpeg does not know; convert it to H.264 or FFV1")
        yield container, stream


def decoded(container: InputContainer, stream: VideoStream, failed: set[int]) -> Iterator[av.VideoFrame]:
    """The frames from where the container stands; stamps of packets that do not decode are added to `failed`."""
    for packet in _demuxed(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
            if packet.pts is not None:
                failed.add(packet.pts)
        if packet.is_corrupt and packet.pts is not None:
            failed.add(packet.pts)
        for frame in frames:
            if frame.is_corrupt and frame.pts is not None:
                failed.add(frame.pts)
            yield frame


def _demuxed(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """All packets up to the end, or to where the file is damaged."""
    packets = iter(container.demux(stream))
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _list(path: Path) -> _Listed:
    with opened(path) as (container, stream):
        packets, discarded = [], 0
        for packet in _demuxed(container, stream):
            if packet.is_discard:
                discarded += 1
            elif packet.size:
                packets.append(_Packet(packet.pts, packet.is_keyframe, not packet.is_corrupt))
        rate = stream.average_rate or stream.guessed_rate
        declared = stream.frames or int(stream.metadata.get("NUMBER_OF_FRAMES", 0))
        matroska, mp4 = ("matroska" in container.format.name), ("mp4" in container.format.name)
        if not declared and matroska and rate and container.duration and _lacks_bytes(path):
            declared = round(container.duration / av.time_base * rate)
        listed = _Listed(packets, declared - discarded, stream.time_base, rate, stream.codec_context.name)
    if mp4 and listed.declared > len(packets) and _has_packets(path, declared):
        return _Listed(packets, 0, listed.base, listed.rate, listed.codec)
    return listed


def _has_packets(path: Path, declared: int) -> bool:
    """Whether all that is declared is there, and an edit list shows less of it."""
    with opened(path, ignore_editlist="1") as (container, stream):
        return sum(packet.size > 0 and not packet.is_corrupt for packet in _demuxed(container, stream)) >= declared


def _lacks_bytes(path: Path) -> bool:
    """Whether a Matroska file is shorter than its segment declares."""
    with path.open("rb") as file:
        head = file.read(256)
    at = head.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or at >= len(head) or not head[at]:
        return False
    length = 9 - head[at].bit_length()
    size = int.from_bytes(head[at : at + length], "big") & (1 << 7 * length) - 1
    unknown = (1 << 7 * length) - 1
    return size != unknown and at + length + size > path.stat().st_size


def _decode_all(path: Path) -> tuple[list[int | None], set[int]]:
    """The stamps of all frames in the order in which they come, and of all that fail."""
    failed: set[int] = set()
    with opened(path) as (container, stream):
        stream.thread_type = "NONE"  # on threads, one that does not decode takes others with it
        shown = [frame.pts for frame in decoded(container, stream, failed)]
    return shown, failed


_Found = tuple[np.ndarray, tuple[int, ...], tuple[int, ...], set[int]]
"""Times, stamps, keys, missing."""


def _by_stamps(packets: Iterable[_Packet], good: set[int], base: Fraction) -> _Found:
    packets = list(packets)
    stamps = sorted(packet.stamp for packet in packets)
    number = {stamp: n for n, stamp in enumerate(stamps)}
    keys = {number[packet.stamp] for packet in packets if packet.key}
    missing, spoiled, before = set(), False, False
    key = None
    for packet in packets:
        if packet.key:
            key, before, spoiled = packet.stamp, spoiled, False
        lost = packet.stamp not in good
        spoiled = spoiled or lost
        leads = key is not None and packet.stamp < key  # shown before the key frame: builds on what came before, too
        if lost or spoiled or (leads and before):
            missing.add(number[packet.stamp])
    times = np.array([float(stamp * base) for stamp in stamps], np.float64)
    return times, tuple(stamps), tuple(sorted(keys | {0})), missing


def _by_count(path: Path, shown: list[int | None], listed: _Listed) -> _Found:
    """Frames in the order in which they come, where stamps are absent or repeated."""
    increasing = None not in shown and all(a < b for a, b in pairwise(shown))
    if increasing:
        times = np.array([float(stamp * listed.base) for stamp in shown], np.float64)
    elif listed.rate:
        times = np.arange(len(shown)) / float(listed.rate)
    else:
        raise InputError(f"{path} tells neither when frames are shown nor how many a second; convert it to mp4 or mkv")
    return times, (), (0,), set()
