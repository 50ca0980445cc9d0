"""Rollouts: one shot, interrupted, or taken over from a shorter one, the same bits; and scores against plain sums."""

import dataclasses
import json
import random
from itertools import islice

import cftime
import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import rollout
from pipeline.baselines import ExponentialAverage
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth
from pipeline.rolling import Standing, roll
from pipeline.rollouts import approach
from pipeline.rollouts.by_lead import Referee, by_lead
from pipeline.rollouts.curves import lead_curves, lead_section
from pipeline.rollouts.job import Job
from pipeline.rollouts.kept import Kept
from pipeline.rollouts.record import Record
from pipeline.rollouts.settings import RolloutSettings
from pipeline.scores import difference_interval, mean_interval
from pipeline.scoring import Scorer
from pipeline.storage import store
from pipeline.volume import InputError
from tests.rolled import FRAMES, results, rolled, write_model, write_prepared

SCORED = RolloutSettings("b", 6, every=4, split="test", members=2, perturbation=0.3, keep=True, rate=0.3, chunk=4)
STARTS = [f"199{year}-{month:02}-01" for year, month in ((1, 12), (2, 4), (2, 8), (2, 12))]
LISTED = RolloutSettings("b", 7, start=("1992-05", "1993-01-01"), chunk=4, rate=0.3)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollout")
    prepared = write_prepared(folder)
    return {
        "prepared": prepared,
        "model": write_model(folder / "model-0", prepared, 1, checkpoints=1),
        "more": write_model(folder / "model-1", prepared, 2, checkpoints=1),
    }


@pytest.fixture(scope="module")
def one(inputs):
    """A single model."""
    return {role: inputs[role] for role in ("prepared", "model")}


@pytest.fixture(scope="module")
def scored(one, tmp_path_factory):
    output = tmp_path_factory.mktemp("scored") / "rollout-0"
    rolled(SCORED, one, output)
    return output


def direct(inputs, series, start, steps, model="model"):
    """Forecasts in the data's units: all frames at once through the model, then the loop, months counted by hand."""
    model = Checkpoint.load(inputs[model] / "checkpoint.zarr").best_model()
    truth = Truth(inputs["prepared"], series)
    frames = torch.from_numpy(truth.normal(0, start + 1))
    carries = model(frames[:-1])[1]
    normal = torch.stack([found for found, _ in islice(roll(model, Standing(frames[-1], carries)), steps)])
    phases = np.arange(start + 1, start + 1 + steps) % 12
    return truth.normalisation.to_units(normal.numpy(), phases)


