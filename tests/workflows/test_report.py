"""The report of a run: of one that ended well, that failed, that has no pages of its own; and the workflow drawn."""

import json
import re
from dataclasses import replace
from itertools import combinations
from shutil import copytree, ignore_patterns

import numpy as np
import pytest

from cluster import LocalExecutor
from pipeline.moving import FRAMES, in_a_row
from pipeline.section import SECTION, body_of
from pipeline.volume import InputError
from tests.synthetic import Silent, up_to, write_recipe
from workflows.language.load import load
from workflows.plan import RECIPE, REPORT, plan
from workflows.report import page as report_page
from workflows.report.graph import GAP, HEIGHT, drawn
from workflows.report.page import write_report
from workflows.run import run


def shown(page):
    """A page without its pictures."""
    return re.sub(r'src="data:[^"]*"', "", page)


def test_a_finished_run_is_told_whole(finished_run):
    folder = finished_run["report"].parent
    page = (folder / REPORT).read_text()
    assert len(page) < 10e6
    assert "://" not in shown(page)
    assert "7 of 7 stages are done" in page
    assert page.count("data:image/png;base64,") == 4
    assert page.count("data:image/webp;base64,") == 1
    scores = json.loads((finished_run["scores"] / "scores.json").read_text())
    assert f"{scores['model.mse']:.4f}" in page
    for stage in finished_run.values():
        assert stage.name in page
    assert f"chronovox run {folder / RECIPE} --runs again" in page
    again = load(folder / RECIPE)
    assert {one.folder.name for one in plan(again, folder)} == {one.name for one in finished_run.values()}


def test_a_run_that_fails_says_why_and_what_was_not_done(tmp_path):
    recipe = write_recipe(tmp_path, steps=2)
    (tmp_path / "b.nc").write_bytes(b"broken")
    with pytest.raises(InputError):
        run(load(recipe), tmp_path / "runs", LocalExecutor(), Silent())
    page = (tmp_path / "runs" / "blobs" / REPORT).read_text()
    assert re.search(r"Failed .* 1 of 7 stages are done", page)
    assert "InputError: " in page
    assert "b&#39;broken&#39;" in page
    assert re.findall(r"<title>(\w+): ([\w ]+)</title>", page) == [
        ("raw_a", "done"),
        ("raw_b", "stopped"),
        *((name, "not begun") for name in ("prepared", "model", "forecast", "scores", "report")),
    ]


def test_without_a_page_of_a_stage_the_scores_are_told(finished_run, tmp_path):
    folder, own = tmp_path / "blobs", finished_run["report"]
    copytree(own.parent, folder, ignore=ignore_patterns("report*", "*.jsonl"))
    recipe = own.parents[2] / "blobs.yaml"
    run(up_to("scores", recipe), tmp_path, LocalExecutor(), Silent())
    page = (folder / REPORT).read_text()
    assert "Scores of scores" in page
    assert "MSE (K²)" in page
    scores = json.loads((finished_run["scores"] / "scores.json").read_text())
    assert f"{scores['persistence.mse']:.4f}" in page
    assert "6 of 6 stages are done" in page
    assert page.count("finished before</title>") == 6


def test_pages_that_there_is_no_room_for_are_named(finished_run, monkeypatch, tmp_path):
    folder, own = tmp_path / "blobs", finished_run["report"]
    copytree(own.parent, folder, ignore=ignore_patterns(REPORT, "*.zarr"))
    size = (own / SECTION).stat().st_size
    monkeypatch.setattr(report_page, "LARGEST", size - 1)
    page = write_report(folder).read_text()
    assert f'<a href="{own.name}/{SECTION}">' in page
    assert "data:image" not in page
    monkeypatch.setattr(report_page, "LARGEST", size)
    page = write_report(folder).read_text()
    assert "<a href" not in page
    assert body_of((own / SECTION).read_text()) in page


def test_what_never_began_has_no_report(tmp_path):
    assert write_report(tmp_path) is None
    (tmp_path / "events.jsonl").write_text('{"event": "progress", "stage": "model"}\n')
    assert write_report(tmp_path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "events.jsonl"]


def test_a_recipe_that_yaml_cannot_say_is_not_kept(tmp_path):
    workflow = up_to("raw_a", write_recipe(tmp_path, frames=8))
    run(workflow, tmp_path / "runs", LocalExecutor(), Silent())
    folder = tmp_path / "runs" / "blobs"
    assert (folder / RECIPE).exists()
    strange = replace(workflow.stages["raw_a"], settings=replace(workflow.stages["raw_a"].settings, time="${a}"))
    with pytest.raises(InputError):
        run(replace(workflow, stages={"raw_a": strange}), tmp_path / "runs", LocalExecutor(), Silent())
    assert not (folder / RECIPE).exists()
    assert "Make it again" in (folder / REPORT).read_text()


def test_boxes_stand_apart_and_behind_their_inputs():
    inputs = {
        "raw": (),
        "other": (),
        "prepared": ("raw",),
        "model-1": ("prepared",),
        "model-2": ("prepared",),
        "forecast-2": ("prepared", "model-2"),
        "forecast-1": ("prepared", "model-1"),
        "all": ("forecast-1", "forecast-2", "other"),
    }
    graph = drawn({name: (f"of the kind {name}",) for name in inputs}, inputs)
    boxes = {box.name: box for box in graph.boxes}
    assert set(boxes) == set(inputs)
    for one, other in combinations(graph.boxes, 2):
        assert one.left >= other.right or other.left >= one.right or abs(one.top - other.top) >= HEIGHT
    for name, read in inputs.items():
        for source in read:
            assert boxes[name].left >= boxes[source].right + GAP
            assert any(
                line.startswith(f"M{boxes[source].right:.0f} {boxes[source].middle:.0f} ")
                and line.endswith(f"{boxes[name].left:.0f} {boxes[name].middle:.0f}")
                for line in graph.lines
            )
    assert len(graph.lines) == sum(map(len, inputs.values()))
    assert (boxes["model-1"].top < boxes["model-2"].top) == (boxes["forecast-1"].top < boxes["forecast-2"].top)
    assert all(box.left >= 0 and box.right <= graph.width for box in graph.boxes)
    assert all(box.top >= 0 and box.top + HEIGHT <= graph.height for box in graph.boxes)


@pytest.mark.parametrize("middle", [0, 11, 49, 99])
def test_moving_frames_follow_each_other_around_one(middle):
    tested = [("a", frame) for frame in range(30)] + [("a", frame) for frame in range(40, 100)] + [("b", 3)]
    found = in_a_row(tested, "a", middle)
    assert len(found) == FRAMES
    assert middle in found
    assert np.all(np.diff(found) == 1)
    assert all(("a", frame) in tested for frame in found)


def test_few_moving_frames_are_all_there_are():
    assert in_a_row([("a", 2), ("a", 3), ("b", 4)], "a", 3) == [2, 3]
