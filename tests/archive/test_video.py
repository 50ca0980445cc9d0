"""Videos: exact frames whatever run they are read in, times as shown, and files that give less than they declare."""

import os
import re
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.archive import assemble
from pipeline.archive.ask import Ask
from pipeline.archive.video import open_video
from pipeline.volume import InputError

GREY = Ask(channels="grey")
SKIP = Ask(skip_bad=True)


def pictures(frames, height=24, width=32, colours=3, seed=0, dtype=np.uint8):
    """Noise, and a bright bar whose place is the number of the frame."""
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max // 4, (frames, height, width, colours), dtype)
    for number in range(frames):
        values[number, number % height] += np.iinfo(dtype).max // 2
    return values if colours > 1 else values[..., 0]


def write(path, frames, codec="ffv1", pix_fmt="bgr0", form="rgb24", stamps=None, turn=None, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, format=form)
            if stamps:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(volume):
    """(time, height, width, channel), as pictures are written."""
    return volume["data"].values[:, :, 0].transpose(0, 2, 3, 1)


@pytest.mark.parametrize("ending", ["mkv", "avi"])
def test_lossless_colours_come_back(tmp_path, ending):
    frames = pictures(12)
    volume = open_video([write(tmp_path / f"a.{ending}", frames)], Ask())
    assert volume["data"].dtype == np.uint8
    assert volume["data"].dims == ("time", "channel", "depth", "height", "width")
    assert list(volume["channel"].values) == ["red", "green", "blue"]
    assert volume.attrs == {"source_format": "video", "frame_rate": 10.0, "codec": "ffv1"}
    np.testing.assert_array_equal(shown(volume), frames)
    np.testing.assert_allclose(volume["time"].values, np.arange(12) / 10, atol=1e-12)
    assert volume["time"].attrs["units"] == "s"
    assert "missing" not in volume.coords
    assert "run" not in volume.coords


@pytest.mark.parametrize(
    ("pix_fmt", "dtype", "top"),
    [("gray", np.uint8, 255), ("gray10le", np.uint16, 1023), ("gray16le", np.uint16, 65535)],
)
def test_grey_keeps_its_values_and_type(tmp_path, pix_fmt, dtype, top):
    frames = np.minimum(pictures(3, colours=1, dtype=dtype), top)
    volume = open_video([write(tmp_path / "a.mkv", frames, pix_fmt=pix_fmt, form=pix_fmt)], Ask())
    assert list(volume["channel"].values) == ["grey"]
    assert volume["data"].dtype == dtype
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], frames)


def test_more_than_eight_bits_of_colour_are_uint16(tmp_path):
    frames = pictures(3, dtype=np.uint16)
    volume = open_video([write(tmp_path / "a.mkv", frames, pix_fmt="gbrp16le", form="rgb48le")], Ask())
    assert volume["data"].dtype == np.uint16
    np.testing.assert_array_equal(shown(volume), frames)


def test_grey_of_colour_is_what_ffmpeg_makes_of_it(tmp_path):
    path = write(tmp_path / "a.mkv", pictures(4))
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    volume = open_video([path], GREY)
    assert list(volume["channel"].values) == ["grey"]
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], expected)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {"bf": "2", "g": "8"}),
        ("open.mkv", "libx264", {"bf": "3", "g": "8", "x264-params": "open-gop=1"}),
        ("refresh.mkv", "libx264", {"g": "8", "x264-params": "intra-refresh=1"}),
        ("b.avi", "libx264", {"bf": "2", "g": "8"}),
        ("four.avi", "mpeg4", {"bf": "2", "g": "7", "sc_threshold": "1000000000"}),
        ("bare.h264", "libx264", {"bf": "2", "g": "8"}),
        ("four.mp4", "mpeg4", {"g": "5", "sc_threshold": "1000000000"}),
    ],
)
def test_any_run_holds_the_same_frames(tmp_path, monkeypatch, name, codec, options):
    path = write(tmp_path / name, pictures(40), codec, "yuv420p", **options)
    with av.open(str(path)) as container:
        expected = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
    assert len(expected) == 40
    whole = open_video([path], GREY)
    np.testing.assert_array_equal(whole["data"].values[:, 0, 0], expected)
    monkeypatch.setattr(assemble, "READ_BYTES", 3 * 24 * 32)
    runs = open_video([path], GREY)["data"][:, 0, 0]
    assert runs.chunks[0][0] == 3
    for start, stop in [(38, 40), (0, 1), (17, 22), (7, 9), (8, 9), (15, 16), (9, 31), (31, 33), (0, 40)]:
        np.testing.assert_array_equal(runs[start:stop].values, expected[start:stop], err_msg=f"{start}:{stop}")
    assert len({frame.tobytes() for frame in expected}) == 40


