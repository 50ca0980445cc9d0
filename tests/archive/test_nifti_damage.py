"""NIfTI files that are cut short, damaged or none: named, or missing from the frame on where they break."""

import gzip

import numpy as np
import pytest

from pipeline.archive.ask import Ask
from pipeline.archive.nifti import open_nifti
from pipeline.volume import InputError
from tests.archive.test_nifti import as_frames, numbers, write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scaling", [None, (0.5, 1.0)])
def test_a_file_that_holds_fewer_frames_than_it_declares(tmp_path, packed, scaling):
    values = numbers(6, 5, 4, 444)
    path = write(tmp_path / "a.nii", values, scaling=scaling)
    content = path.read_bytes()[: 352 + 68 * 240 + 100]
    path.write_bytes(content)
    if packed:
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"a\.nii.* declares 444 frames and holds 68.*--skip-bad"):
        open_nifti([path], Ask())
    volume = open_nifti([path], Ask(skip_bad=True))
    expected = as_frames(values).astype(np.float32) * (scaling or (1, 0))[0] + (scaling or (1, 0))[1]
    assert volume["data"].dtype == np.float32
    np.testing.assert_array_equal(volume["data"].values[:68], expected[:68])
    assert np.isnan(volume["data"].values[68:]).all()
    np.testing.assert_array_equal(volume["missing"], np.arange(444) >= 68)


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_of_a_damaged_stream_what_could_be_decompressed_is_kept(tmp_path, damage):
    values = numbers(20, 20, 20, 40)
    path = write(tmp_path / "a.nii.gz", values)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    if damage == "cut":
        del content[half:]
    else:
        content[half : half + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nii\.gz (declares 40 frames and holds \d+|has another checksum)"):
        open_nifti([path], Ask())
    volume = open_nifti([path], Ask(skip_bad=True))
    held = int((~volume["missing"]).sum())
    assert 15 < held < 25
    held = min(held, 19)  # what comes out of the overwritten bytes may look right until the stream breaks
    np.testing.assert_array_equal(volume["data"].values[:held], as_frames(values)[:held])
    assert np.isnan(volume["data"].values[volume["missing"].values]).all()


def test_a_wrong_checksum_is_refused_even_where_bad_frames_are_allowed(tmp_path):
    path = write(tmp_path / "a.nii.gz", numbers(3, 4, 5, 6))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    for ask in (Ask(), Ask(skip_bad=True)):
        with pytest.raises(InputError, match=r"a\.nii\.gz has another checksum"):
            open_nifti([path], ask)


def test_whole_files_where_bad_frames_are_allowed_miss_nothing(tmp_path):
    values = numbers(3, 4, 5, 6)
    volume = open_nifti([write(tmp_path / "a.nii.gz", values)], Ask(skip_bad=True))
    assert not volume["missing"].any()
    np.testing.assert_array_equal(volume["data"].values, as_frames(values))


def test_a_frame_s_file_that_cannot_be_read_is_a_missing_frame(tmp_path):
    values = numbers(3, 4, 5, 4)
    paths = [write(tmp_path / f"f{number}.nii", values[..., number]) for number in range(4)]
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    with pytest.raises(InputError, match=r"f2\.nii cannot be read as NIfTI"):
        open_nifti(paths, Ask())
    volume = open_nifti(paths, Ask(skip_bad=True))
    np.testing.assert_array_equal(volume["missing"], [False, False, True, False])
    np.testing.assert_array_equal(volume["data"].values[[0, 1, 3]], as_frames(values)[[0, 1, 3]])
    assert np.isnan(volume["data"].values[2]).all()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"no NIfTI at all" * 100, "cannot be read as NIfTI"), (b"\x1f\x8b\x08\0", "cannot be read")],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_is_no_nifti_is_named(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} .*{told}"):
        open_nifti([tmp_path / name], Ask())


@pytest.mark.filterwarnings("ignore")
def test_no_damage_to_a_header_ends_in_a_traceback(tmp_path):
    whole = write(tmp_path / "a.nii", numbers(3, 4, 5, 6)).read_bytes()
    random, refused = np.random.default_rng(0), []
    for _ in range(150):
        content = bytearray(whole)
        for at in random.integers(0, 352, 4):
            content[at] = random.integers(256)
        (tmp_path / "b.nii").write_bytes(content)
        try:
            open_nifti([tmp_path / "b.nii"], Ask())["data"][:1].compute()
        except InputError as error:
            refused.append(str(error))
    assert 15 < len(refused) < 150
    assert all("b.nii" in message for message in refused)
