"""NIfTI as a volume: numbers as the bytes have them, seconds, millimetres."""

import json
import os
import pickle
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipeline.archive import nifti_file
from pipeline.archive.ask import Ask
from pipeline.archive.nifti import open_nifti
from pipeline.volume import AXES, InputError

NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"
LAS = np.array([[-2.0, 0, 0, 10], [0, 3, 0, -20], [0, 0, 4, -30], [0, 0, 0, 1]])


@pytest.fixture
def real():
    folder = os.environ.get("CHRONOVOX_DATA")
    if not folder:
        pytest.skip("CHRONOVOX_DATA names no folder with the bigger real files")
    return Path(folder) / "fmri"


def numbers(*shape, dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(-900, 900, shape).astype(dtype)


def write(path, values, affine=LAS, step=2.5, unit="sec", scaling=None, **fields):
    """A NIfTI file by its header's fields; `scaling` (slope, intercept) is set without touching `values`."""
    image = (nibabel.Nifti1Pair if path.suffix == ".hdr" else nibabel.Nifti1Image)(values, affine)
    image.header.set_xyzt_units(fields.pop("space", "mm"), unit)
    if values.ndim > 3:
        image.header["pixdim"][4] = step
    for name, value in fields.items():
        image.header[name] = value
    if scaling:
        image.header.set_slope_inter(*scaling)
    nibabel.save(image, path)
    if scaling:  # nibabel divides by the slope when it writes; the numbers meant are put there again
        content = bytearray(path.read_bytes())
        content[352:] = values.tobytes(order="F")
        path.write_bytes(content)
    return path


def as_frames(values):
    """(x, y, z, t) as (time, channel, depth, height, width), written with explicit numbers of axes."""
    return np.moveaxis(values, (3, 2, 1, 0), (0, 1, 2, 3))[:, None]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_integers_stay_integers_and_lie_where_the_bytes_say(tmp_path, name):
    values = numbers(3, 4, 5, 6)
    path = write(tmp_path / name, values)
    volume = open_nifti([path], Ask())
    assert volume["data"].dims == AXES
    assert volume["data"].dtype == np.int16
    assert volume["data"].chunks is not None
    np.testing.assert_array_equal(volume["data"].values, as_frames(values))
    if name == "a.nii":  # x is the fastest: frame 2, depth 1, height 3, width 2
        at = 352 + 2 * (2 + 3 * (3 + 4 * (1 + 5 * 2)))
        assert volume["data"].values[2, 0, 1, 3, 2] == struct.unpack_from("<h", path.read_bytes(), at)[0]


def test_runs_of_frames_are_read_on_whatever_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.archive.assemble.READ_BYTES", 3 * 60 * 2)
    values = numbers(3, 4, 5, 11)
    data = open_nifti([write(tmp_path / "a.nii.gz", values)], Ask())["data"]
    assert data.chunks[0] == (3, 3, 3, 2)
    np.testing.assert_array_equal(data[8:].values, as_frames(values)[8:])
    np.testing.assert_array_equal(data[1:5].values, as_frames(values)[1:5])
    np.testing.assert_array_equal(data.values, as_frames(values))


def test_a_file_that_was_written_again_is_read_again(tmp_path):
    path = tmp_path / "a.nii"
    for seed in (1, 2):
        values = numbers(2, 2, 2, 3, seed=seed)
        write(path, values)
        os.utime(path, ns=(seed, seed))
        np.testing.assert_array_equal(open_nifti([path], Ask())["data"].values, as_frames(values))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(np.int16, np.float32), (np.uint8, np.float32), (np.int32, np.float64), (np.float64, np.float64)],
)
def test_scaling_is_applied_in_floats_wide_enough(tmp_path, stored, expected):
    values = numbers(3, 4, 5, 2).astype(stored)
    volume = open_nifti([write(tmp_path / "a.nii", values, scaling=(0.25, 10.5))], Ask())
    assert volume["data"].dtype == expected
    np.testing.assert_array_equal(volume["data"].values, as_frames(values.astype(np.float64) * 0.25 + 10.5))
    assert volume.attrs["nifti"]["scl_slope"] == 0.25
    assert volume.attrs["nifti"]["scl_inter"] == 10.5


