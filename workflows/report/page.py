"""What the report of a run shows, and how it is written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader

from cluster.cost import readable
from pipeline.main_score import ERROR_RATE, SQUARED_ERROR
from pipeline.score_table import SHORT, headings, score_rows
from pipeline.section import SECTION, body_of
from pipeline.storage.atomic import write_text
from workflows.foresight.table import duration
from workflows.journal import NAME
from workflows.opened import Run
from workflows.plan import RECIPE, REPORT
from workflows.report.graph import HEIGHT, drawn
from workflows.report.standing import Stood, stood

LARGEST = 9_500_000
"""Bytes of stages' pages that are taken in; a page that a mail can carry."""

ENDED = {"finished": "Finished", "failed": "Failed", "cancelled": "Cancelled", "interrupted": "Interrupted"}


def write_report(folder: Path) -> Path | None:
    """Writes `report.html` into the folder of a run, whole or not at all.

    The page has the workflow with its times, the pages of stages (`pipeline.section`) as far as they do not make it
    larger than 10 MB, the scores of `evaluate` and `rollout` stages that no such page shows, what was planned beside
    what was taken, the versions, and how the run is made again.

    Args:
        folder: Of a run: its event log tells what there is.

    Returns:
        Its path; `None` of a run that never began, of which there is nothing to be told.
    """
    run = Run(folder)
    if not (folder / NAME).exists() or not (log := run.log) or log[0]["event"] != "began":
        return None
    stages = stood(log, run)
    sections, left_out = _sections(run, stages)
    shown = {name for one in stages if (run[one.name].folder / SECTION).exists() for name in one.inputs}
    lone = [one for one in stages if one.manifest and one.name not in shown]
    page = {
        "title": run.name,
        "ending": _ending(log, stages),
        "stages": stages,
        "graph": drawn({one.name: one.words for one in stages}, {one.name: one.inputs for one in stages}),
        "height": HEIGHT,
        "by_name": {one.name: one for one in stages},
        "sections": sections,
        "left_out": left_out,
        "scores": _lone_scores(run, lone),
        "leads": _lone_leads(run, lone),
        "again": _again(folder, log[0]),
        "versions": next((one.manifest for one in reversed(stages) if one.manifest), None),
    }
    loader = ChoiceLoader([PackageLoader("workflows", "templates"), PackageLoader("pipeline", "templates")])
    made = Environment(loader=loader, autoescape=True)
    made.filters |= {"readable": readable, "duration": duration, "indented": lambda value: json.dumps(value, indent=2)}
    write_text(folder / REPORT, made.get_template("run.html.j2").render(page))
    return folder / REPORT


def _ending(log: Sequence[dict[str, Any]], stages: Sequence[Stood]) -> dict[str, str]:
    """How and when the run ended, in words, and why it failed."""
    last, done = log[-1], sum(bool(one.manifest) for one in stages)
    when = datetime.fromtimestamp(last["at"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    count = f"{done} of {len(stages)} stages are done"
    if last["event"] != "ended":
        return {"words": f"Not ended when this page was made, {when}; {count}.", "why": ""}
    return {
        "words": f"{ENDED[last['how']]} {when} after {duration(last['seconds'])}; {count}.",
        "why": last.get("why", ""),
    }


def _sections(run: Run, stages: Sequence[Stood]) -> tuple[list[dict[str, str]], list[Path]]:
    """The pages of stages, and the paths of those that there is no room for."""
    found, left_out, room = [], [], LARGEST
    for one in stages:
        path = run[one.name].folder / SECTION
        if not one.manifest or not path.exists():
            continue
        body = body_of(path.read_text()) if path.stat().st_size <= room else None
        if body is None:
            left_out.append(path.relative_to(run.folder))
        else:
            found.append({"stage": one.name, "body": body})
            room -= path.stat().st_size
    return found, left_out


def _lone_scores(run: Run, lone: Sequence[Stood]) -> list[dict[str, Any]]:
    """Tables of the scores of `evaluate` stages."""
    tables = []
    for one in lone:
        if one.kind == "evaluate":
            scores = run[one.name].scores
            main = SQUARED_ERROR if f"model.{SQUARED_ERROR.key}" in scores else ERROR_RATE
            labels = {name: label for name, label in SHORT.items() if f"{name}.{main.key}" in scores}
            rows = score_rows(scores, labels)
            tables.append({"stage": one.name, "rows": rows, "metrics": headings(scores), "main": main})
    return tables


def _lone_leads(run: Run, lone: Sequence[Stood]) -> list[dict[str, Any]]:
    """The curves of `rollout` stages that were scored."""
    rollouts = [one for one in lone if one.kind == "rollout"]
    if not rollouts:
        return []
    from pipeline.rollouts.curves import lead_section  # brings matplotlib

    found = [{"stage": one.name, "leads": lead_section(run[one.name].folder, SHORT)} for one in rollouts]
    return [one for one in found if one["leads"]]


def _again(folder: Path, began: dict[str, Any]) -> dict[str, str]:
    """How the run is made again: the recipe as it was run, the command, and what was typed."""
    recipe = folder / RECIPE
    if not recipe.exists():
        return {"typed": began.get("command", "")}
    command = shlex.join(["chronovox", "run", str(recipe), "--runs", "again"])
    return {"typed": began.get("command", ""), "command": command, "recipe": recipe.read_text()}