def test_a_forecast_from_the_end_goes_on_as_the_calendar_does(one, tmp_path):
    told = rolled(RolloutSettings("b", 10, chunk=4), one, tmp_path)
    volume = store.open_volume(tmp_path / "rollout.zarr")
    expected = direct(one, "b", FRAMES["b"] - 1, 10)
    np.testing.assert_allclose(volume["data"], expected, atol=1e-3)
    assert np.abs(np.diff(expected, axis=0)).max() > 5  # the yearly cycle is in it
    assert volume["time"].values.tolist() == [
        cftime.DatetimeNoLeap(1993 + (4 + k) // 12, (4 + k) % 12 + 1, 1) for k in range(10)
    ]
    assert volume["data"].attrs["units"] == "K"
    assert (volume.attrs["series"], volume.attrs["member"]) == ("b", 0)
    assert [step.done for step in told] == [0, 4, 8, 10, 10]
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.slow
def test_starts_in_a_list_are_each_alone(one, tmp_path):
    both = dataclasses.replace(LISTED, series=("a", "b"), start=("1992-05-01", 1992))
    rolled(both, one, tmp_path / "all")
    whole = results(tmp_path / "all")
    lines = set()
    for series in both.series:
        for start, time in zip(both.start, ("1992-05-01", "1992-12-01"), strict=True):
            alone = dataclasses.replace(both, series=series, start=start)
            rolled(alone, one, tmp_path / f"{series}-{time}")
            found = results(tmp_path / f"{series}-{time}")
            assert found["None"] == whole[f"{series}.{time}"]
            lines |= found["record"]
    assert lines == whole["record"]


class Killed(BaseException):
    """What no stage can catch."""


def mortal(monkeypatch):
    """Lets a stage live for so many writes, of whatever kind, as are put into the list that is returned."""
    left = [0]

    def limited(original):
        def write(*arguments):
            if not left[0]:
                raise Killed
            left[0] -= 1
            original(*arguments)

        return write

    for owner, name in ((Record, "add"), (Kept, "write"), (Job, "write")):
        monkeypatch.setattr(owner, name, limited(getattr(owner, name)))
    return left


@pytest.mark.slow
def test_killed_between_any_two_writes_it_goes_on_to_the_same_bits(one, scored, tmp_path, monkeypatch):
    monkeypatch.setattr(approach, "PAUSE", 0.0)
    whole, left, draw = results(scored), mortal(monkeypatch), random.Random(1)
    for keep in (True, False):
        settings, folder, killed = dataclasses.replace(SCORED, keep=keep), tmp_path / str(keep), 0
        folder.mkdir()
        while not (folder / "scores.json").exists():
            left[0] = draw.randint(5, 11)
            try:
                list(rollout.rollout(settings, one, folder))
            except Killed:
                killed += 1
        assert killed > 2
        found = results(folder)
        assert found == (whole if keep else {name: whole[name] for name in found})
        standing = sorted(path.name for path in folder.glob("standing/*"))  # where the forecasts of each start end
        assert standing == ([f"b.{time}.zarr" for time in STARTS] if keep else [])


def test_the_pass_goes_on_from_its_note(one, tmp_path, monkeypatch):
    monkeypatch.setattr(approach, "PAUSE", 0.0)
    settings = dataclasses.replace(LISTED, start=("1991-01-01", "1993-02-01"))
    steps = rollout.rollout(settings, one, tmp_path)
    assert [next(steps).done for _ in range(4)] == [0, 4, 7, 11]  # the first chunk of the second start
    steps.close()
    read, original = [], Truth.normal
    (tmp_path / "standing" / "b.1993-02-01.zarr" / "zarr.json").unlink()
    monkeypatch.setattr(Truth, "normal", lambda self, *span: read.append(span) or original(self, *span))
    list(rollout.rollout(settings, one, tmp_path))
    assert read[0] == (36, 38)  # not a frame before the chunk in which it starts, but what rate and scores want
    rolled(settings, one, tmp_path / "alone")
    assert results(tmp_path) == results(tmp_path / "alone")


def test_a_longer_horizon_takes_over_the_shorter_one(one, tmp_path):
    run = tmp_path / "run"
    rolled(LISTED, one, run / "rollout-short")
    before = results(run / "rollout-short")
    longer = dataclasses.replace(LISTED, horizon=11)
    told = rolled(longer, one, run / "rollout-long")
    assert told[0].done == 2 * 7
    assert told[0].line == "the first 7 of 11 frames from each start are those of rollout-short"
    rolled(longer, one, tmp_path / "alone" / "rollout-long")
    assert results(run / "rollout-long") == results(tmp_path / "alone" / "rollout-long")
    assert results(run / "rollout-short") == before
    chunk = "rollout.zarr/1992-05-01/data/c/0/0/0/0/0"
    assert (run / "rollout-long" / chunk).samefile(run / "rollout-short" / chunk)
    for other in ({"rate": 0.4}, {"chunk": 5}, {"horizon": 5}):
        folder = run / f"rollout-{next(iter(other))}"
        folder.mkdir()
        assert next(rollout.rollout(dataclasses.replace(longer, **other), one, folder)).done == 0


def plain(scored, inputs):
    """Of each start and lead what is scored: members, truth, and what baselines say; float64, one after the other."""
    truth, volume = Truth(inputs["prepared"], "b"), store.open_volume(inputs["prepared"] / "prepared.zarr", "b")
    frames, times = truth.frames(0, FRAMES["b"]), volume["time"].values
    for start in range(23, 37, 4):
        last, average = np.full(frames.shape[1:], np.nan), ExponentialAverage(0.3)
        for frame in frames[: start + 1]:
            last = np.where(np.isnan(frame), last, frame)
            average.update(frame)
        group = f"{str(times[start])[:10]}.member-"
        members = np.stack([store.read_frames(scored / "rollout.zarr", f"{group}{m}", 0, 6) for m in range(2)])
        for lead in range(1, 7):
            if start + lead < 38:
                month = truth.normalisation.cycle[(start + lead) % 12]
                said = {"persistence": last, "exponential_average": average.forecast(), "climatology": month}
                yield start, lead, members[:, lead - 1].astype(float), frames[start + lead], said


def test_scores_are_plain_means(one, scored):
    table = pd.read_csv(scored / "scores_by_lead.csv").set_index(["lead", "forecast"])
    told = json.loads((scored / "scores.json").read_text())
    assert (told["units"], told["members"], told["exponential_average.rate"]) == ("K", 2, 0.3)
    found: dict[tuple, list] = {}
    ensemble: dict[int, list] = {}
    for _, lead, members, frame, said in plain(scored, one):
        valued = ~np.isnan(frame)
        for name, forecast in {"model": members.mean(axis=0), **said}.items():
            error = (forecast - frame)[valued]
            found.setdefault((lead, name), []).append((np.mean(error**2), np.mean(np.abs(error))))
        x, y = members[:, valued], frame[valued]
        pairs = np.mean([np.abs(a - b) for a in x for b in x], axis=0)
        ensemble.setdefault(lead, []).append(
            (np.mean(np.abs(x - y).mean(axis=0) - pairs / 2), np.var(x, axis=0, ddof=1).mean())
        )
    counts = {lead: len(own) for (lead, name), own in found.items() if name == "model"}
    assert counts == {1: 4, 2: 4, 3: 3, 4: 3, 5: 3, 6: 3}
    assert set(table.index.get_level_values("forecast")) == {name for _, name in found} | {"training_mean"}
    for (lead, name), errors in found.items():
        row = table.loc[(lead, name)]
        assert row["starts"] == len(errors)
        np.testing.assert_allclose(row[["mse", "mae"]].astype(float), np.mean(errors, axis=0), rtol=1e-5)
        series, model = (np.array(own)[:, 0] for own in (errors, found[lead, "model"]))
        interval = mean_interval(series)
        np.testing.assert_allclose([row["mse_low"], row["mse_high"]], [interval.low, interval.high], rtol=1e-4)
        if name != "model":
            interval = difference_interval(model, series)
            expected = [1 - model.mean() / series.mean(), model.mean() - series.mean(), interval.low, interval.high]
            columns = ["model_skill", "difference", "difference_low", "difference_high"]
            np.testing.assert_allclose(row[columns].astype(float), expected, rtol=1e-3)
    for lead, own in ensemble.items():
        row, (crps, variance) = table.loc[(lead, "model")], np.mean(own, axis=0)
        spread = np.sqrt(variance)
        expected = [crps, spread, row["rmse"], np.sqrt(3 / 2) * spread / row["rmse"]]
        np.testing.assert_allclose(
            row[["crps", "spread", "skill", "spread_skill_ratio"]].astype(float), expected, rtol=1e-4
        )
    assert told["leads"]["1"]["parts"]["channel v"]["model"]["crps"] > 0


def test_the_record_merges_in_any_order_and_a_torn_line_is_cut_off(scored, tmp_path):
    lines = (scored / "scores.jsonl").read_bytes().splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"".join(lines) + lines[0] + lines[3][:-40])
    record = Record(path)
    assert len(record) == len(lines)
    leads, table = by_lead(record, ["b"], 0.95, 2)
    assert leads == json.loads((scored / "scores.json").read_text())["leads"]
    assert table.to_csv(index=False) == (scored / "scores_by_lead.csv").read_text()
    key = record.keys()[0]
    record.add(key, record.read(key))
    assert path.read_bytes().count(b"\n") == len(lines) + 2
    assert len(Record(path)) == len(lines)