def test_big_endian_and_nifti_2(tmp_path):
    values = numbers(3, 4, 5, 2)
    header = nibabel.Nifti2Header(endianness=">")
    image = nibabel.Nifti2Image(values.astype(">i2"), LAS, header)
    image.header.set_data_dtype(">i2")
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 1.35
    nibabel.save(image, tmp_path / "a.nii")
    volume = open_nifti([tmp_path / "a.nii"], Ask())
    np.testing.assert_array_equal(volume["data"].values, as_frames(values))
    assert volume["data"].dtype == np.dtype("=i2")
    assert volume.attrs["nifti"]["version"] == 2
    np.testing.assert_array_equal(volume["time"], [0, 1.35])


@pytest.mark.parametrize(
    ("step", "unit", "seconds"), [(1.35, "sec", 1.35), (720, "msec", 0.72), (50_000, "usec", 0.05)]
)
def test_time_is_in_seconds(tmp_path, step, unit, seconds):
    volume = open_nifti([write(tmp_path / "a.nii", numbers(2, 2, 2, 3), step=step, unit=unit, toffset=step)], Ask())
    np.testing.assert_allclose(volume["time"], [seconds, 2 * seconds, 3 * seconds], rtol=1e-7)
    assert volume["time"].attrs["units"] == "s"
    assert volume["time"].dtype == np.float64


@pytest.mark.parametrize(("step", "unit", "told"), [(2000, "sec", "2000 s"), (2, "msec", "2 ms"), (2, "usec", "2 us")])
def test_a_repetition_time_in_the_wrong_unit_is_read_in_the_right_one_with_a_warning(tmp_path, step, unit, told):
    path = write(tmp_path / "a.nii", numbers(2, 2, 2, 3), step=step, unit=unit)
    with pytest.warns(UserWarning, match=rf"a\.nii has the repetition time {told}, .* = 2 s"):
        volume = open_nifti([path], Ask())
    np.testing.assert_array_equal(volume["time"], [0, 2, 4])


def test_a_repetition_time_that_no_unit_explains_is_kept_with_a_warning(tmp_path):
    path = write(tmp_path / "a.nii", numbers(2, 2, 2, 3), step=1e-4)
    with pytest.warns(UserWarning, match="no other unit makes it plausible"):
        volume = open_nifti([path], Ask())
    np.testing.assert_allclose(volume["time"], [0, 1e-4, 2e-4], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*repetition time")
@pytest.mark.parametrize("name", ["example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii"])
def test_files_of_nibabel_are_as_nibabel_reads_them(name):
    volume = open_nifti([NIBABEL / name], Ask())
    np.testing.assert_allclose(volume["data"].values, as_frames(nibabel.load(NIBABEL / name).get_fdata()), rtol=1e-7)
    np.testing.assert_array_equal(volume["time"][:2], [0, 2])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"unit": "unknown", "step": 1}, "the step 1 and no unit"),
        ({"unit": "unknown", "step": 0}, "the step 0 and no unit"),
        ({"unit": "sec", "step": 0}, "the step 0 s"),
        ({"unit": "ppm", "step": 2}, "the unit 'ppm'"),
        ({"intent_code": 1007}, "its intent is 'vector'"),
    ],
)
def test_a_fourth_axis_that_is_not_known_to_be_time_must_be_named(tmp_path, fields, reason):
    values = numbers(2, 3, 4, 6)
    path = write(tmp_path / "small_64D.nii", values, **fields)
    with pytest.raises(InputError, match=rf"fourth axis of 6 that is not known to be time: .*{reason}") as refused:
        open_nifti([path], Ask())
    assert "--time t" in str(refused.value)
    assert "--channels direction" in str(refused.value)

    as_time = open_nifti([path], Ask(time="t"))
    np.testing.assert_array_equal(as_time["data"].values, as_frames(values))
    if fields.get("unit", "sec") != "sec" or fields.get("step") == 0:
        np.testing.assert_array_equal(as_time["time"], range(6))
        assert "units" not in as_time["time"].attrs

    as_channels = open_nifti([path], Ask(channels="direction"))
    assert dict(as_channels.sizes) == {"time": 1, "channel": 6, "depth": 4, "height": 3, "width": 2}
    np.testing.assert_array_equal(as_channels["data"].values[0], as_frames(values)[:, 0])
    assert list(as_channels["channel"].values[:2]) == ["direction0", "direction1"]