def test_times_are_those_at_which_frames_are_shown(tmp_path):
    stamps = [70, 100, 105, 1105, 1106, 2500]
    frames = pictures(6)
    volume = open_video([write(tmp_path / "a.mkv", frames, stamps=stamps)], Ask())
    np.testing.assert_allclose(volume["time"].values, np.array(stamps) / 1000, atol=1e-9)
    np.testing.assert_array_equal(shown(volume), frames)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_as_the_file_says(tmp_path, degrees, mirrored):
    path = write(tmp_path / "a.mp4", pictures(2), "libx264rgb", "rgb24", turn=(degrees, mirrored), qp="0")
    volume = open_video([path], Ask())
    with av.open(str(path)) as container:
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    turned = [np.rot90(frame, degrees // 90) for frame in stored]  # counterclockwise, then mirrored
    np.testing.assert_array_equal(shown(volume), [frame[:, ::-1] if mirrored else frame for frame in turned])


def test_a_turn_that_is_no_right_angle_is_refused(tmp_path):
    path = write(tmp_path / "a.mp4", pictures(2), "libx264", "yuv420p", turn=(30, False))
    with pytest.raises(InputError, match=r"a\.mp4 is to be shown turned by (29|30) degrees"):
        open_video([path], Ask())


def cut_short(path, share=0.6):
    content = path.read_bytes()
    short = path.with_name("short" + path.suffix)
    short.write_bytes(content[: int(len(content) * share)])
    return short


@pytest.mark.parametrize("ending", ["avi", "mkv", "mp4"])
def test_a_file_that_gives_less_than_it_declares(tmp_path, capfd, ending):
    frames = pictures(20)
    options = {"g": "1"} if ending != "mp4" else {}
    if ending == "mp4":
        path = write(tmp_path / "a.mp4", frames, "png", "rgb24")
        move_the_header_to_the_front(path)
    else:
        path = write(tmp_path / f"a.{ending}", frames, **options)
    short = cut_short(path)
    with pytest.raises(InputError, match=rf"short\.{ending} declares 20 frames and gives 1\d; .*--skip-bad") as refused:
        open_video([short], Ask())
    given = int(re.search(r"gives (\d+)", str(refused.value))[1])
    volume = open_video([short], SKIP)
    assert volume["data"].dtype == np.float32
    assert volume["missing"].values.tolist() == [False] * given + [True] * (20 - given)
    np.testing.assert_allclose(volume["time"].values, np.arange(20) / 10, atol=1e-9)
    np.testing.assert_array_equal(shown(volume)[:given], frames[:given])
    assert np.isnan(shown(volume)[given:]).all()
    assert capfd.readouterr() == ("", "")


def move_the_header_to_the_front(path):
    with av.open(str(path)) as source, av.open(str(path) + ".mp4", "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    Path(str(path) + ".mp4").rename(path)


def spoil(path, packet_number):
    """Overwrites the middle of one packet; gives the number of frames."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    at, size = packets[packet_number]
    content = bytearray(path.read_bytes())
    content[at + 40 : at + size - 4] = bytes(255 - byte for byte in content[at + 40 : at + size - 4])
    path.write_bytes(content)
    return len(packets)


def test_a_frame_that_does_not_decode_is_an_error_when_it_is_read(tmp_path, capfd):
    frames = pictures(9)
    path = write(tmp_path / "a.avi", frames, g="1", slicecrc="1")
    assert spoil(path, 4) == 9
    with pytest.raises(InputError, match=r"a\.avi declares 9 frames and gives 8: frame 4, at 0\.4 s, does not decode"):
        open_video([path], Ask())["data"].load()
    volume = open_video([path], SKIP)
    assert np.flatnonzero(volume["missing"].values).tolist() == [4]
    assert np.isnan(shown(volume)[4]).all()
    np.testing.assert_array_equal(np.delete(shown(volume), 4, 0), np.delete(frames, 4, 0))
    assert capfd.readouterr() == ("", "")


def test_a_file_of_which_nothing_decodes(tmp_path):
    path = write(tmp_path / "a.avi", pictures(3), g="1", slicecrc="1")
    for number in range(3):
        spoil(path, number)
    for ask in (Ask(), SKIP):
        with pytest.raises(InputError, match=r"a\.avi declares 3 frames and gives 0; fetch the file again$"):
            open_video([path], ask)


def test_a_bad_frame_takes_with_it_what_builds_on_it(tmp_path):
    path = write(tmp_path / "a.avi", pictures(16), g="5", slicecrc="1")
    spoil(path, 6)
    volume = open_video([path], SKIP)
    assert np.flatnonzero(volume["missing"].values).tolist() == [6, 7, 8, 9]
    np.testing.assert_array_equal(np.isnan(shown(volume)).all((1, 2, 3)), volume["missing"].values)


def test_skip_bad_of_a_good_file_changes_no_value(tmp_path):
    frames = pictures(5)
    volume = open_video([write(tmp_path / "a.mkv", frames)], SKIP)
    assert volume["data"].dtype == np.uint8
    assert not volume["missing"].values.any()
    np.testing.assert_array_equal(shown(volume), frames)


def test_an_edit_list_shows_part_of_a_whole_file(tmp_path):
    path = write(tmp_path / "a.mp4", pictures(20), "libx264", "yuv420p", bf="2", g="5")
    content = bytearray(path.read_bytes())
    at = content.find(b"elst") + 12
    assert int.from_bytes(content[at : at + 4], "big") == 2000
    content[at : at + 4] = (1000).to_bytes(4, "big")
    (tmp_path / "part.mp4").write_bytes(content)
    whole, volume = open_video([path], Ask()), open_video([tmp_path / "part.mp4"], Ask())
    assert whole.sizes["time"] == 20
    frames = volume.sizes["time"]
    assert 10 <= frames < 15
    np.testing.assert_array_equal(volume["data"].values, whole["data"].values[:frames])


def test_several_files_are_runs_or_channels(tmp_path):
    first, second = pictures(4), pictures(4, seed=1)
    paths = [write(tmp_path / "a.mkv", first), write(tmp_path / "b.mkv", second)]
    runs = open_video(paths, Ask())
    np.testing.assert_array_equal(shown(runs), np.concatenate([first, second]))
    assert runs["run"].values.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(runs["time"].values, np.arange(8) / 10, atol=1e-9)
    channels = open_video(paths, Ask(channels="files"))
    assert list(channels["channel"].values) == ["a red", "a green", "a blue", "b red", "b green", "b blue"]
    np.testing.assert_array_equal(shown(channels), np.concatenate([first, second], -1))


def test_files_shown_at_other_times_are_no_channels(tmp_path):
    paths = [write(tmp_path / "a.mkv", pictures(4)), write(tmp_path / "d.mkv", pictures(4), stamps=[0, 100, 300, 400])]
    with pytest.raises(InputError, match=r"frame [23] lies at time 0\.[23] in .*a\.mkv and at 0\.[34] in .*d\.mkv"):
        open_video(paths, Ask(channels="files"))


def test_a_frame_size_that_changes(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "yuvj420p"
        for number, width in enumerate([32, 48]):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt, encoder.time_base = 24, width, "yuvj420p", Fraction(1, 10)
            frame = av.VideoFrame.from_ndarray(pictures(1, width=width)[0], format="rgb24").reformat(format="yuvj420p")
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
                container.mux(packet)
    with pytest.raises(InputError, match=r"a\.mkv begins with frames of \(24, 32\) .* goes on with \(24, 48\)"):
        open_video([path], Ask())["data"].load()


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2avc1mp41"])
def test_what_is_no_video_is_refused(tmp_path, capfd, content):
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.mp4 cannot be read as video"):
        open_video([tmp_path / "bad.mp4"], Ask())
    assert capfd.readouterr() == ("", "")


def test_sound_alone_is_refused(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    with pytest.raises(InputError, match=r"a\.wav has no video stream, only audio"):
        open_video([tmp_path / "a.wav"], Ask())


@pytest.fixture
def real():
    if not os.environ.get("CHRONOVOX_DATA"):
        pytest.skip("CHRONOVOX_DATA names no folder with the real files")
    return Path(os.environ["CHRONOVOX_DATA"]) / "video"


def test_the_reference_pair_has_the_published_errors(real):
    one, other = (open_video([real / f"carphone_{name}.mp4"], GREY) for name in ("pristine", "distorted"))
    assert one["data"].shape == other["data"].shape == (120, 1, 1, 144, 176)
    difference = one["data"].values.astype(np.float64) - other["data"].values
    squares = (difference**2).mean((1, 2, 3, 4))
    assert squares.mean() == pytest.approx(290.730133, rel=1e-6)
    assert np.abs(difference).mean() == pytest.approx(11.515881, rel=1e-6)
    assert (10 * np.log10(255**2 / squares)).mean() == pytest.approx(23.506117, abs=1e-6)
    np.testing.assert_allclose(one["time"].values, np.arange(120) * 1001 / 30000, atol=1e-12)


def test_the_real_film_by_runs(real, monkeypatch):
    volume = open_video([real / "bikes.mp4"], Ask())
    assert volume["data"].shape == (250, 3, 1, 272, 640)
    assert volume.attrs == {"source_format": "video", "frame_rate": 25.0, "codec": "h264"}
    np.testing.assert_allclose(volume["time"].values, np.arange(250) / 25, atol=1e-12)
    monkeypatch.setattr(assemble, "READ_BYTES", 10 * 3 * 272 * 640)
    runs = open_video([real / "bikes.mp4"], Ask())["data"]
    for start, stop in [(243, 250), (136, 139), (28, 32)]:
        np.testing.assert_array_equal(runs[start:stop].values, volume["data"][start:stop].values)
