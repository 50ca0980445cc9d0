"""npy files: axes by their number, values and types exact, what cannot be a volume refused."""

import numpy as np
import pytest

from pipeline.archive import assemble
from pipeline.archive.ask import Ask
from pipeline.archive.npy import open_npy
from pipeline.volume import InputError


def write(path, values):
    np.save(path, values)
    return path


def numbers(*shape, dtype=np.int16):
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "volume"),
    [((6, 4, 5), (6, 1, 1, 4, 5)), ((6, 3, 4, 5), (6, 1, 3, 4, 5)), ((6, 2, 3, 4, 5), (6, 2, 3, 4, 5))],
)
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f4", ">f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_follow_from_their_number(tmp_path, monkeypatch, shape, volume, dtype, order):
    values = np.asarray(numbers(*shape, dtype=dtype), order=order)
    path = write(tmp_path / "a.npy", values)
    monkeypatch.setattr(assemble, "READ_BYTES", 2 * values[0].nbytes)
    found = open_npy([path], Ask())
    assert found["data"].shape == volume
    assert found["data"].dtype == np.dtype(dtype).newbyteorder("=")
    assert found["data"].chunks[0] == (2, 2, 2)
    np.testing.assert_array_equal(found["data"].values, values.reshape(volume))
    np.testing.assert_array_equal(found["data"][3:5].values, values.reshape(volume)[3:5])
    assert found["time"].values.tolist() == list(range(6))
    assert found["time"].attrs == {}
    assert list(found["channel"].values) == [str(number) for number in range(volume[1])]
    assert found.attrs == {"source_format": "npy"}


def test_truth_values_are_numbers(tmp_path):
    values = numbers(3, 4, 5) > 60
    found = open_npy([write(tmp_path / "a.npy", values)], Ask())["data"]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found.values[:, 0, 0], values)


def test_a_file_that_is_cut_short(tmp_path):
    values = numbers(6, 4, 5)
    path = write(tmp_path / "a.npy", values)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(
        InputError, match=r"a\.npy declares 240 bytes of values and gives 190, 4 of 6 frames; .*--skip-bad"
    ):
        open_npy([path], Ask())
    found = open_npy([path], Ask(skip_bad=True))
    assert found["data"].dtype == np.float32
    assert found["missing"].values.tolist() == [False] * 4 + [True] * 2
    np.testing.assert_array_equal(found["data"].values[:4, 0, 0], values[:4])
    assert np.isnan(found["data"].values[4:]).all()
    write(path, np.asfortranarray(values))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="fetch it again$"):
        open_npy([path], Ask(skip_bad=True))


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUM", b"\x93NUMPY\x01\0\x10\0{'descr': '<f4',", b"no array", b"\x93NUMPY\x09\0"]
)
def test_what_is_no_npy_is_refused(tmp_path, capfd, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npy cannot be read as npy"):
        open_npy([tmp_path / "bad.npy"], Ask())
    assert capfd.readouterr() == ("", "")


def test_values_and_axes_that_are_no_volume(tmp_path):
    cases = {
        "holds Python objects": np.array([[["a", {}]]], object),
        "values of type complex64": numbers(3, 4, 5).astype(np.complex64),
        "values of type <U1": np.full((3, 4, 5), "a"),
        r"has 2 axes, \(4, 5\)": numbers(4, 5),
        r"has 6 axes": numbers(1, 1, 1, 1, 4, 5),
        r"has axes of \(0, 4, 5\), and no values": numbers(0, 4, 5),
    }
    for number, (message, values) in enumerate(cases.items()):
        with pytest.raises(InputError, match=message):
            open_npy([write(tmp_path / f"{number}.npy", values)], Ask())
