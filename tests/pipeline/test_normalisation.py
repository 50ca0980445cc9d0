"""Normalisation: there and back, each choice of mean and scale, anomalies by phase of the year, voxels never met."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from pipeline.moments import moments_of
from pipeline.normalisation import Normalisation
from pipeline.phases import Phases
from pipeline.volume import InputError

SHAPE = (2, 1, 3, 4)
DRAW = np.random.default_rng(3)
DATES = xr.date_range("2000-01-16", periods=36, freq="MS", calendar="noleap", use_cftime=True)
FRAMES = (100 * DRAW.standard_normal(SHAPE) + DRAW.standard_normal((36, *SHAPE))).astype(np.float32)


def measured(frames=FRAMES, *, mean="voxel", scale="channel", phases=None):
    groups, count = (None, 1) if phases is None else (phases.of(DATES), len(phases.names))
    found = moments_of(dask.array.from_array(frames, chunks=(5, -1, -1, -1, -1)), groups, count)
    return Normalisation.measured(found, mean=mean, scale=scale, anomalies=phases is not None)


@pytest.mark.parametrize("scale", ["voxel", "channel", "none"])
@pytest.mark.parametrize("mean", ["voxel", "channel", "none"])
def test_mean_and_scale(mean, scale):
    found = measured(mean=mean, scale=scale)
    values = FRAMES.astype(np.float64)
    axes = {"voxel": (0,), "channel": (0, 2, 3, 4)}
    offset = np.mean(values, axis=axes[mean], keepdims=True) if mean != "none" else 0.0
    left = values - offset
    divisor = np.sqrt(np.mean(left**2, axis=axes[scale], keepdims=True)) if scale != "none" else 1.0
    normal = found.to_normal(FRAMES)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal, left / divisor, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.to_units(normal), values, atol=1e-4)
    assert Normalisation.of(found.arrays()).to_normal(FRAMES).tobytes() == normal.tobytes()


@pytest.mark.parametrize(("kind", "phases"), [("month", 12), ("season", 4), ("day", 12)])
def test_anomalies_are_from_the_mean_of_their_phase(kind, phases):
    known = Phases.found(kind, [DATES])
    assert len(known.names) == phases
    found, own = measured(phases=known, scale="channel"), known.of(DATES)
    values = FRAMES.astype(np.float64)
    cycle = np.stack([values[own == phase].mean(0) for phase in range(phases)])
    left = values - cycle[own]
    np.testing.assert_allclose(found.cycle, cycle, rtol=1e-12)
    scale = np.sqrt((left**2).mean(axis=(0, 2, 3, 4), keepdims=True))
    normal = found.to_normal(FRAMES, own)
    np.testing.assert_allclose(normal, left / scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.to_units(normal, own), values, atol=1e-4)
    np.testing.assert_array_equal(found.expected(2), found.cycle[2])
    np.testing.assert_allclose(found.climatology, values.mean(0), rtol=1e-12)


def test_names_and_order_of_phases():
    assert Phases.found("month", [DATES[4:7], DATES[:1]]).names == ("February", "June", "July", "August")
    assert Phases.found("season", [DATES[:3], DATES[8:10]]).names == ("DJF", "MAM", "SON")
    assert Phases.found("season", [DATES[:12]]).of(DATES[:5]).tolist() == [0, 1, 1, 1, 2]  # February begins it


@pytest.mark.parametrize(
    ("calendar", "phases", "last"),
    [("standard", 365, "28 February"), ("noleap", 365, "1 March"), ("360_day", 360, "30 February")],
)
def test_days_of_calendars(calendar, phases, last):
    year = xr.date_range("2004-01-01", "2004-12-30", calendar=calendar, use_cftime=True)
    known = Phases.found("day", [year, xr.date_range("2005-12-30", "2006-01-01", calendar=calendar, use_cftime=True)])
    assert len(known.names) == phases
    assert known.names[known.of(year)[59]] == last  # the sixtieth day


def test_a_phase_without_a_training_frame_is_named():
    known = Phases.found("month", [DATES[:6]])
    with pytest.raises(InputError, match="a frame is for 2000-08-01, and no training frame lies in the month August"):
        known.of(DATES[:9])
    with pytest.raises(InputError, match="anomalies by month of a series without dates"):
        Phases.found("month", [np.array([0.0, 2.5])])


def test_voxels_that_hardly_vary_have_the_scale_of_their_channel():
    frames = FRAMES.copy()
    frames[:, 0, 0, 0, 0] = 7
    frames[:, 0, 0, 0, 1] = 7 + 1e-5 * FRAMES[:, 0, 0, 0, 1]
    found, channel = measured(frames, scale="voxel"), measured(frames, scale="channel")
    assert (found.scale[0, 0, 0, :2] == channel.scale[0]).all()
    assert found.scale[0, 0, 0, 2] == pytest.approx(FRAMES[:, 0, 0, 0, 2].astype(float).std(), rel=1e-6)


def test_missing_values_count_for_nothing_and_unmet_voxels_stay_missing():
    frames = FRAMES.copy()
    frames[::2, 0] = np.nan
    frames[:, 1, 0, 1, 1] = np.nan
    for mean in ("voxel", "channel", "none"):
        found = measured(frames, mean=mean, scale="voxel")
        assert found.count[0, 0, 0, 0] == 18
        normal = found.to_normal(FRAMES)  # a value where training had none
        assert np.isnan(normal[:, 1, 0, 1, 1]).all()
        assert np.isnan(normal).sum() == 36
        back = found.to_units(np.zeros_like(normal))
        assert np.isnan(back[:, 1, 0, 1, 1]).all()
        assert np.isnan(back).sum() == 36
    np.testing.assert_allclose(measured(frames).climatology[0], FRAMES[1::2, 0].astype(float).mean(0), rtol=1e-12)


def test_what_cannot_be_normalised():
    frames = FRAMES.copy()
    frames[:, 1] = np.nan
    with pytest.raises(InputError, match="no value in some channel"):
        measured(frames)
    frames[:, 1] = FRAMES[0, 1]
    with pytest.raises(InputError, match="do not vary in some channel"):
        measured(frames)
