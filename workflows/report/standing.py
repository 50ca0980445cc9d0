"""How the stages of a run stand, and what they were planned to take and took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workflows.foresight.table import duration
from workflows.opened import Result


@dataclass(frozen=True)
class Stood:
    """A stage of a run.

    Attributes:
        name, kind, folder: Its own.
        inputs: The stages that it reads.
        state: `done`, `finished before`, `stopped`, or `not begun`.
        manifest: What it left behind, see `workflows.run`; empty where it is not finished.
        planned: What was foreseen of it (`foresight.cost.Cost`), or nothing.
        reached: How far it came, where it was stopped.
    """

    name: str
    kind: str
    folder: str
    inputs: tuple[str, ...]
    state: str
    manifest: Mapping[str, Any]
    planned: Mapping[str, Any]
    reached: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What its box says beneath its name."""
        took = duration(self.manifest["seconds"]) if self.manifest else self.reached or self.state
        return (f"{self.kind}, {took}",)


def stood(log: Iterable[Mapping[str, Any]], results: Mapping[str, Result]) -> list[Stood]:
    """The stages of a run, in order.

    Args:
        log: Of the last time that it was run.
        results: What its stages left.
    """
    stages: list[Mapping[str, Any]] = []
    begun, costs, reached = set(), {}, {}
    for event in log:
        match event["event"]:
            case "began":
                stages = event["stages"]
            case "planned":
                costs = event["costs"]
            case "started":
                begun.add(event["stage"])
            case "progress":
                reached[event["stage"]] = f"{event['done']} of {event['total']}"
    found = []
    for stage in stages:
        name, result = stage["name"], results[stage["name"]]
        if result.finished:
            state = "finished before" if stage["finished"] else "done"
        else:
            state = "stopped" if name in begun else "not begun"
        manifest = result.manifest if result.finished else {}
        planned = manifest.get("foreseen") or costs.get(name) or {}
        found.append(
            Stood(
                name,
                stage["kind"],
                stage["folder"],
                tuple(stage["inputs"]),
                state,
                manifest,
                planned,
                reached.get(name, "") if state == "stopped" else "",
            )
        )
    return found
