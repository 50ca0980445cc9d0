"""What a run will do: each stage's folder, and whether it is already finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workflows.stage import Stage
from workflows.workflow import Workflow

SUCCESS = "SUCCESS"
"""In a stage's folder: it is finished."""

RECIPE, REPORT = "recipe.yaml", "report.html"
"""In a run's folder: its recipe as it was run, and its report."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its fingerprint and the folder that holds its output; `inputs` are the folders of its inputs."""

    stage: Stage
    fingerprint: str
    folder: Path
    inputs: dict[str, Path]

    @property
    def finished(self) -> bool:
        return (self.folder / SUCCESS).exists()


def plan(workflow: Workflow, run_folder: Path) -> list[PlannedStage]:
    """The stages in running order, each with the folder `STAGE-FINGERPRINT`."""
    planned: dict[str, PlannedStage] = {}
    for stage in workflow.ordered():
        fingerprint = stage.fingerprint({name: done.fingerprint for name, done in planned.items()})
        inputs = {role: planned[name].folder for role, name in stage.inputs.items()}
        planned[stage.name] = PlannedStage(stage, fingerprint, run_folder / f"{stage.name}-{fingerprint}", inputs)
    return list(planned.values())
