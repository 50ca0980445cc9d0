"""Mean spectra: closed forms, and of each channel the same frames for all fields."""

import numpy as np
import pytest

from pipeline.spectra import Spectra

X = np.arange(16) / 16


def wave(number, amplitude):
    """A channel of one wave along the width."""
    return np.broadcast_to(amplitude * np.cos(2 * np.pi * number * X), (1, 8, 16))


def test_means_of_waves():
    spectra = Spectra(["u", "v"])
    holes = np.stack([wave(3, 2.0), wave(2, 1.0)])
    holes[1, 0, 0, 0] = np.nan
    spectra.add({"truth": np.stack([wave(3, 2.0), wave(2, 4.0)]), "model": np.stack([wave(3, 1.0), wave(4, 1.0)])})
    spectra.add({"truth": np.stack([wave(3, 6.0), wave(2, 8.0)]), "model": holes})
    table = spectra.table()
    assert table.groupby("channel")["frames"].unique().map(list).to_dict() == {"u": [2], "v": [1]}
    powers = table.set_index(["channel", "wavenumber"])[["truth", "model"]]
    powers = powers[powers.max(axis=1) > 1e-12]
    shell = 1 / 8  # the largest step: the height's
    assert powers.to_dict("index") == {
        ("u", 2 * shell): pytest.approx({"truth": (4 + 36) / 4, "model": (1 + 4) / 4}),
        ("v", shell): pytest.approx({"truth": 8.0, "model": 0.0}),
        ("v", 2 * shell): pytest.approx({"truth": 0.0, "model": 0.5}),
    }


def test_no_frame_is_complete():
    spectra = Spectra(["u"])
    spectra.add({"truth": np.full((1, 1, 2, 2), np.nan), "model": np.zeros((1, 1, 2, 2))})
    assert list(spectra.table()) == ["channel", "frames", "wavenumber", "truth", "model"]
    assert len(spectra.table()) == 0
