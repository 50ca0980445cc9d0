"""`chronovox verify-scan`: 0 when scans of the data are right, 1 when one is not, 2 and a message for a mistake."""

import re

import numpy as np
import pytest

from pipeline.storage import store
from ssm_ops import scan, verify
from tests.synthetic import write_untrained
from tests.written import write_volume
from workflows.cli import main

QUICK = ("--frames", "6", "--trials", "1", "--crop", "4")
PROPAGATOR = ("--decay", "0.1", "--diffusivity", "0.2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_untrained(tmp_path_factory.mktemp("run"))


@pytest.fixture
def chronovox(monkeypatch, capsys):
    """The command in this process: exit code, output, errors."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["chronovox", "verify-scan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_a_model_on_a_prepared_series(run, chronovox):
    code, out, _ = chronovox(run, "--series", "a", "--model", run, *QUICK)
    assert code == 0
    assert "frames 0 to 5 of 40, 1 channel, 4 x 4 voxels, the middle of 9 x 12" in out
    assert "1 of each random way, in float32" in out
    for way in ("uncut", "cuts in time", "workers, chain", "workers, tree", "interruptions"):
        assert len(re.findall(rf"{way} +\d\.\de-0[678]", out)) == 2  # one for each layer
    assert len(re.findall(r"layer [12] +uncut +\S+ +0\.\d+", out)) == 2  # its margin
    assert "Within 1e-05 of the float64 recurrence" in out


def test_a_transition_on_a_file_in_float64_with_its_calendar(run, chronovox):
    options = ("--velocity", "0,0.5", "--boundary", "reflect,periodic", "--unit-days", "2", "--dtype", "float64")
    code, out, _ = chronovox(run / "blobs.nc", *PROPAGATOR, *options, *QUICK)
    assert code == 0
    assert "decay 0.1, diffusivity 0.2, velocity 0, 0.5 for every 2 days" in out
    assert "reflect, periodic" in out
    assert "0.0952" in out  # 1 - exp(-0.1)
    assert "Within 1e-10 of the float64 recurrence" in out


def test_a_kernel_from_a_file(run, chronovox, tmp_path):
    taps = tmp_path / "taps.npy"
    np.save(taps, np.array([[[0.0, 0.1, 0.0], [0.2, 0.3, 0.2], [0.0, 0.1, 0.0]]]))
    code, out, _ = chronovox(run / "blobs.nc", "--kernel", taps, "--boundary", "reflect,periodic", *QUICK)
    assert code == 0
    assert "taps.npy" in out
    assert "pixel space" in out
    assert "0.100" in out  # 1 - sum of the taps


def test_runs_of_a_store_are_told(run, chronovox, tmp_path):
    volume = store.open_volume(run / "raw-0" / "raw.zarr").load().drop_encoding()
    volume = volume.assign_coords(run=("time", np.repeat([0, 1], [13, 27])))
    write_volume({None: volume}, tmp_path / "raw.zarr", {None: 8})
    code, out, _ = chronovox(tmp_path / "raw.zarr", *PROPAGATOR, "--start", "10", *QUICK)
    assert code == 0
    assert "runs:       2, each begins from a state of zero (frames 13)" in out
    code, out, _ = chronovox(tmp_path / "raw.zarr", "--model", run, "--start", "10", *QUICK)
    assert code == 0
    assert "runs:       2, each begins from a state of zero (frames 13)" in out
    _, out, _ = chronovox(tmp_path / "raw.zarr", *PROPAGATOR, "--start", "13", *QUICK)
    assert "runs:" not in out


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (None, "cannot be read as a .npy file"),
        (b"", "cannot be read as a .npy file"),
        (b"no array", "cannot be read as a .npy file"),
        (np.zeros(3), "holds no taps; give one .npy array of real numbers, (channel or 1, *K)"),
        (np.full((1, 3, 3), np.nan), "taps that are not finite"),
        (np.ones((1, 3), dtype=complex), "holds no taps"),
        (np.ones((1, 3)), "the kernel has 1 axes and the grid 2"),
        (np.ones((2, 3, 3)), "taps has 2 channels and the input 1"),
    ],
    ids=str,
)
def test_what_is_no_kernel_is_exit_code_2(run, chronovox, tmp_path, taps, message):
    path = tmp_path / "taps.npy"
    if isinstance(taps, bytes):
        path.write_bytes(taps)
    elif taps is not None:
        np.save(path, taps)
    code, out, err = chronovox(run / "blobs.nc", "--kernel", path, *QUICK)
    assert code == 2
    assert err.startswith("chronovox: ")
    assert message in err
    assert not out


def drops_the_carry(*args, **more):
    return scan(*args, **{**more, "carry": None})


def gives_nan(*args, **more):
    states, carry = scan(*args, **more)
    return states * float("nan"), carry


@pytest.mark.parametrize(
    ("what", "broken", "way"),
    [
        ("model", drops_the_carry, "cuts in time"),
        ("transition", drops_the_carry, "interruptions"),
        ("transition", gives_nan, "uncut"),
    ],
)
def test_a_broken_scan_is_exit_code_1(run, chronovox, monkeypatch, what, broken, way):
    monkeypatch.setattr(verify, "scan", broken)
    data = (run, "--series", "a", "--model", run) if what == "model" else (run / "raw-0", *PROPAGATOR)
    code, out, err = chronovox(*data, *QUICK)
    assert code == 1
    assert "NOT the float64 recurrence:" in out
    assert re.search(rf"{way} +\S+ \*", out)
    assert f"{'layer 2' if what == 'model' else 'transition'}, {way}: " in out
    assert "Within" not in out
    assert not err


MISTAKES = [
    (["nothing.nc", *PROPAGATOR], "no file or folder"),
    (["blobs.nc", *PROPAGATOR, "--variable", "warmt"], "has no variable 'warmt'; did you mean 'warmth'?"),
    (["blobs.nc", *PROPAGATOR, "--boundary", "reflect,mirror"], "boundary 'mirror' of axis 1 is unknown; use one of"),
    (
        ["blobs.nc", *PROPAGATOR, "--boundary", "reflect"],
        "has boundary ('reflect',); give 1 to 3 axes and one boundary",
    ),
    (["blobs.nc", *PROPAGATOR, "--velocity", "0.5,0"], "a velocity along axis 0, whose boundary is reflect"),
    (["blobs.nc", *PROPAGATOR, "--velocity", "0"], "velocity has 1 components and the grid 2 axes; give one for each"),
    (["blobs.nc", "--decay", "-1"], "decay -1 is negative"),
    (["blobs.nc", *PROPAGATOR, "--frames", "99"], "has 40 frames and 99 are asked for"),
    (["blobs.nc", "--model", "raw-0"], "is no Zarr store, and neither it nor a folder in it has a checkpoint.zarr"),
    (["blobs.nc", "--model", "two"], "reads 2 channels and blobs.nc, warmth has 1"),
    ([".", "--model", "."], "no series is named; it has a, b"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(run, chronovox, tmp_path, monkeypatch, arguments, message):
    if "two" in arguments:
        (tmp_path / "two").mkdir()
        arguments = [str(write_untrained(tmp_path / "two", volume_channels=2)) if a == "two" else a for a in arguments]
    monkeypatch.chdir(run)
    code, out, err = chronovox(*arguments)
    assert code == 2
    assert err.startswith("chronovox: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --model, --decay and --kernel"),
        (["--model", "m", "--decay", "1"], "give one of --model, --decay and --kernel"),
        (["--decay", "1", "--kernel", "k.npy"], "give one of --model, --decay and --kernel"),
        (["--model", "m", "--boundary", "reflect"], "--boundary beside --model, which has its own"),
        (["--kernel", "k.npy", "--velocity", "0,1"], "--velocity beside --kernel, which has its own"),
        (["--decay", "1", "--velocity", "0,x"], "'0,x'; give numbers, as in 0,0.5"),
        (["--decay", "1", "--crop", "1.5"], "'1.5'; give whole numbers, as in 64 or 48,64"),
        (["--decay", "1", "--frames", "1"], "--frames"),
        (["--decay", "1", "--dtype", "half"], "--dtype"),
    ],
)
def test_wrong_options_are_exit_code_2(run, chronovox, arguments, message):
    code, _, err = chronovox(run / "blobs.nc", *arguments)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
