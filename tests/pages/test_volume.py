"""What the page shows, without the page: parts of stores, their times, what goes together, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as some

from pipeline.dataset import Truth
from pipeline.phases import PHASE as PHASE_OF_YEAR
from pipeline.storage import store
from pipeline.storage.arrays import open_array, write_arrays
from pipeline.storage.blocks import Blocks
from pipeline.storage.glimpse import Glimpse, Recent
from pipeline.volume import AXES, DATA, InputError
from tests.export.stores import volume, written
from tests.synthetic import write_untrained
from workflows.pages.view.choose import choose
from workflows.pages.view.curves import AT_ONCE, Wish, curves, spans
from workflows.pages.view.levels import levels
from workflows.pages.view.times import Clock, Timeline
from workflows.pages.view.together import Item, Together
from workflows.pages.view.volume import PHASE, Volume


def together(*paths, series="", recent=None):
    recent = recent or Recent()
    return Together([Volume(chosen, recent) for chosen in choose(paths, series)])


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A store in small chunks and shards, and what it holds."""
    path = tmp_path_factory.mktemp("cut") / "a.zarr"
    like = volume(shape=(7, 2, 3, 5, 4))
    store.create_volumes({None: like}, path, {None: Blocks((2, 1, 2, 2, 3), (4, 2, 4, 6, 6))})
    open_array(path, DATA)[...] = like[DATA].values
    return path, like[DATA].values


@given(some.data())
def test_any_part_is_what_is_stored(cut, data):
    path, values = cut
    parts = Glimpse(path, Recent(most=500)).parts(DATA)
    box = []
    for size in values.shape:
        start = data.draw(some.integers(0, size - 1))
        box.append(slice(start, data.draw(some.integers(start + 1, size)), data.draw(some.integers(1, size))))
    assert np.array_equal(parts.read(tuple(box)), values[tuple(box)])


def test_what_is_kept_is_bounded_and_what_strides_pass_over_is_not_read(cut):
    path, values = cut
    recent = Recent(most=300)  # a chunk has 48 bytes
    parts = Glimpse(path, recent).parts(DATA)
    for frame in range(len(values)):
        parts.read((slice(frame, frame + 1), *[slice(None)] * 4))
        assert recent.nbytes <= 300
    recent = Recent()
    assert Glimpse(path, recent).parts(DATA).read((slice(0, 7, 6), *[slice(0, 1)] * 4)).shape == (2, 1, 1, 1, 1)
    assert recent.nbytes == 48 + 24  # the last chunk is cut off at the end


def test_a_store_of_100_gb_opens_by_a_few_chunks(tmp_path):
    path, frames = tmp_path / "large.zarr", 25_000
    like = xr.Dataset({DATA: (AXES, np.zeros((1, 1, 1, 1024, 1024), np.float32), {"units": "K"})})
    store.create_volumes({None: like}, path, {None: Blocks((1, 1, 1, 1024, 1024), (1, 1, 1, 1024, 1024))})
    shutil.rmtree(path / DATA / "manifest", ignore_errors=True)  # else what was never written is an error
    described = json.loads((path / DATA / "zarr.json").read_text())
    described["shape"][0] = frames
    (path / DATA / "zarr.json").write_text(json.dumps(described))
    recent = Recent()
    shown = together(path, recent=recent)
    assert shown.volumes[0].nbytes > 100e9
    assert np.isnan(shown.value(Item(0), 12_345, shown.channels[0], (0, 7, 7)))
    window = ((0.0, 1023.0), (0.0, 1023.0))
    picture = shown.picture(Item(0), 12_345, shown.channels[0], shown.planes[0], (0, 7, 7), window, (512, 512))
    assert picture.values.shape == (512, 512)
    assert recent.nbytes == 4 << 20
    ((start, stop),) = spans(shown, 12_345)
    assert stop - start == AT_ONCE // (4 << 20)
    assert start <= 12_345 < stop
    for _ in curves(shown, Wish(shown.channels[0], (0, 7, 7), ((start, stop),))):
        assert recent.nbytes <= recent.most


