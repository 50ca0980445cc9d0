"""Power spectra: Parseval, waves in the bin of their wavenumber, any spacing."""

import numpy as np
import pytest

from pipeline.scores import radial_spectrum


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (1, 1, 9, 14), (2, 4, 6, 5), (1, 5, 8, 7), (1, 1, 1, 6), (1, 1, 1, 1)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.5, 2.0)])
def test_parseval(shape, spacing):
    frame = np.random.default_rng(0).standard_normal(shape) + 2
    _, power = radial_spectrum(frame, spacing)
    np.testing.assert_allclose(power.sum(axis=1), (frame**2).mean(axis=(1, 2, 3)), rtol=1e-13)


@pytest.mark.parametrize("wave", [(0, 0, 3), (0, 3, 0), (0, 3, 4), (0, -3, 4), (2, 1, 2), (0, 0, 8), (0, 0, 0)])
def test_a_wave_lies_in_its_bin(wave):
    depth, height, width = np.meshgrid(*[np.arange(16) / 16] * 3, indexing="ij")
    field = 3 * np.cos(2 * np.pi * (wave[0] * depth + wave[1] * height + wave[2] * width))
    wavenumbers, power = radial_spectrum(field[None], (2.0, 2.0, 2.0))
    wanted = np.zeros(power.shape[1])
    wanted[round(np.linalg.norm(wave))] = (field**2).mean()
    np.testing.assert_allclose(power[0], wanted, atol=1e-13)
    np.testing.assert_allclose(wavenumbers, np.arange(power.shape[1]) / 32)


def test_directions_count_alike_whatever_the_grid():
    """Two waves of one length, along axes of different extent and spacing, come out at the same wavenumber."""
    height, width = np.meshgrid(np.arange(20) * 0.5, np.arange(20) * 2.0, indexing="ij")  # 10 x 40 units of length
    found = []
    for along in (height, width):
        wavenumbers, power = radial_spectrum(np.sin(2 * np.pi * along / 5)[None, None], (1.0, 0.5, 2.0))
        found.append(wavenumbers[power[0].argmax()])
        assert power.max() == pytest.approx(0.5)
    assert found == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("axis", [2, 3])
def test_every_shell_meets_every_axis(axis):
    """Noise along one axis alone fills all bins up to its Nyquist wavenumber, along the short one as along the long."""
    noise = np.random.default_rng(1).standard_normal((1, 1, 12, 30)).mean(axis=5 - axis, keepdims=True)
    wavenumbers, power = radial_spectrum(np.broadcast_to(noise, (1, 1, 12, 30)))
    assert wavenumbers[1] == 1 / 12
    assert (power[0, wavenumbers <= 0.5] > 1e-6).all()


def test_a_channel_with_a_hole_has_no_spectrum():
    frame = np.ones((2, 1, 4, 4), np.float32)
    frame[1, 0, 2, 2] = np.nan
    _, power = radial_spectrum(frame)
    np.testing.assert_array_equal(power, [[1, 0, 0, 0], [np.nan] * 4])
    with pytest.raises(ValueError, match="three numbers above 0"):
        radial_spectrum(frame, (1.0, 0.0, 1.0))
