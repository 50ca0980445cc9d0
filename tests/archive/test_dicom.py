"""DICOM as a volume: slices by their positions, frames by their times; gaps, doubles and mixtures refused by name."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import convert_color_space
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from pipeline.archive.ask import Ask
from pipeline.archive.dicom import open_dicom
from pipeline.volume import AXES, InputError

SERIES = generate_uid(entropy_srcs=["series"])


def slice_of(path, pixels, position=None, *, compress=False, **elements):
    """A DICOM file of int16 pixels (height, width), or frames of them, with the elements given."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    uid = elements.pop("uid", None) or generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.Modality = SERIES, 3, "CT"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    if position is not None:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(position), [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [0.5, 0.25]
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.astype("<i2").tobytes()
    if compress:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-900, 900, shape).astype(np.int16)


def stack(folder, values, places, **elements):
    """A file for each slice of (depth, height, width), named so that names are in another order than places."""
    return [
        slice_of(folder / f"{(7 * k) % 10}_{k}.dcm", pixels, (10, 20, z), InstanceNumber=99 - k, **elements)
        for k, (pixels, z) in enumerate(zip(values, places, strict=True))
    ]


def test_slices_are_ordered_by_position_and_not_by_name_or_number(tmp_path):
    values = numbers(4, 6, 5)
    stack(tmp_path, values, [30, 32.5, 35, 37.5])
    volume = open_dicom(sorted(tmp_path.iterdir()), Ask())
    assert volume["data"].dims == AXES
    assert volume["data"].dtype == np.int16
    assert volume["data"].chunks is not None
    np.testing.assert_array_equal(volume["data"].values[0, 0], values)
    np.testing.assert_array_equal(volume["z"], [30, 32.5, 35, 37.5])
    np.testing.assert_array_equal(volume["x"], -10 - 0.25 * np.arange(5))  # left is +x in DICOM, and -x here
    np.testing.assert_array_equal(volume["y"], -20 - 0.5 * np.arange(6))
    assert volume.attrs["affine"] == [[-0.25, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]]
    assert volume.attrs["orientation"] == "LPS"
    assert volume.sizes["time"] == 1


