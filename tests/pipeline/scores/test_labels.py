"""Dice of label images, label by label, added over frames."""

import numpy as np

from pipeline.scores import dice


def image(*labels):
    return np.array(labels).reshape(1, 1, 1, -1)


def test_dice_by_hand():
    one, two = dice(image(1, 1, 2, 0), image(1, 2, 2, 0), [0, 1, 2, 3]), dice(image(1), image(1), [0, 1, 2, 3])
    for found, wanted in ((one, [1, 2 / 3, 2 / 3, np.nan]), (one + two, [1, 4 / 5, 2 / 3, np.nan])):
        assert list(found.per_channel()) == ["dice_0", "dice_1", "dice_2", "dice_3"]
        np.testing.assert_allclose([value.item() for value in found.per_channel().values()], wanted, rtol=1e-15)


def test_channels_are_apart():
    truth = np.stack([image(1, 0)[0], image(0, 1)[0]])
    found = dice(np.stack([truth[0], truth[0]]), truth, [1])
    np.testing.assert_array_equal(found.per_channel()["dice_1"], [1, 0])
    assert found.pooled() == {"dice_1": 0.5}


def test_missing_values():
    forecast, truth = image(1.0, 1.0, 1.0, np.nan), image(1.0, np.nan, 0.0, 1.0)
    assert dice(forecast, truth, [1]).pooled() == {"dice_1": 0.5}
    assert np.isnan(dice(forecast, np.full_like(truth, np.nan), [1]).pooled()["dice_1"])
