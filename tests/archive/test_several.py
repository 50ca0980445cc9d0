"""Several files as runs or as channels, whatever their format: what comes of them, and which do not go together."""

import numpy as np
import pytest

from pipeline.archive import Ask, open_archive
from pipeline.volume import InputError

RUNS, CHANNELS = Ask(), Ask(channels="files")


def write(folder, **arrays):
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return [folder / f"{name}.npy" for name in arrays]


def numbers(*shape, dtype=np.int16):
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def test_runs_follow_each_other_and_channels_lie_side_by_side(tmp_path):
    first, second = numbers(4, 5, 6), numbers(3, 5, 6) + 1
    runs = open_archive(write(tmp_path, a=first, b=second), RUNS)
    np.testing.assert_array_equal(runs["data"].values[:, 0, 0], np.concatenate([first, second]))
    assert runs["run"].values.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert runs["time"].values.tolist() == list(range(7))
    channels = open_archive(write(tmp_path, a=first, b=first + 1), CHANNELS)
    assert list(channels["channel"].values) == ["a", "b"]
    np.testing.assert_array_equal(channels["data"].values[:, :, 0], np.stack([first, first + 1], 1))


@pytest.mark.parametrize(
    ("other", "ask", "told"),
    [
        (numbers(4, 5, 7), RUNS, r"\(1, 1, 5, 6\) in .*a\.npy and \(1, 1, 5, 7\) in .*b\.npy"),
        (numbers(4, 5, 6, dtype=np.uint8), RUNS, r"the type: int16 in .*a\.npy and uint8 in .*b\.npy"),
        (numbers(4, 2, 1, 5, 6), RUNS, r"\(1, 1, 5, 6\) in .*a\.npy and \(2, 1, 5, 6\) in .*b\.npy"),
        (numbers(3, 5, 6), CHANNELS, r"\(4, 1, 5, 6\) in .*a\.npy and \(3, 1, 5, 6\) in .*b\.npy"),
        (numbers(4, 5, 6, dtype=np.uint8), CHANNELS, r"the type: int16 in .*a\.npy and uint8 in .*b\.npy"),
    ],
)
def test_files_that_disagree(other, ask, told, tmp_path):
    with pytest.raises(InputError, match=told):
        open_archive(write(tmp_path, a=numbers(4, 5, 6), b=other), ask)


def test_channels_of_one_name(tmp_path):
    (tmp_path / "more").mkdir()
    paths = write(tmp_path, a=numbers(4, 5, 6)) + write(tmp_path / "more", a=numbers(4, 5, 6))
    with pytest.raises(InputError, match="the same name, and channels are named by their files; rename"):
        open_archive(paths, CHANNELS)
