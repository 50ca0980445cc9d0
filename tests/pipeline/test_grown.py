"""A finished scan whose input has grown: the bits of a scan of all of it, nothing written twice, no harm by a kill."""

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from cluster import LocalExecutor
from pipeline.filter import FilterJob, FilterSettings
from pipeline.storage import atomic, store
from pipeline.volume import AXES, InputError
from tests.pipeline.test_filter import BOUNDARY, CHUNK, SETTINGS, VELOCITY, many_parts, run  # noqa: F401
from tests.synthetic import Stops
from workflows.commands.filtering import run_filter

FRAMES, SHARD = 45, 8
DATA = np.random.default_rng(5).standard_normal((FRAMES, 3, 1, 6, 5)).astype(np.float32)
DATA[np.random.default_rng(6).random(DATA.shape) < 0.02] = np.nan
TIMES = np.arange(FRAMES) * 2.0


def write(path, frames, data=DATA, times=TIMES, chunk=CHUNK):
    shutil.rmtree(path, ignore_errors=True)
    coordinates = {"time": ("time", times[:frames], {"units": "days since 2000-01-01"})}
    volume = xr.Dataset({"data": (AXES, data[:frames])}, coordinates)
    encoding = {"data": {"chunks": (chunk, *data.shape[1:])}}
    volume.to_zarr(path, encoding=encoding, consolidated=False)
    return path


