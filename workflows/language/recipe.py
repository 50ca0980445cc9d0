"""A recipe in Python: stages put together, one after the other, into a workflow. YAML files go the same way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workflows.catalog import Kinds
from workflows.language.environment import Taken
from workflows.language.settings import settings_of
from workflows.language.wiring import refuse_misfits
from workflows.mistakes import Place, RecipeError, is_word, nearest
from workflows.stage import Stage, StageKind
from workflows.workflow import Workflow


class Recipe:
    """A workflow in the making.

        recipe = Recipe("winds")
        raw = recipe.stage("raw", "ingest", source="winds.nc", variable=["UWND", "VWND"])
        prepared = recipe.stage("prepared", "preprocess", {"winds": raw}, splits=...)
        for seed in range(3):
            recipe.stage(f"model-{seed}", "train", {"prepared": prepared}, seed=seed)
        workflow = recipe.workflow()

    Attributes:
        name: Of the run.
        folder: Where relative paths of files start.
        kinds: Of stages, all that there are.
    """

    def __init__(self, name: str, folder: str | Path = "."):
        if not is_word(name):
            raise RecipeError(f"is {name!r}; give a word of letters, digits, _ and -", ("name",))
        self.name, self.folder = name, Path(folder).resolve()
        self.kinds = Kinds()
        self._stages: dict[str, Stage] = {}

    def stage(self, name: str, kind: str, /, inputs: Mapping[str, str | Stage] | None = None, **settings: Any) -> Stage:
        """Adds a stage.

        Args:
            name: Of the stage.
            kind: As behind `stage:` in YAML.
            inputs: By role the stages that it takes, or their names.
            settings: As in YAML; mappings within may be dataclasses of settings, lists tuples.

        Raises:
            RecipeError: There is a stage of that name, no such kind, or something is wrong with a setting.
        """
        return self.add(name, kind, {} if inputs is None else inputs, settings)

    def add(self, name: Any, kind: Any, inputs: Any, settings: Mapping[Any, Any]) -> Stage:
        """As `stage`, of values that need not be what they should: those of a YAML file."""
        place = ("stages", name)
        if not is_word(name):
            raise RecipeError("is no name for a stage; use letters, digits, _ and -", place)
        if name in self._stages:
            raise RecipeError("there is a stage of this name; give each its own", place)
        found = kind_at(self.kinds, kind, (*place, "stage"))
        if isinstance(inputs, Mapping):
            inputs = {role: one.name if isinstance(one, Stage) else one for role, one in inputs.items()}
        if not isinstance(inputs, dict) or not all(isinstance(one, str) for pair in inputs.items() for one in pair):
            raise RecipeError("must map roles to names of stages, as in {prepared: prepared}", (*place, "inputs"))
        stage = Stage(name, found, settings_of(found, settings, place, self.folder), inputs)
        self._stages[name] = stage
        return stage

    def workflow(self, written: Collection[str] = (), environment: Mapping[str, Taken] | None = None) -> Workflow:
        """The workflow of all stages so far.

        Args:
            written: Further names that may be meant where an input is misspelt; for messages alone.
            environment: What was taken from the environment, to be told by `check`.

        Raises:
            RecipeError: There are no stages, or they do not fit together.
        """
        if not self._stages:
            raise RecipeError("it has no stages; add one")
        refuse_misfits(self._stages, written)
        return Workflow(self.name, dict(self._stages), environment or {})


def kind_at(kinds: Kinds, name: Any, place: Place) -> StageKind:
    """The kind of this name.

    Raises:
        RecipeError: There is none, or it cannot be had; the message says why, and the place where it was named.
    """
    if name not in kinds:
        raise RecipeError(f"no stage kind {name!r}{nearest(name, kinds)}", place)
    try:
        return kinds[name]
    except RecipeError as error:
        raise RecipeError(error.reason, place) from error