def test_directions_of_diffusion_beside_the_file_are_seen(tmp_path):
    path = write(tmp_path / "dwi.nii.gz", numbers(2, 2, 2, 3))
    assert open_nifti([path], Ask())["time"].attrs["units"] == "s"
    (tmp_path / "dwi.bval").write_text("0 1000 1000\n")
    with pytest.raises(InputError, match=r"dwi\.bval beside it makes it the directions"):
        open_nifti([path], Ask())


def test_a_fifth_axis_is_stacked_as_channels_where_asked(tmp_path):
    values = numbers(2, 3, 4, 3, 2)
    path = write(tmp_path / "a.nii", values)
    with pytest.raises(InputError, match="fifth axis of 2"):
        open_nifti([path], Ask())
    volume = open_nifti([path], Ask(channels="u"))
    assert list(volume["channel"].values) == ["u0", "u1"]
    for u in range(2):
        np.testing.assert_array_equal(volume["data"].values[:, u : u + 1], as_frames(values[..., u]))


def test_places_are_millimetres_in_the_patient_s_system(tmp_path):
    volume = open_nifti([write(tmp_path / "a.nii", numbers(3, 4, 5, 2))], Ask())
    np.testing.assert_array_equal(volume["x"], [10, 8, 6])
    np.testing.assert_array_equal(volume["y"], [-20, -17, -14, -11])
    np.testing.assert_array_equal(volume["z"], [-30, -26, -22, -18, -14])
    assert [volume[name].dims for name in "zyx"] == [("depth",), ("height",), ("width",)]
    assert {volume[name].attrs["units"] for name in "zyx"} == {"mm"}
    assert volume.attrs["orientation"] == "LAS"
    assert volume.attrs["affine"] == LAS.tolist()


@pytest.mark.parametrize("turn", ["oblique", "exchanged"])
def test_places_of_a_turned_grid_are_counted_from_its_corner(tmp_path, turn):
    c, s = np.cos(0.3), np.sin(0.3)
    by = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) if turn == "oblique" else np.eye(3)[[0, 2, 1]]
    affine = LAS.copy()
    affine[:3, :3] = by @ LAS[:3, :3]
    volume = open_nifti([write(tmp_path / "a.nii", numbers(3, 4, 5, 2), affine)], Ask())
    np.testing.assert_allclose(volume["y"], [0, 3, 6, 9], rtol=1e-6)
    np.testing.assert_allclose(volume["z"], [0, 4, 8, 12, 16], rtol=1e-6)
    np.testing.assert_allclose(volume.attrs["affine"], affine, atol=1e-5)
    assert volume.attrs["orientation"] == ("LAS" if turn == "oblique" else "LSA")


def test_places_in_micrometres_become_millimetres(tmp_path):
    volume = open_nifti([write(tmp_path / "a.nii", numbers(3, 4, 5, 2), space="micron")], Ask())
    np.testing.assert_allclose(volume["z"], [-0.03, -0.026, -0.022, -0.018, -0.014])


def test_the_header_is_kept_as_plain_json(tmp_path):
    path = write(tmp_path / "a.nii", numbers(3, 4, 5, 2), descrip=b"scanner 7", sform_code=2, qform_code=1)
    attributes = open_nifti([path], Ask()).attrs
    back = json.loads(json.dumps(attributes, allow_nan=False))
    assert back["source_format"] == "NIfTI"
    header = back["nifti"]
    assert (header["dtype"], header["descrip"]) == ("<i2", "scanner 7")
    assert (header["sform_code"], header["qform_code"]) == (2, 1)
    assert (header["xyzt_units"], header["pixdim"][1:5]) == (10, [2, 3, 4, 2.5])
    np.testing.assert_array_equal(header["srow"], LAS[:3])