def test_members_are_keyed_by_start_and_number(inputs, one, scored, tmp_path):
    alone = dataclasses.replace(SCORED, every=None, split=None, start=("1992-08-01",), members=3, horizon=3)
    rolled(alone, one, tmp_path / "three")
    found = [store.read_frames(tmp_path / "three" / "rollout.zarr", f"1992-08-01.member-{m}", 0, 3) for m in (0, 1)]
    among = [store.read_frames(scored / "rollout.zarr", f"1992-08-01.member-{m}", 0, 3) for m in (0, 1)]
    assert [f.tobytes() for f in found] == [a.tobytes() for a in among]
    assert (np.abs(found[0] - found[1]).mean(axis=(1, 2, 3, 4)) > 0.01).all()

    models = dataclasses.replace(alone, members=1, perturbation=0.0, checkpoints=1, start="1992-08-01")
    rolled(models, inputs, tmp_path / "models")
    groups = {m: store.read_frames(tmp_path / "models" / "rollout.zarr", f"member-{m}", 0, 3) for m in range(4)}
    np.testing.assert_allclose(groups[0], direct(inputs, "b", 31, 3), atol=1e-3)
    np.testing.assert_allclose(groups[2], direct(inputs, "b", 31, 3, "more"), atol=1e-3)
    assert len({frames.tobytes() for frames in groups.values()}) == 4


