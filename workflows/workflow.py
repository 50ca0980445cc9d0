"""A workflow: stages and the order that their inputs impose."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from workflows.stage import Stage


@dataclass(frozen=True)
class Workflow:
    """A named graph of stages.

    Raises:
        ValueError: The inputs form a cycle; the message names its stages.
    """

    name: str
    stages: dict[str, Stage]

    def __post_init__(self):
        try:
            self.ordered()
        except CycleError as error:
            raise ValueError(f"the inputs form a cycle: {' <- '.join(error.args[1])}") from error

    def ordered(self) -> list[Stage]:
        """The stages, each after its inputs, otherwise as written."""
        sorter = TopologicalSorter({name: stage.inputs.values() for name, stage in self.stages.items()})
        return [self.stages[name] for name in sorter.static_order()]