def test_files_with_frames_are_runs_and_files_without_are_frames(tmp_path):
    first, second = numbers(3, 4, 5, 2), numbers(3, 4, 5, 3, seed=1)
    paths = [write(tmp_path / "run1.nii", first), write(tmp_path / "run2.nii.gz", second)]
    volume = open_nifti(paths, Ask())
    np.testing.assert_array_equal(volume["data"].values, as_frames(np.concatenate([first, second], axis=3)))
    np.testing.assert_array_equal(volume["run"], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(volume["time"], [0, 2.5, 5, 7.5, 10])

    paths = [write(tmp_path / f"f{number}.nii", second[..., number]) for number in range(3)]
    volume = open_nifti(paths, Ask())
    np.testing.assert_array_equal(volume["data"].values, as_frames(second))
    assert "run" not in volume.coords
    assert "units" not in volume["time"].attrs


def test_files_as_channels_are_named_by_their_files(tmp_path):
    values = [numbers(3, 4, 5, 2, seed=seed) for seed in range(3)]
    paths = [write(tmp_path / f"echo{number}.nii.gz", value) for number, value in enumerate(values)]
    volume = open_nifti(paths, Ask(channels="files"))
    assert list(volume["channel"].values) == ["echo0", "echo1", "echo2"]
    np.testing.assert_array_equal(volume["data"].values, np.concatenate([as_frames(value) for value in values], axis=1))
    assert "run" not in volume.coords


@pytest.mark.parametrize(
    ("other", "fields", "told", "ask"),
    [
        (numbers(3, 4, 6, 2), {}, r"sizes \[3, 4, 5\] and \[3, 4, 6\]", Ask()),
        (numbers(3, 4, 5, 2), {"step": 2.0}, "repetition times 2.5 s and 2 s", Ask()),
        (numbers(3, 4, 5, 2), {"affine": LAS + np.eye(4)[[3, 0, 1, 2]].T * 0.1}, "affines .* voxels apart", Ask()),
        (numbers(3, 4, 5), {}, r"\[2, 1\] and \[1, 1\] as fourth and fifth", Ask()),
        (numbers(3, 4, 5, 3), {}, "2 and 3 frames", Ask(channels="files")),
    ],
)
def test_files_that_disagree_are_named_with_both_values(tmp_path, other, fields, told, ask):
    paths = [write(tmp_path / "one.nii", numbers(3, 4, 5, 2)), write(tmp_path / "two.nii", other, **fields)]
    with pytest.raises(InputError, match=rf"one\.nii and .*two\.nii .*{told}"):
        open_nifti(paths, ask)


def test_what_has_no_one_real_number_a_voxel_is_refused(tmp_path):
    for dtype in (np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])):
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype), LAS), tmp_path / "a.nii")
        with pytest.raises(InputError, match=r"a\.nii stores .*one real number"):
            open_nifti([tmp_path / "a.nii"], Ask())


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (Ask(variables=("bold",)), "variables bold are asked for"),
        (Ask(channels="variables"), "channels are to be 'variables'"),
        (Ask(time="z"), "the axis 'z' is to be time"),
        (Ask(time="t", channels="t"), "choose one"),
    ],
)
def test_what_nifti_has_not_cannot_be_asked_for(tmp_path, ask, told):
    with pytest.raises(InputError, match=told):
        open_nifti([write(tmp_path / "a.nii", numbers(2, 2, 2, 3))], ask)


def test_the_file_can_be_sent_to_another_process(tmp_path):
    values = numbers(3, 4, 5, 6)
    file = nifti_file.open_file(write(tmp_path / "a.nii.gz", values))
    file.read(0, 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(file)).read(2, 4)[..., 0], values[..., 2:4])


def test_twelve_runs_of_haxby(real):
    paths = sorted((real / "haxby25").glob("run*.nii.gz"))
    volume = open_nifti(paths, Ask())
    assert dict(volume.sizes) == {"time": 1452, "channel": 1, "depth": 10, "height": 10, "width": 6}
    means = [float(volume["data"][volume["run"] == run].mean()) for run in range(3)]
    np.testing.assert_allclose(means, [312.9, 310.0, 307.7], atol=0.05)
    np.testing.assert_array_equal(volume["time"][[0, 1, 1451]], [0, 2.5, 1451 * 2.5])
    assert volume["data"].dtype == np.int16


def test_three_echoes_as_channels(real):
    paths = sorted((real / "tedana").glob("echo*.nii.gz"))
    volume = open_nifti(paths, Ask(channels="files"))
    assert volume["data"].shape == (5, 3, 33, 50, 39)
    assert list(volume["channel"].values) == ["echo1", "echo2", "echo3"]
    for channel, path in enumerate(paths):
        np.testing.assert_array_equal(
            volume["data"].values[:, channel : channel + 1], as_frames(nibabel.load(path).get_fdata())
        )


def test_an_oblique_scan(real):
    volume = open_nifti([real / "fmri1.nii.gz"], Ask())
    assert volume["data"].shape == (40, 1, 18, 10, 10)
    assert volume.attrs["orientation"] == "LSP"
    np.testing.assert_allclose(volume["z"][:3], [0, 2.3, 4.6], atol=1e-4)
    np.testing.assert_allclose(volume["time"][:2], [0, 1.35])