def files(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The scan of all frames from the start."""
    folder = tmp_path_factory.mktemp("whole")
    return run(write(folder / "in.zarr", FRAMES), folder / "out.zarr", shard=SHARD)[0]


@pytest.mark.parametrize(("frames", "workers"), [(3, 1), (32, 3), (36, 1), (37, 3), (44, 1)])
def test_the_bits_of_a_scan_of_all_frames(frames, workers, whole, tmp_path):
    out, settings = tmp_path / "out.zarr", replace(SETTINGS, chunk=CHUNK if frames > 3 else None)
    run(write(tmp_path / "in.zarr", frames, chunk=CHUNK if frames > 3 else 2), out, settings, shard=SHARD)
    before = files(out)
    found, lines = run(write(tmp_path / "in.zarr", FRAMES), out, settings, workers=workers, cut="time", shard=99)
    assert found.tobytes() == whole.tobytes()
    begin = f"going on from the carry at frame {frames // 8 * 8}" if frames >= 8 else "they are less than a shard"
    assert f"holds the first {frames} of 45 frames; {begin}" in lines[0]
    after = files(out)
    kept = {path for path in before if path.parts[:2] == ("data", "c") and int(path.parts[2]) < frames // CHUNK}
    carries = {path for path in before if path.parts[0] == "carry" and path.name[:2] == "c."}
    assert len(carries) == 3 * (-(-frames // SHARD) + 1)  # and the digest of the last frame
    kept |= {path for path in carries if int(path.name.split(".")[1]) <= frames // SHARD}
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert sum(path.parts[0] == "data" for path in kept) == frames // CHUNK * 3
    assert np.array_equal(found[:frames], store_of(before, tmp_path)[:frames])
    assert not (tmp_path / "out.zarr.part").exists()
    assert xr.open_zarr(out, consolidated=False, decode_cf=False)["time"].values.tolist() == TIMES.tolist()


def store_of(before, folder):
    """The frames of the store that these files were."""
    for path, (_, _, content) in before.items():
        (folder / "before" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "before" / path).write_bytes(content)
    return xr.open_zarr(folder / "before", consolidated=False, decode_cf=False)["data"].values


def test_it_grows_again_and_again(whole, tmp_path):
    for frames in (9, 23, 24, FRAMES):
        found, _ = run(write(tmp_path / "in.zarr", frames), tmp_path / "out.zarr", shard=SHARD)
        assert found.tobytes() == whole[:frames].tobytes()


def test_only_new_frames_and_their_shard_are_read(tmp_path, monkeypatch):
    settings = replace(SETTINGS, chunk=CHUNK)
    run(write(tmp_path / "in.zarr", 37), tmp_path / "out.zarr", settings, shard=SHARD)
    write(tmp_path / "in.zarr", FRAMES)
    reads, original = [], store.read_frames
    monkeypatch.setattr(
        store, "read_frames", lambda *given, **more: reads.append(given[:4]) or original(*given, **more)
    )
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", settings, shard=SHARD)
    spans = {(path.name, start, stop) for path, _, start, stop in reads}
    assert spans == {("in.zarr", 36, 37), ("in.zarr", 32, 40), ("in.zarr", 40, 45), ("out.zarr", 36, 37)}


@pytest.mark.parametrize("shards", [13, 18])
def test_a_kill_leaves_the_old_frames_and_the_same_command_continues(shards, whole, tmp_path):
    out = tmp_path / "out.zarr"
    run(write(tmp_path / "in.zarr", 37), out, shard=SHARD)
    before = files(out)
    write(tmp_path / "in.zarr", FRAMES)
    with pytest.raises(KeyboardInterrupt):
        run_filter(FilterJob(SETTINGS, tmp_path / "in.zarr", out), LocalExecutor(2), Stops(shards), cut="time")
    assert files(out) == before
    assert (tmp_path / "out.zarr.part").exists()
    found, _ = run(tmp_path / "in.zarr", out, workers=3)
    assert found.tobytes() == whole.tobytes()


def test_grown_further_since_the_kill_it_begins_anew(whole, tmp_path):
    out = tmp_path / "out.zarr"
    run(write(tmp_path / "in.zarr", 20), out, shard=SHARD)
    write(tmp_path / "in.zarr", 37)
    with pytest.raises(KeyboardInterrupt):
        run_filter(FilterJob(SETTINGS, tmp_path / "in.zarr", out), LocalExecutor(2), Stops(8))
    found, _ = run(write(tmp_path / "in.zarr", FRAMES), out)
    assert found.tobytes() == whole.tobytes()


@pytest.mark.parametrize("exchanges", [True, False])
def test_killed_at_the_very_end(exchanges, whole, tmp_path, monkeypatch):
    """After the new result took its place; or, where names cannot be exchanged, between the two steps."""
    out = tmp_path / "out.zarr"
    run(write(tmp_path / "in.zarr", 37), out, shard=SHARD)
    write(tmp_path / "in.zarr", FRAMES)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if exchanges:
            patched.setattr(FilterJob, "clear", killed)
        else:
            replace, steps = atomic.os.replace, []

            def second_is_killed(source, path):
                if source.name == "data.zarr" and steps.append(path) is None:
                    raise KeyboardInterrupt
                replace(source, path)

            patched.setattr(atomic, "_exchange", lambda *_: False)
            patched.setattr(atomic.os, "replace", second_is_killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "in.zarr", out)
    assert out.exists() == exchanges
    found, _ = run(tmp_path / "in.zarr", out)
    assert found.tobytes() == whole.tobytes()
    assert not (tmp_path / "out.zarr.part").exists()


def test_where_names_cannot_be_exchanged_nor_linked_it_copies(whole, tmp_path, monkeypatch):
    def cannot(*_):
        raise OSError("not here")

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(atomic, "os", SimpleNamespace(link=cannot, replace=os.replace, fsync=os.fsync))
    for frames in (37, FRAMES):
        found, _ = run(write(tmp_path / "in.zarr", frames), tmp_path / "out.zarr", shard=SHARD)
    assert found.tobytes() == whole.tobytes()


def test_nothing_new_is_told_and_nothing_touched(tmp_path):
    run(write(tmp_path / "in.zarr", 37), tmp_path / "out.zarr", shard=SHARD)
    before = files(tmp_path / "out.zarr")
    _, lines = run(tmp_path / "in.zarr", tmp_path / "out.zarr")
    assert "out.zarr holds all 37 frames of" in lines[0]
    assert len(lines) == 1
    assert files(tmp_path / "out.zarr") == before


def test_steps_of_time_go_on_while_their_unit_stays(tmp_path):
    uneven = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY, dt_from_time=True)
    times = TIMES + (np.arange(FRAMES) % 5 == 4)  # the median stays 2
    run(write(tmp_path / "in.zarr", 37, times=times), tmp_path / "out.zarr", uneven, shard=SHARD)
    found, _ = run(write(tmp_path / "in.zarr", FRAMES, times=times), tmp_path / "out.zarr", uneven)
    expected, _ = run(tmp_path / "in.zarr", tmp_path / "whole.zarr", uneven, shard=SHARD)
    assert found.tobytes() == expected.tobytes()
    other = np.append(TIMES[:21], TIMES[20] + 7 * np.arange(1, FRAMES - 20))
    run(write(tmp_path / "in.zarr", 21, times=other), tmp_path / "other.zarr", uneven, shard=SHARD)
    with pytest.raises(
        InputError, match=r"has a median step of time of 2\.0, the input now 7\.0; remove it to scan anew"
    ):
        run(write(tmp_path / "in.zarr", FRAMES, times=other), tmp_path / "other.zarr", uneven)


def changed(frame):
    data = DATA.copy()
    data[frame] += 1
    return data


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"decay": 0.3}, {}, r"out\.zarr is there already, scanned with decay 0\.1, now decay is 0\.3; remove it"),
        ({"chunk": 5}, {}, "scanned with chunk None, now chunk is 5"),
        (
            {},
            {"frames": 20},
            r"out\.zarr has 37 frames, the input only 20; give the input that it was made from, or more",
        ),
        (
            {},
            {"data": changed(36)},
            r"frame 36 of .*in\.zarr is not the one that .*out\.zarr ends with: its digest is \w+,",
        ),
        ({}, {"data": changed(36), "frames": 37}, r"frame 36 of .*in\.zarr is not the one"),
        (
            {},
            {"times": TIMES + (np.arange(FRAMES) == 9)},
            r"frame 9 of .*out\.zarr is at time 18\.0 days since 2000.*19\.0",
        ),
        ({}, {"data": DATA[..., :4]}, r"has frames of the shape \(3, 1, 6, 5\), the input now \(3, 1, 6, 4\)"),
        ({}, {"data": DATA.astype(np.float64)}, "has states of type float32, the input now float64"),
    ],
)
def test_what_is_not_the_same_scan_is_refused_and_nothing_touched(settings, given, message, tmp_path):
    run(write(tmp_path / "in.zarr", 37), tmp_path / "out.zarr", shard=SHARD)
    before = files(tmp_path / "out.zarr")
    asked = {"decay": 0.1, "diffusivity": 0.2, "velocity": VELOCITY, "boundary": BOUNDARY} | settings
    write(tmp_path / "in.zarr", **({"frames": FRAMES} | given))
    with pytest.raises(InputError, match=message):
        FilterJob(FilterSettings(**asked), tmp_path / "in.zarr", tmp_path / "out.zarr")
    assert files(tmp_path / "out.zarr") == before
    assert not (tmp_path / "out.zarr.part").exists()


def test_less_memory_than_its_shards_take_and_results_without_a_plan(tmp_path):
    run(write(tmp_path / "in.zarr", 37), tmp_path / "out.zarr", shard=SHARD)
    with pytest.raises(
        InputError, match=r"in shards of 8 frames, with which a worker takes 0\.50 GB; it may take 0\.40 GB"
    ):
        FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "out.zarr", memory=4e8)
    metadata = tmp_path / "out.zarr" / "zarr.json"
    known = json.loads(metadata.read_text())
    del known["attributes"]["chronovox_plan"]
    metadata.write_text(json.dumps(known))
    with pytest.raises(
        InputError, match="was made by a version that kept no plan to go on from; remove it to scan anew"
    ):
        FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "out.zarr")