def test_sagittal_slices_keep_their_place(tmp_path):
    values = numbers(3, 6, 5)
    for k in range(3):  # width runs to the back, height to the feet, depth (their cross product) to the right
        slice_of(tmp_path / f"{k}.dcm", values[k], (-4.0 * k, 1, 2), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    volume = open_dicom(sorted(tmp_path.iterdir()), Ask())
    affine = np.array(volume.attrs["affine"])
    np.testing.assert_array_equal(volume["data"].values[0, 0], values)
    np.testing.assert_allclose(affine @ [0, 0, 1, 1], [4, -1, 2, 1])
    np.testing.assert_allclose(affine @ [2, 3, 0, 1], [0, -1 - 2 * 0.25, 2 - 3 * 0.5, 1])
    assert volume.attrs["orientation"] == "PIR"
    np.testing.assert_allclose(volume["z"], [0, 4, 8])


def test_rescaling_gives_floats(tmp_path):
    values = numbers(2, 3, 3)
    paths = stack(tmp_path, values, [0, 1], RescaleSlope=2.5, RescaleIntercept=-1024)
    volume = open_dicom(paths, Ask())
    assert volume["data"].dtype == np.float32
    np.testing.assert_array_equal(volume["data"].values[0, 0], values * 2.5 - 1024)
    assert volume.attrs["dicom"]["rescale"] == [2.5, -1024]


def test_a_real_series_is_as_pydicom_reads_it():
    folder = Path(get_testdata_file("dicomdirtests/98892001/CT5N/2062", download=False)).parent
    volume = open_dicom(sorted(folder.iterdir()), Ask())
    np.testing.assert_allclose(volume["z"], [-1.2375, 1.2625, 3.7625, 6.2625, 8.7625])
    for depth, name in enumerate(["3353", "3023", "2693", "2392", "2062"]):
        dataset = pydicom.dcmread(folder / name)
        values = np.frombuffer(dataset.PixelData, "<i2").reshape(16, 16) * 1.0 + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(volume["data"].values[0, 0, depth], values)


def test_a_gap_between_slices_is_refused_with_the_positions(tmp_path):
    folder = Path(get_testdata_file("dicomdirtests/77654033/CT2/17106", download=False)).parent
    with pytest.raises(InputError, match=r"-99\.48 and 103\.02 mm are 202\.5 mm apart, and the usual step is 1\.25 mm"):
        open_dicom(sorted(folder.iterdir()), Ask())
    with pytest.raises(InputError, match="2 and 4 mm are 2 mm apart, and the usual step is 1 mm"):
        open_dicom(stack(tmp_path, numbers(5, 3, 3), [0, 1, 2, 4, 5]), Ask())


def test_slices_that_are_slightly_uneven_are_taken_as_even_with_a_warning(tmp_path):
    paths = stack(tmp_path, numbers(4, 3, 3), [0, 1, 2.05, 3])
    with pytest.warns(UserWarning, match=r"1 and 2\.05 mm are 1\.05 mm apart.*taken as even, 1 mm"):
        volume = open_dicom(paths, Ask())
    np.testing.assert_array_equal(volume["z"], [0, 1, 2, 3])


def test_a_slice_beside_the_line_is_refused(tmp_path):
    for k, x in enumerate([0, 0, 0.5, 0]):
        slice_of(tmp_path / f"{k}.dcm", numbers(3, 3), (x, 0, k))
    with pytest.raises(InputError, match=r"at 2 mm lies 0\.5 mm beside the others' line"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())


@pytest.mark.parametrize("name", ["SliceThickness", "SpacingBetweenSlices"])
def test_positions_hold_where_the_header_has_another_spacing(tmp_path, name):
    paths = stack(tmp_path, numbers(3, 3, 3), [0, 1.5, 3], **{name: 5})
    with pytest.warns(UserWarning, match=rf"{name} 5 mm, and the positions of the slices are 1\.5 mm apart"):
        volume = open_dicom(paths, Ask())
    np.testing.assert_array_equal(volume["z"], [0, 1.5, 3])


@pytest.mark.parametrize(
    ("element", "values", "seconds"),
    [
        ("TriggerTime", [0, 40, 80], [0, 0.04, 0.08]),
        ("AcquisitionTime", ["235959.5", "000001.5", "000003.5"], [0, 2, 4]),
        ("AcquisitionDateTime", ["20200101235959.5", "20200102000001.5", "20200102000003.5"], [0, 2, 4]),
        ("AcquisitionTime", ["100000", "100002.5", "100005"], [0, 2.5, 5]),
        ("TemporalPositionIdentifier", [1, 2, 3], None),
        ("InstanceNumber", [10, 11, 12], None),
    ],
)
def test_slices_at_several_times(tmp_path, element, values, seconds):
    pixels = numbers(3, 2, 4, 5)
    for t in range(3):
        for k in range(2):
            slice_of(tmp_path / f"{k}{2 - t}.dcm", pixels[t, k], (0, 0, 3 * k), **{element: values[t]})
    volume = open_dicom(sorted(tmp_path.iterdir()), Ask())
    assert dict(volume.sizes) == {"time": 3, "channel": 1, "depth": 2, "height": 4, "width": 5}
    np.testing.assert_array_equal(volume["data"].values[:, 0], pixels)
    if seconds is not None:
        np.testing.assert_allclose(volume["time"], seconds, atol=1e-6)
        assert volume["time"].attrs["units"] == "s"
    else:
        assert "units" not in volume["time"].attrs


def test_places_with_different_numbers_of_frames_are_refused(tmp_path):
    for number, z in enumerate([0, 1, 2, 0, 1]):
        slice_of(tmp_path / f"{number}.dcm", numbers(3, 3), (0, 0, z), InstanceNumber=number)
    with pytest.raises(InputError, match=r"the slice at 2 mm .* has 1 frames, and other slices have 2"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())


def test_echoes_at_one_place_are_no_times(tmp_path):
    for number, echo in enumerate([10, 20]):
        slice_of(tmp_path / f"{number}.dcm", numbers(3, 3), (0, 0, 0), InstanceNumber=number, EchoTime=echo)
    with pytest.raises(InputError, match=r"0\.dcm .*1\.dcm .* the EchoTime 10.* and 20.*: they are no times"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())


def test_doubles_are_refused(tmp_path):
    uid = generate_uid()
    for number in range(2):
        slice_of(tmp_path / f"{number}.dcm", numbers(3, 3), (0, 0, number), uid=uid)
    with pytest.raises(InputError, match=r"0\.dcm and .*1\.dcm are the same image"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())
    slice_of(tmp_path / "0.dcm", numbers(3, 3), (0, 0, 1))
    with pytest.raises(InputError, match=r"at 1 mm, are told apart by none of"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())


def test_one_of_several_series_is_chosen(tmp_path):
    for number in (3, 4):
        (tmp_path / str(number)).mkdir()
        values = numbers(2, 3, 3, seed=number)
        uid = generate_uid(entropy_srcs=[str(number)])
        stack(
            tmp_path / str(number), values, [0, 1], SeriesInstanceUID=uid, SeriesNumber=number, SeriesDescription="head"
        )
    paths = sorted(tmp_path.rglob("*.dcm"))
    with pytest.raises(
        InputError, match=r"2 series.*series 3, head, 2 files, .*series 4, head.*--select series=NUMBER"
    ):
        open_dicom(paths, Ask())
    for chosen in ("4", generate_uid(entropy_srcs=["4"])):
        volume = open_dicom(paths, Ask(select=(("series", chosen), ("depth", "0:1"))))
        np.testing.assert_array_equal(volume["data"].values[0, 0], numbers(2, 3, 3, seed=4))
    with pytest.raises(InputError, match="0 series are called 7"):
        open_dicom(paths, Ask(select=(("series", "7"),)))


def test_a_cine_in_colour():
    path = Path(get_testdata_file("examples_ybr_color.dcm", download=False))
    volume = open_dicom([path], Ask())
    assert dict(volume.sizes) == {"time": 30, "channel": 3, "depth": 1, "height": 240, "width": 320}
    assert list(volume["channel"].values) == ["red", "green", "blue"]
    np.testing.assert_allclose(volume["time"], 0.033333 * np.arange(30), rtol=1e-12)
    assert volume["time"].attrs["units"] == "s"
    raw = pydicom.pixels.pixel_array(path, index=17, raw=True)
    expected = convert_color_space(raw, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(volume["data"].values[17, :, 0], expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(volume["data"][17:18].values[0, :, 0], expected.transpose(2, 0, 1))
    assert volume["data"].dtype == np.uint8
    json.dumps(volume.attrs, allow_nan=False)


@pytest.mark.parametrize(
    ("elements", "seconds"),
    [
        ({"FrameTime": 40, "FrameIncrementPointer": 0x00181063}, [0, 0.04, 0.08]),
        ({"FrameTimeVector": [0, 40, 60], "FrameIncrementPointer": 0x00181065}, [0, 0.04, 0.1]),
        ({"CineRate": 25}, [0, 0.04, 0.08]),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_frames_of_one_file_have_its_times(tmp_path, elements, seconds, compress):
    pixels = numbers(3, 4, 5)
    volume = open_dicom([slice_of(tmp_path / "a.dcm", pixels, compress=compress, **elements)], Ask())
    np.testing.assert_allclose(volume["time"], seconds)
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], pixels)
    assert "affine" not in volume.attrs


def test_frames_that_say_nothing_must_be_named(tmp_path):
    pixels = numbers(3, 4, 5)
    path = slice_of(tmp_path / "a.dcm", pixels)
    with pytest.raises(InputError, match=r"has 3 frames and says neither where nor when .*--time frame"):
        open_dicom([path], Ask())
    volume = open_dicom([path], Ask(time="frame"))
    np.testing.assert_array_equal(volume["data"].values[:, 0, 0], pixels)
    assert "units" not in volume["time"].attrs


@pytest.mark.parametrize("compress", [False, True])
def test_frames_with_places_and_times_of_their_own(tmp_path, compress):
    pixels = numbers(6, 4, 5)
    groups = []
    for index in range(6):
        place, content, group, values = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 2.0 * (index % 3)]
        content.TemporalPositionIndex = 1 + index // 3
        content.FrameAcquisitionDateTime = f"2020010110000{3 * (index // 3)}.{index % 3}"
        values.RescaleSlope, values.RescaleIntercept = 1 + index, 5
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [0.5, 0.25], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    path = slice_of(
        tmp_path / "a.dcm",
        pixels,
        compress=compress,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=groups,
    )
    volume = open_dicom([path], Ask())
    assert volume["data"].shape == (2, 1, 3, 4, 5)
    expected = pixels.astype(float) * np.arange(1, 7)[:, None, None] + 5
    np.testing.assert_array_equal(volume["data"].values, expected.reshape(2, 1, 3, 4, 5))
    np.testing.assert_array_equal(volume["z"], [0, 2, 4])
    np.testing.assert_allclose(volume["time"], [0, 3])


def test_a_dose_lies_where_its_grid_says():
    path = Path(get_testdata_file("rtdose.dcm", download=False))
    dataset = pydicom.dcmread(path)
    volume = open_dicom([path], Ask())
    np.testing.assert_allclose(volume["z"], -761.87 + 5 * np.arange(15))
    stored = np.frombuffer(dataset.PixelData, "<u4").reshape(15, 10, 10)
    np.testing.assert_allclose(volume["data"].values[0, 0], stored * float(dataset.DoseGridScaling), rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"]
)
def test_lossless_compression_gives_the_same_numbers(name):
    plain = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    volume = open_dicom([Path(get_testdata_file(name, download=False))], Ask())
    np.testing.assert_array_equal(volume["data"].values[0, 0, 0], np.frombuffer(plain.PixelData, "<i2").reshape(64, 64))


def test_a_truncated_image_is_named_or_missing(tmp_path):
    truncated = Path(get_testdata_file("MR_truncated.dcm", download=False))
    with pytest.raises(InputError, match=r"MR_truncated\.dcm declares 1 frames and holds 0"):
        open_dicom([truncated], Ask())
    with pytest.raises(InputError, match=r"none of 1 files holds a whole frame"):
        open_dicom([truncated], Ask(skip_bad=True))

    pixels = numbers(3, 2, 4, 5)
    for t in range(3):
        for k in range(2):
            slice_of(tmp_path / f"{t}{k}.dcm", pixels[t, k], (0, 0, k), TemporalPositionIdentifier=t + 1)
    bad = tmp_path / "11.dcm"
    bad.write_bytes(bad.read_bytes()[:-6])
    with pytest.raises(InputError, match=r"11\.dcm declares 1 frames and holds 0.*--skip-bad"):
        open_dicom(sorted(tmp_path.iterdir()), Ask())
    volume = open_dicom(sorted(tmp_path.iterdir()), Ask(skip_bad=True))
    np.testing.assert_array_equal(volume["missing"], [False, True, False])
    assert volume["data"].dtype == np.float32
    assert np.isnan(volume["data"].values[1, 0, 1]).all()
    np.testing.assert_array_equal(volume["data"].values[1, 0, 0], pixels[1, 0])
    np.testing.assert_array_equal(volume["data"].values[[0, 2], 0], pixels[[0, 2]])


@pytest.mark.parametrize("compress", [False, True])
def test_a_truncated_sequence_says_how_much_it_holds(tmp_path, compress):
    pixels = numbers(5, 20, 20)
    path = slice_of(tmp_path / "a.dcm", pixels, compress=compress, FrameTime=40)
    path.write_bytes(path.read_bytes()[: -1000 if compress else -2 * 800 + 1])
    with pytest.raises(InputError, match=r"a\.dcm " if compress else "declares 5 frames and holds 3"):
        open_dicom([path], Ask())["data"].compute()
    volume = open_dicom([path], Ask(skip_bad=True))
    lost = volume["missing"].values
    assert 1 <= lost.sum() <= 2
    np.testing.assert_array_equal(volume["data"].values[~lost, 0, 0], pixels[~lost])
    assert np.isnan(volume["data"].values[lost]).all()


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"rubbish" * 9])
def test_what_is_no_dicom_is_named(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dcm (is|cannot|holds no image)"):
        open_dicom([tmp_path / "a.dcm"], Ask())


@pytest.mark.filterwarnings("ignore")
def test_no_damage_to_a_header_ends_in_a_traceback(tmp_path):
    whole = slice_of(tmp_path / "a.dcm", numbers(4, 5), (0, 0, 0), FrameTime=40, AcquisitionTime="1000").read_bytes()
    random, refused = np.random.default_rng(0), []
    for _ in range(100):
        content = bytearray(whole)
        for at in random.integers(132, len(whole) - 40, 3):
            content[at] = random.integers(256)
        (tmp_path / "b.dcm").write_bytes(content)
        try:
            open_dicom([tmp_path / "b.dcm"], Ask())["data"].compute()
        except InputError as error:
            refused.append(str(error))
    assert 10 < len(refused) < 100
    assert all("b.dcm" in message for message in refused)


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm"])
def test_files_without_images_are_named(name):
    with pytest.raises(InputError, match=rf"{name} holds no image"):
        open_dicom([Path(get_testdata_file(name, download=False))], Ask())


@pytest.mark.parametrize(
    ("element", "value", "told"),
    [
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, 1], "the orientations"),
        ("PixelSpacing", [1, 1], "the spacings of pixels"),
    ],
)
def test_slices_that_disagree_are_named_with_both_values(tmp_path, element, value, told):
    one = slice_of(tmp_path / "one.dcm", numbers(3, 3), (0, 0, 0))
    two = slice_of(tmp_path / "two.dcm", numbers(3, 3), (0, 0, 1), **{element: value})
    with pytest.raises(InputError, match=rf"one\.dcm and .*two\.dcm have {told} \["):
        open_dicom([one, two], Ask())
    slice_of(two, numbers(4, 3), (0, 0, 1))
    with pytest.raises(InputError, match=r"have \[3, 3, 1\] and \[4, 3, 1\] rows"):
        open_dicom([one, two], Ask())


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (Ask(variables=("ct",)), "variables ct are asked for"),
        (Ask(channels="files"), "channels are to be 'files'"),
        (Ask(time="t"), "only the frames of a file can be, 'frame'"),
    ],
)
def test_what_dicom_has_not_cannot_be_asked_for(tmp_path, ask, told):
    with pytest.raises(InputError, match=told):
        open_dicom([slice_of(tmp_path / "a.dcm", numbers(2, 2), (0, 0, 0))], ask)