def test_numbers_through_time_come_bit_by_bit(cut):
    path, values = cut
    shown = together(path)
    found = [one.values for (one,) in curves(shown, Wish("channel 1", (2, 3, 1), ((1, 6),)), every=-1)]
    assert [len(one) for one in found] == [1, 3, 5, 5]
    assert np.array_equal(found[-1], values[1:6, 1, 2, 3, 1])
    assert spans(shown, 0, most=1) == ((0, 2),)
    assert spans(shown, 3, most=2 * 48) == ((0, 4),)
    assert spans(shown, 6, most=1) == ((6, 7),)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run: data, a prepared store of two series, a model."""
    return write_untrained(tmp_path_factory.mktemp("run"))


def test_a_prepared_series_is_shown_in_the_units_of_its_source(run, tmp_path):
    truth = Truth(run / "prepared-0", "b")
    shown = together(run / "prepared-0", series="b")
    (one,) = shown.volumes
    assert (one.unit, one.restored, one.label) == ("K", True, "prepared · b")
    box = (slice(0, 1), slice(1, 9, 2), slice(2, 12, 3))
    assert np.array_equal(one.read(slice(3, 20, 4), 0, box), truth.frames(3, 20)[::4, 0, :, 1:9:2, 2:12:3])
    assert one.value(5, 0, (0, 4, 4)) == truth.frames(5, 6)[0, 0, 0, 4, 4]
    shutil.copytree(run / "prepared-0" / "prepared.zarr", tmp_path / "prepared.zarr")
    (bare,) = together(tmp_path, series="b").volumes
    assert (bare.unit, bare.restored) == ("normalised", False)
    assert np.array_equal(bare.read(slice(0, 2), 0, box), truth.normal(0, 2)[:, 0, :, 1:9:2, 2:12:3])
    assert PHASE == PHASE_OF_YEAR


def test_masks_and_anomalies_are_taken_back(tmp_path):
    rng, frames = np.random.default_rng(0), 6
    normal = np.float32(rng.standard_normal((frames, 4, 1, 3, 4)))
    normal[:, 2:] = rng.random((frames, 2, 1, 3, 4)) > 0.5
    like = volume(shape=normal.shape, dtype=np.float32).assign_attrs(masks=2)
    like[DATA] = (AXES, normal, {"units": "1", "normalised_from": "m"})
    phases = np.arange(frames) % 2
    like = like.assign_coords({PHASE: ("time", phases)})
    path = written(tmp_path / "prepared.zarr", a=like)
    statistics = {
        "mean": np.zeros((2, 1, 1, 1)), "scale": rng.random((2, 1, 3, 4)) + 1, "climatology": np.zeros((2, 1, 3, 4)),
        "count": np.ones((2, 1, 3, 4), np.int64), "cycle": rng.random((2, 2, 1, 3, 4)),
    }  # fmt: skip
    statistics["count"][1, 0, 2, 3] = 0
    write_arrays(tmp_path / "statistics.zarr", statistics, {})
    expected = normal[:, :2].astype(float) * statistics["scale"] + statistics["mean"] + statistics["cycle"][phases]
    expected[:, statistics["count"] == 0] = np.nan
    expected[normal[:, 2:] == 0] = np.nan
    (shown,) = together(path).volumes
    assert shown.channels == ["channel 0", "channel 1"]
    box = (slice(0, 1), slice(0, 3), slice(1, 4, 2))
    for channel in (0, 1):
        found = shown.read(slice(1, 6, 2), channel, box)
        assert np.array_equal(found, expected[1:6:2, channel, :, :, 1:4:2], equal_nan=True)


def dates(calendar, first, frames, unit="days", since="2000-01-01"):
    return Clock(np.arange(first, first + frames, dtype=float), f"{unit} since {since}", calendar)


def test_times_of_several_are_one_line():
    one, other = dates("360_day", 57, 5), dates("360_day", 24 * 29, 72, "hours", "2000-02-01")
    line = Timeline([one, other], ["one", "other"])
    assert len(line) == 5 - 3 + 72
    assert line.shared == 3
    assert [line.words(int(number)) for number in line.times_of(0)] == [
        "2000-02-28 00:00", "2000-02-29 00:00", "2000-02-30 00:00", "2000-03-01 00:00", "2000-03-02 00:00",
    ]  # fmt: skip
    assert line.words(3) == "2000-02-30 01:00"
    for frames in line.frames:
        assert np.array_equal(frames[frames >= 0], np.arange((frames >= 0).sum()))
    along = line.positions(np.arange(len(line)))
    assert (np.diff(along) > 0).all()
    first_of_march = int(line.times_of(0)[3])
    assert along[first_of_march] == np.datetime64("2000-03-01", "ms").astype(np.int64)


def test_times_in_words():
    assert Timeline([dates("julian", 0, 3)], ["a"]).words(2) == "2000-01-03"
    assert Timeline([dates("standard", 0, 3, "seconds")], ["a"]).words(2) == "2000-01-01 00:00:02"
    assert Timeline([Clock(np.arange(3) * 2.5, "s", "")], ["a"]).words(1) == "2.5 s"
    assert Timeline([Clock.of(None, {}, 3)], ["a"]).words(2) == "frame 2"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (dates("noleap", 0, 3), "dates of the calendar 360_day, those of b are dates of the calendar noleap"),
        (Clock(np.arange(3.0), "s", ""), "those of b are in s"),
        (Clock(np.array([0.0, 2.0, 2.0]), "days since 2000-01-01", "360_day"), "do not increase at frame 2"),
    ],
)
def test_times_that_cannot_be_set_beside_each_other(other, message):
    with pytest.raises(InputError, match=message):
        Timeline([dates("360_day", 0, 3), other], ["a", "b"])


def test_places_and_sizes_that_differ_are_told(tmp_path):
    a = written(tmp_path / "a.zarr", alone=volume())
    b = written(tmp_path / "b.zarr", alone=volume(shape=(6, 1, 2, 5, 3)))
    with pytest.raises(InputError, match=r"a.zarr are \(2, 5, 4\) \(depth, height, width\), .*b.zarr are \(2, 5, 3\)"):
        together(a, b)
    moved = volume().assign_coords(y=("height", 2.0 * np.arange(5), {"units": "mm"}))
    c = written(tmp_path / "c.zarr", alone=moved)
    with pytest.raises(InputError, match="other grids: place 1 is y -2 mm and y 2 mm"):
        together(a, c)


def test_channels_are_matched_by_name_and_units_must_agree(tmp_path):
    warm = volume(shape=(6, 2, 1, 5, 4), channels=["warm", "wet"])
    wet = volume(shape=(6, 2, 1, 5, 4), channels=["wet", "dry"], seed=1)
    wet[DATA].attrs["units"] = "mm"
    shown = together(written(tmp_path / "a.zarr", alone=warm), written(tmp_path / "b.zarr", alone=wet))
    assert shown.channels == ["warm", "wet", "dry"]
    assert shown.empty(Item(1), 0, "warm") == "no channel warm"
    assert shown.empty(Item(1, 0), 0, "dry") == "a: no channel dry"
    assert shown.empty(Item(1, 0), 0, "wet") == "units differ: mm and none"
    assert shown.value(Item(1), 2, "wet", (0, 1, 1)) == wet[DATA].values[2, 0, 0, 1, 1]


def test_the_range_of_colours():
    values = np.append(np.linspace(0, 10, 10_001), [1e9, np.nan, np.inf])
    assert levels(values) == pytest.approx((0.0, 10.0), abs=0.1)
    assert levels(np.array([3.0, 5.0])) == (3.0, 5.0)
    assert levels(np.array([2, 2])) == (2.0, 2.0)
    assert levels(np.full(3, np.nan)) is None


def test_stores_are_found_in_folders_of_stages_and_runs(run):
    with pytest.raises(InputError, match=r"no series is named; name one of a, b \(--series\)"):
        choose([run])
    assert [one.label for one in choose([run], "a")] == ["prepared · a"]
    assert [one.label for one in choose([run / "raw-0"])] == ["raw"]
    assert [one.label for one in choose([run / "raw-0", run / "prepared-0"], "b")] == ["raw", "prepared · b"]
    assert [one.label for one in choose([run / "raw-0", run / "raw-0"])] == ["raw 1", "raw 2"]
    forecast = run / "forecast-0"
    shutil.copytree(run / "raw-0" / "raw.zarr", forecast / "prediction.zarr")
    assert [one.label for one in choose([run])] == ["prediction"]
    manifest = {"inputs": {"prepared": "prepared-0"}, "settings": {"series": "b"}}
    (forecast / "manifest.json").write_text(json.dumps(manifest))
    assert [one.label for one in choose([run])] == ["prepared · b", "prediction"]
    shutil.copytree(forecast, run / "forecast-1")
    with pytest.raises(InputError, match="has 2 stores prediction.zarr; give one of"):
        choose([run])
    assert [one.label for one in choose([forecast, run / "forecast-1"])] == [
        "forecast-0/prediction", "forecast-1/prediction",
    ]  # fmt: skip
    for executed in ("forecast-1", "forecast-0"):
        with (run / "events.jsonl").open("a") as log:
            log.write(json.dumps({"event": "began", "stages": [{"folder": executed}, {"folder": "raw-0"}]}) + "\n")
        assert [one.store.parent.name for one in choose([run])] == ["prepared-0", executed]


def test_what_is_no_volume_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no file or folder .*nowhere"):
        choose([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"neither it nor a folder in it has a raw.zarr"):
        choose([tmp_path])
    other = tmp_path / "other.zarr"
    xr.Dataset({"t": ("x", np.zeros(3))}).to_zarr(other, zarr_format=3, consolidated=False)
    with pytest.raises(InputError, match="holds no array 'data' with the axes time"):
        choose([other])
    with pytest.raises(InputError, match=r"no series 'z': .*a.zarr is one volume, without a name"):
        choose([written(tmp_path / "a.zarr", alone=volume())], "z")
    damaged = written(tmp_path / "d.zarr", alone=volume())
    next((damaged / DATA).glob("c/*/*/*/*/*")).write_bytes(b"x")
    with pytest.raises(InputError, match="damaged"):
        together(damaged).value(Item(0), 0, "channel 0", (0, 0, 0))
