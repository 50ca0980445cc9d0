"""A workflow: stages and the order that their inputs impose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from workflows.language.environment import Taken
from workflows.stage import Stage


@dataclass(frozen=True)
class Workflow:
    """A named graph of stages.

    Attributes:
        name: Of the run.
        stages: By name.
        environment: What its recipe took from the environment, by variable; the settings have it, too.
    """

    name: str
    stages: dict[str, Stage]
    environment: Mapping[str, Taken] = field(default_factory=dict, compare=False)

    def ordered(self) -> list[Stage]:
        """The stages, each after its inputs. Raises `graphlib.CycleError` if there is no such order."""
        names = in_order({name: stage.inputs.values() for name, stage in self.stages.items()})
        return [self.stages[name] for name in names]


def in_order(sources: Mapping[str, Iterable[str]]) -> list[str]:
    """The names, each after its sources. Raises `graphlib.CycleError` with the cycle as its second argument."""
    return list(TopologicalSorter(sources).static_order())