WRONG = [
    ({"horizon": 0}, "horizon is 0; give at least 1"),
    ({"start": 1992, "every": 2}, "every is 2 and start 1992; give one of them"),
    ({"every": 2}, "every is 2, and of which frames is not said; give split, or first and last"),
    ({"split": "test", "first": 1990}, r"split is 'test' and the period 1990\.\.; give one of them"),
    ({"split": "tset"}, "split is 'tset'; give one of train, validation, test"),
    ({"members": 8}, "members is 8 and perturbation 0.0: all would be alike; give a perturbation"),
    (
        {"perturbation": 0.1},
        "members is 1 and perturbation 0.1: one disturbed forecast is no ensemble; set members to 2",
    ),
    ({"start": (1992, 1992)}, r"start is \[1992, 1992\]; give at least one, and each once"),
    ({"rate": 1.0}, "rate is 1.0; give a number between 0 and 1"),
    ({"series": "c"}, "series 'c' was not prepared; the prepared series are a, b"),
    ({"start": 1994}, "start is 1994, and series 'b' has no frame then; it runs 1990-01-01..1993-04-01"),
    ({"start": ("1992", "1992-12")}, "two of these mean one frame of series 'b'; give one"),
    ({"split": "validation", "every": 1}, "no frame of series 'b' is in the validation split, which is of a; choose"),
    (
        {"keep": False},
        "keep is false, and none of the 3 forecasts from 1993-04-01 of series 'b' is for a frame that is",
    ),
    ({"checkpoints": 3}, "checkpoints is 3, and model-0 has 1; set keep of that train stage to at least 3, or"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_what_does_not_fit_is_refused(one, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        list(rollout.rollout(RolloutSettings(**{"series": "b", "horizon": 3, **change}), one, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_model_of_other_statistics_and_one_that_does_not_stay_finite(one, tmp_path):
    made = Checkpoint.load(one["model"] / "checkpoint.zarr")
    other = made.statistics | {"scale": made.statistics["scale"] * 2}
    dataclasses.replace(made, statistics=other).save(tmp_path / "other" / "checkpoint.zarr")
    with pytest.raises(InputError, match="other learned from series whose scale of the training frames is another"):
        list(rollout.rollout(RolloutSettings("b", 3), one | {"model": tmp_path / "other"}, tmp_path))
    loud = made.best | {"decoder.weight": made.best["decoder.weight"] * np.float32(1e6)}
    dataclasses.replace(made, best=loud).save(tmp_path / "loud" / "checkpoint.zarr")
    with pytest.raises(InputError, match=r"is no number any more \d+ frames ahead: .* Set horizon to at most \d+"):
        list(rollout.rollout(RolloutSettings("b", 300), one | {"model": tmp_path / "loud"}, tmp_path))


def test_the_report_s_curves_show_every_row(scored):
    table = pd.read_csv(scored / "scores_by_lead.csv")
    errors, differences, spread = lead_curves(table, "K", {}).axes
    drawn = {line.get_label(): line.get_xydata() for line in errors.lines}
    assert set(drawn) == {"model", "persistence", "climatology", "exponential average"}
    own = table[table["forecast"] == "climatology"]
    np.testing.assert_array_equal(drawn["climatology"], own[["lead", "mse"]])
    assert len(errors.collections) == 4
    assert len(differences.lines) == 4  # three baselines, and zero
    assert [len(line.get_xdata()) for line in spread.lines] == [6, 6]
    section = lead_section(scored, {})
    assert (section["members"], section["most"], section["least"], section["last"]) == (2, 4, 3, 6)
    assert lead_section(None, {}) is None


def test_the_order_in_which_a_store_gives_baselines_is_not_in_the_record(one, tmp_path):
    """Zarr lists arrays as the disk answers; two orders of the same must give one line."""
    truth = Truth(one["prepared"], "b")
    referee = Referee(truth, Scorer(truth, SCORED.score), None, 4)
    said = {"persistence": truth.frames(29, 30)[0], "exponential_average": truth.frames(28, 29)[0]}
    members = np.nan_to_num(truth.frames(28, 30), nan=280.0)
    both = [referee.scores(30, members, baselines) for baselines in (said, dict(reversed(said.items())))]
    for number, scores in enumerate(both):
        Record(tmp_path / f"{number}.jsonl").add(("b", 29, 1), scores)
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()
