"""A span computed again: the same bits, from the carry index, without what lies before, and nothing else is touched."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster import LocalExecutor
from pipeline.storage import store
from pipeline.volume import InputError
from tests.synthetic import Silent
from tests.written import write_volume
from workflows.cli import app
from workflows.language.load import load
from workflows.run import RunRefused, run_span

CHUNK, FRAMES = 7, 130
SPAN, SHARDS = ("2000-02-20", "2000-03-01"), range(6, 9)  # for frames 49 to 60: forecast at 48 to 59


@pytest.fixture
def made(finished_run, tmp_path):
    """A copy of the finished run, its recipe, and its prediction."""
    home = finished_run["forecast"].parents[2]
    shutil.copytree(home / "runs", tmp_path / "runs")
    return load(home / "blobs.yaml"), tmp_path / "runs", tmp_path / "runs" / "blobs" / finished_run["forecast"].name


def again(made, span=SPAN, workers=2):
    workflow, runs, _ = made
    display = Silent()
    run_span(workflow, runs, LocalExecutor(workers), display, *span)
    return display.lines()


def bits(forecast: Path):
    return store.read_frames(forecast / "prediction.zarr", None, 0, FRAMES).tobytes()


def chunk(forecast: Path, number: int) -> Path:
    return forecast / "prediction.zarr" / "data" / "c" / str(number) / "0" / "0" / "0" / "0"


def carries(forecast: Path, index: int) -> list[Path]:
    """The files with the carries that enter a shard."""
    found = sorted((forecast / "carry" / "series").glob(f"point_*/c.{index}.*"))
    assert len(found) > 1
    return found


def files(folder: Path):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bits_and_no_frame_before_it_is_read(made, monkeypatch, workers):
    _, runs, forecast = made
    whole, before, reads, original = bits(forecast), files(runs), [], store.read_frames

    def read(path, group, start, stop, *rest, **more):
        reads.append((path.name, group, start, stop))
        return original(path, group, start, stop, *rest, **more)

    monkeypatch.setattr(store, "read_frames", read)
    lines = again(made, workers=workers)
    monkeypatch.undo()
    assert sorted(reads) == [("prepared.zarr", "b", 7 * k, 7 * k + 7) for k in SHARDS]
    assert lines[0] == "computing again frames 42 to 62 of 130 of series b; nothing before them is read"
    assert bits(forecast) == whole
    after = files(runs)
    written = {path for path in before if after[path][0] != before[path][0]} - {runs / "blobs" / ".lock"}
    manifests = {forecast / "prediction.zarr" / "data" / "manifest" / f"shard-{k}.json" for k in SHARDS}
    assert written == {chunk(forecast, k) for k in SHARDS} | manifests
    assert {path: content for path, (_, content) in after.items()} == {p: content for p, (_, content) in before.items()}


def test_frames_before_it_may_be_damaged(made):
    """They cannot have been read, by any way."""
    _, runs, forecast = made
    whole, (prepared,) = bits(forecast), (runs / "blobs").glob("prepared-*")
    series = prepared / "prepared.zarr" / "b" / "data"
    stored = json.loads((series / "zarr.json").read_text())["chunk_grid"]["configuration"]["chunk_shape"][0]
    if stored == FRAMES:  # one chunk: cut it, so that there is something before
        volume = store.open_volume(prepared / "prepared.zarr", "b", chunked=True).load()
        write_volume({"b": volume}, prepared / "prepared.zarr", {"b": CHUNK})
    for number in range(SHARDS[0]):
        (series / "c" / str(number) / "0" / "0" / "0" / "0").write_bytes(b"damaged")
    again(made)
    assert bits(forecast) == whole


@pytest.mark.parametrize("number", [0, 8, 18])
@pytest.mark.parametrize("damage", ["deleted", "torn", "wrong"])
def test_it_repairs_chunks(made, number, damage):
    _, _, forecast = made
    whole, path = bits(forecast), chunk(forecast, number)
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "torn" else chunk(forecast, 3).read_bytes())
    times = store.open_volume(forecast / "prediction.zarr").indexes["time"]
    day = times[7 * number].isoformat()[:10]
    again(made, (day, day))
    assert bits(forecast) == whole


def test_an_unfinished_run_with_the_carry_that_enters(made):
    _, _, forecast = made
    whole = bits(forecast)
    (forecast / "SUCCESS").unlink()
    for index in range(SHARDS[-1], 20):
        for path in carries(forecast, index):
            path.unlink()
    chunk(forecast, SHARDS[-1]).unlink()
    again(made)
    assert bits(forecast) == whole
    assert not (forecast / "SUCCESS").exists()
    with pytest.raises(
        InputError, match="the carry that enters shard 13 of series b, at frame 91, is not in .*carry; "
    ):
        again(made, ("2000-04-03", "2000-04-03"))
    with pytest.raises(InputError, match="enters shard 9: begin with --from 2000-03-05, or finish the run"):
        again(made, ("2000-04-03", "2000-04-03"))


def test_another_carry_is_not_written(made):
    _, _, forecast = made
    whole = bits(forecast)
    for path, other in zip(carries(forecast, 6), carries(forecast, 2), strict=True):
        shutil.copy(other, path)
    with pytest.raises(
        InputError, match="frames 42 to 48 of series b, computed again, end in another carry"
    ) as refused:
        again(made, workers=1)
    assert "run without --from and --to" in str(refused.value)
    assert bits(forecast) == whole


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (
            ("1980", "1990"),
            "no forecast is for 1980..1990; those of series b are for 2000-01-02 00:00:00 to 2000-05-11",
        ),
        (("2000-03-01", "2000-02-01"), "no forecast is for 2000-03-01..2000-02-01"),
        (("soon", "later"), "soon..later is no period: .*; give years or ISO dates"),
    ],
)
def test_spans_that_cannot_be(made, span, message):
    before = files(made[1])
    with pytest.raises(InputError, match=message):
        again(made, span)
    assert files(made[1]).keys() == before.keys()


def test_runs_that_were_never_made(made, finished_run, tmp_path):
    recipe = finished_run["forecast"].parents[2] / "blobs.yaml"
    with pytest.raises(RunRefused, match="none.blobs is not there: a span is computed again in a run that exists; run"):
        run_span(load(recipe), tmp_path / "none", LocalExecutor(), Silent(), *SPAN)
    assert not (tmp_path / "none").exists()
    with pytest.raises(RunRefused, match=r"forecast-\w+ is not there: stage forecast was not run as the recipe is now"):
        run_span(load(recipe, ["forecast.chunk=9"]), made[1], LocalExecutor(), Silent(), *SPAN)
    shutil.rmtree(made[2] / "prediction.zarr")
    with pytest.raises(InputError, match=r"prediction\.zarr is not there; run the recipe first"):
        again(made)


def test_the_command_takes_both_ends(made):
    workflow, runs, forecast = made
    recipe = str(Path(workflow.stages["raw_a"].settings.source).parent / "blobs.yaml")
    given = ["run", recipe, "--executor", "local", "--runs", str(runs), "--from", SPAN[0]]
    refused = CliRunner().invoke(app, given)
    assert (refused.exit_code, "--from and --to go together" in refused.output) == (2, True)
    chunk(forecast, SHARDS[1]).unlink()
    done = CliRunner().invoke(app, [*given, "--to", SPAN[1]])
    assert done.exit_code == 0, done.output
    assert "forecast: computing again frames 42 to 62 of 130 of series b" in done.output
    assert chunk(forecast, SHARDS[1]).exists()
