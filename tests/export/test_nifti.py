"""NIfTI to store to NIfTI: data bit for bit as nibabel reads them, affine, and times; and what other stores become."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr

from pipeline.archive import Ask
from pipeline.infer import prediction_template
from pipeline.storage import store
from pipeline.volume import DATA, InputError
from tests.export.stores import exported, volume, written
from tests.synthetic import stored

OBLIQUE = np.array([[-2.0, 0.25, 0, 10.5], [0.125, 2.875, -0.375, -20], [0.125, 0.5, 3.75, -30], [0, 0, 0, 1]])
"""An affine that header fields (float32) hold exactly."""
UNUSED = {"sizeof_hdr", "data_type", "db_name", "extents", "session_error", "regular", "glmax", "glmin", "magic"}
NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"


def numbers(*shape, dtype=np.int16):
    return np.random.default_rng(0).integers(-900, 900, shape).astype(dtype)


def image(values, affine=OBLIQUE, unit="sec", step=1.35, kind=nibabel.Nifti1Image, **fields):
    found = kind(values, affine)
    found.header.set_xyzt_units(fields.pop("space", "mm"), unit)
    if values.ndim > 3:
        found.header["pixdim"][4] = step
    for name, value in fields.items():
        found.header[name] = value
    return found


def round_trip(folder, before, ask=Ask(), name="before.nii.gz", **wish):  # noqa: B008  it is frozen
    """The file after, and what was told."""
    nibabel.save(before, folder / name)
    stored([folder / name], folder / "a.zarr", ask)
    lines = exported(folder / "a.zarr", folder / "after.nii.gz", **wish)
    return nibabel.load(folder / "after.nii.gz"), lines


def check_same(before, after, ignored=()):
    """Values, and every field of the header that means something."""
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
    assert after.get_data_dtype() == before.get_data_dtype().newbyteorder("<")
    np.testing.assert_array_equal(after.affine, before.affine)
    meaningless = {
        "sizeof_hdr",
        "data_type",
        "db_name",
        "extents",
        "session_error",
        "regular",
        "glmax",
        "glmin",
        "magic",
    }
    for name in set(before.header.keys()) - meaningless - {"vox_offset", "scl_slope", "scl_inter", *ignored}:
        np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_types_stay_and_headers_come_back(tmp_path, dtype):
    before = image(numbers(3, 4, 5, 6, dtype=dtype), toffset=2.7, descrip=b"by hand", cal_max=700, intent_code=1001)
    before.header.set_qform(OBLIQUE, 1, strip_shears=True)
    before.header.set_sform(OBLIQUE, 4)
    before.header.set_dim_info(0, 1, 2)
    before.header["slice_end"], before.header["slice_code"], before.header["slice_duration"] = 4, 1, 0.25
    after, lines = round_trip(tmp_path, before)
    check_same(nibabel.load(tmp_path / "before.nii.gz"), after)
    assert len(lines) == 1  # nothing is lost


@pytest.mark.parametrize(("kind", "slope"), [(np.int16, 0.1), (np.uint8, 3.3), (np.int32, 0.013), (np.int16, -0.5)])
def test_scaled_integers_are_the_same_integers_again(tmp_path, kind, slope):
    before = image(np.zeros((3, 4, 5, 6), kind))
    before.header.set_slope_inter(slope, 10.5)
    nibabel.save(before, tmp_path / "before.nii")
    content = bytearray((tmp_path / "before.nii").read_bytes())
    content[352:] = numbers(3, 4, 5, 6, dtype=kind).tobytes(order="F")
    (tmp_path / "before.nii").write_bytes(content)
    stored([tmp_path / "before.nii"], tmp_path / "a.zarr", Ask())
    exported(tmp_path / "a.zarr", tmp_path / "after.nii")
    before, after = (nibabel.load(tmp_path / f"{name}.nii") for name in ("before", "after"))
    check_same(before, after)
    assert (after.dataobj.slope, after.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)


def test_values_that_the_scaling_cannot_give_are_floats(tmp_path):
    before = image(numbers(3, 4, 5, 6))
    before.header.set_slope_inter(0.5, 0)
    nibabel.save(before, tmp_path / "before.nii")
    raw = stored([tmp_path / "before.nii"], tmp_path / "a.zarr", Ask())
    for change, name in ((0.25, "between"), (1e6, "beyond"), (np.nan, "missing")):
        other = raw.copy(deep=True)
        other[DATA] = raw[DATA].compute()
        other[DATA][5, 0, 0, 0, 0] += change
        exported(written(tmp_path / f"{name}.zarr", alone=other), tmp_path / f"{name}.nii")
        after = nibabel.load(tmp_path / f"{name}.nii")
        assert after.get_data_dtype() == np.float32
        np.testing.assert_array_equal(after.get_fdata().T, other[DATA][:, 0])


@pytest.mark.parametrize(("step", "unit"), [(720, "msec"), (50_000, "usec"), (2.5, "sec")])
def test_the_unit_of_time_stays(tmp_path, step, unit):
    before = image(numbers(2, 3, 4, 5), step=step, unit=unit, toffset=3 * step)
    check_same(before, round_trip(tmp_path, before)[0])


@pytest.mark.filterwarnings("ignore:.*repetition time")
def test_a_repetition_time_in_the_wrong_unit_is_written_in_the_right_one(tmp_path):
    before = image(numbers(2, 3, 4, 5), step=2000, unit="sec")
    after, _ = round_trip(tmp_path, before)
    check_same(before, after, ignored=["pixdim"])
    assert after.header.get_zooms()[3] == 2
    assert after.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize("space", ["mm", "micron", "meter", "unknown"])
def test_the_unit_of_space_stays(tmp_path, space):
    before = image(numbers(2, 3, 4, 5), space=space)
    check_same(before, round_trip(tmp_path, before)[0])


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 4)])
def test_codes_of_affines_stay(tmp_path, codes):
    before = image(numbers(2, 3, 4, 5))
    before.set_qform(OBLIQUE, codes[0], strip_shears=True)
    before.set_sform(OBLIQUE, codes[1])
    nibabel.save(before, tmp_path / "x.nii")
    before = nibabel.load(tmp_path / "x.nii")
    after, _ = round_trip(tmp_path, before)
    check_same(before, after)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 4)])
def test_a_part_lies_where_it_lay(tmp_path, codes):
    before = image(numbers(5, 6, 7, 4))
    before.set_qform(OBLIQUE, codes[0], strip_shears=True)
    before.set_sform(OBLIQUE, codes[1])
    nibabel.save(before, tmp_path / "x.nii")
    before = nibabel.load(tmp_path / "x.nii")
    select = (("width", "1:3"), ("height", "2:4"), ("depth", "3:6"), ("time", "1.3:2.8"))
    after, _ = round_trip(tmp_path, before, select=select)
    expected = before.slicer[1:4, 2:5, 3:7, 1:3]
    np.testing.assert_array_equal(after.get_fdata(), expected.get_fdata())
    np.testing.assert_allclose(after.affine, expected.affine, rtol=1e-5, atol=1e-5)
    assert after.header["toffset"] == np.float32(1.35)


def test_three_axes_five_axes_and_directions(tmp_path):
    cases = {
        "three": (image(numbers(3, 4, 5)), Ask()),
        "five": (image(numbers(3, 4, 5, 6, 2), intent_code=1007), Ask(channels="u", time="t")),
        "directions": (image(numbers(3, 4, 5, 6), unit="unknown", step=1), Ask(channels="direction")),
    }
    for name, (before, ask) in cases.items():
        (tmp_path / name).mkdir()
        after, _ = round_trip(tmp_path / name, before, ask)
        assert after.shape == before.shape
        check_same(before, after)


def test_a_single_frame_has_the_step_that_all_have(tmp_path):
    after, _ = round_trip(tmp_path, image(numbers(3, 4, 5, 6)), select=(("time", "2.7"),))
    assert after.shape == (3, 4, 5)
    assert after.header["pixdim"][4] == np.float32(1.35)
    assert after.header["toffset"] == np.float32(2.7)


def test_nifti_2_and_large_axes(tmp_path):
    before = image(numbers(3, 4, 5, 6), kind=nibabel.Nifti2Image)
    check_same(before, round_trip(tmp_path, before)[0])
    assert isinstance(nibabel.load(tmp_path / "after.nii.gz"), nibabel.Nifti2Image)
    exported(written(tmp_path / "b.zarr", alone=volume((2, 1, 1, 1, 32768), np.uint8)), tmp_path / "b.nii")
    assert isinstance(nibabel.load(tmp_path / "b.nii"), nibabel.Nifti2Image)


def test_each_run_is_a_file_with_its_own_clock(tmp_path):
    runs = [image(numbers(3, 4, 5, frames), toffset=5.4) for frames in (4, 3, 5)]
    for number, one in enumerate(runs):
        nibabel.save(one, tmp_path / f"run{number}.nii")
    stored([tmp_path / f"run{number}.nii" for number in range(3)], tmp_path / "a.zarr", Ask())
    lines = exported(tmp_path / "a.zarr", tmp_path / "out.nii.gz")
    assert [line.split(":")[0][-16:] for line in lines] == [f"out_run-{n}.nii.gz"[-16:] for n in (1, 2, 3)]
    for number, before in enumerate(runs, start=1):
        check_same(before, nibabel.load(tmp_path / f"out_run-{number}.nii.gz"))
    exported(tmp_path / "a.zarr", tmp_path / "second.nii", select=(("run", "1"),))
    check_same(runs[1], nibabel.load(tmp_path / "second.nii"))
    with pytest.raises(InputError, match=r"out_run-1\.nii\.gz is there already"):
        exported(tmp_path / "a.zarr", tmp_path / "out.nii.gz")


def test_several_channels_are_refused_and_one_is_taken(tmp_path):
    path = written(tmp_path / "a.zarr", alone=volume((3, 2, 2, 4, 5), channels=["echo1", "echo2"]))
    with pytest.raises(InputError, match=r"has 2 channels, .* of its own \(--channel\): echo1, echo2"):
        exported(path, tmp_path / "a.nii")
    exported(path, tmp_path / "a.nii", channel="echo2")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "a.nii").dataobj, volume((3, 2, 2, 4, 5))[DATA][:, 1].T)


def test_without_an_affine_the_coordinates_tell_it(tmp_path):
    data = volume((3, 1, 2, 4, 5), np.float32)
    exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.nii")
    after = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(after.affine, [[0.5, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 10], [0, 0, 0, 1]])
    assert after.header.get_zooms() == (0.5, 2, 3, 2)
    assert after.get_data_dtype() == np.float32
    small = data.assign_coords(x=("width", np.arange(5) * 7.0, {"units": "um"}))
    exported(written(tmp_path / "b.zarr", alone=small), tmp_path / "b.nii")
    assert nibabel.load(tmp_path / "b.nii").affine[0, 0] == pytest.approx(0.007)


def test_dates_and_uneven_levels_are_told(tmp_path):
    times = xr.date_range("2000-01-01", periods=3, freq="D", use_cftime=True)
    data = volume((3, 1, 3, 4, 5)).drop_vars("z").assign_coords(time=times)
    data = data.assign_coords(level=("depth", [1000.0, 500.0, 300.0], {"units": "hPa"}))
    lines = exported(written(tmp_path / "a.zarr", alone=data), tmp_path / "a.nii")
    assert lines[1:] == [
        "the unit of level (hPa) is not kept",
        "level is not even: the mean step of -350 hPa is written",
        "dates are not kept: times are seconds since the first frame",
    ]
    assert nibabel.load(tmp_path / "a.nii").header["pixdim"][4] == 86400


def test_a_forecast_lies_where_the_scan_does_one_step_later(tmp_path):
    nibabel.save(image(numbers(3, 4, 5, 6)), tmp_path / "before.nii")
    stored([tmp_path / "before.nii"], tmp_path / "a.zarr", Ask())
    raw = store.open_volume(tmp_path / "a.zarr", chunked=True)
    raw[DATA] = (raw[DATA] / 7).astype(np.float32)
    raw[DATA].attrs["normalised_from"] = ""
    moved = prediction_template(raw, "scan")
    np.testing.assert_allclose(moved["time"], 1.35 * np.arange(1, 7))
    moved[DATA] = moved[DATA].copy(data=raw[DATA].values)
    exported(written(tmp_path / "b.zarr", alone=moved), tmp_path / "after.nii")
    after = nibabel.load(tmp_path / "after.nii")
    np.testing.assert_array_equal(after.affine, nibabel.load(tmp_path / "before.nii").affine)
    assert after.get_data_dtype() == np.float32
    assert after.header["toffset"] == after.header["pixdim"][4] == np.float32(1.35)
    np.testing.assert_array_equal(after.get_fdata().T, raw[DATA][:, 0])


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    path = written(tmp_path / "a.zarr", alone=volume())
    exported(path, tmp_path / "a.nii.gz")
    exported(path, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.filterwarnings("ignore:.*repetition time")
@pytest.mark.parametrize("name", ["example4d.nii.gz", "functional.nii", "anatomical.nii", "standard.nii.gz"])
def test_files_of_nibabel_come_back(tmp_path, name):
    stored([NIBABEL / name], tmp_path / "a.zarr", Ask())
    exported(tmp_path / "a.zarr", tmp_path / "after.nii.gz")
    check_same(nibabel.load(NIBABEL / name), nibabel.load(tmp_path / "after.nii.gz"), ignored=["pixdim", "descrip"])


def test_real_scans_come_back(tmp_path):
    folder = os.environ.get("CHRONOVOX_DATA")
    if not folder:
        pytest.skip("CHRONOVOX_DATA names no folder with the bigger real files")
    fmri = Path(folder) / "fmri"
    files = [fmri / "fmri1.nii.gz", fmri / "haxby25" / "run001.nii.gz", fmri / "haxby25" / "masks" / "vt.nii.gz"]
    for number, path in enumerate([*files, fmri / "tedana" / "echo2.nii.gz"]):
        stored([path], tmp_path / f"{number}.zarr", Ask())
        exported(tmp_path / f"{number}.zarr", tmp_path / f"{number}.nii.gz")
        check_same(nibabel.load(path), nibabel.load(tmp_path / f"{number}.nii.gz"))
    echoes = [fmri / "tedana" / f"echo{number}.nii.gz" for number in (1, 2, 3)]
    stored(echoes, tmp_path / "echoes.zarr", Ask(channels="files"))
    for number, path in enumerate(echoes, start=1):
        exported(tmp_path / "echoes.zarr", tmp_path / f"e{number}.nii.gz", channel=f"echo{number}")
        check_same(nibabel.load(path), nibabel.load(tmp_path / f"e{number}.nii.gz"))


def test_a_forecast_of_runs_keeps_their_borders_and_clocks(tmp_path):
    raw = volume((6, 1, 2, 4, 5), np.float32).assign_coords(run=("time", [0, 0, 0, 1, 1, 1]))
    raw[DATA].attrs["normalised_from"] = ""
    moved = prediction_template(raw, "scan")
    assert moved["run"].values.tolist() == [0, 0, 1, 1, 1, 1]
    exported(written(tmp_path / "a.zarr", alone=moved), tmp_path / "a.nii")
    files = [nibabel.load(tmp_path / f"a_run-{number}.nii") for number in (1, 2)]
    assert [file.shape[3] for file in files] == [2, 4]
    assert [float(file.header["toffset"]) for file in files] == [2, 0]
