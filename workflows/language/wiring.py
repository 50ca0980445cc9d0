"""Whether the stages of a workflow fit together: their inputs, and the series that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError

from workflows.mistakes import RecipeError, nearest
from workflows.stage import Stage
from workflows.workflow import in_order


def refuse_misfits(stages: Mapping[str, Stage], written: Collection[str] = ()) -> None:
    """Refuses stages that do not fit together.

    Args:
        stages: By name.
        written: Names that were meant where an input is misspelt, beside those of the stages.

    Raises:
        RecipeError: Inputs form a cycle, are missing, unknown or of another kind; or a series is unknown.
    """
    _refuse_cycles(stages)
    for stage in stages.values():
        _refuse_inputs(stage, stages, written)
    for stage in stages.values():
        _refuse_series(stage, stages)


def _refuse_cycles(stages: Mapping[str, Stage]) -> None:
    """Looked for first: of a cycle it would also be true, but no help, that some input is of the wrong kind."""
    try:
        in_order({name: stage.inputs.values() for name, stage in stages.items()})
    except CycleError as error:
        cycle = error.args[1]
        raise RecipeError(
            f"the inputs form a cycle: {' -> '.join(cycle)}; take one out", ("stages", cycle[1], "inputs")
        ) from error


def _refuse_inputs(stage: Stage, stages: Mapping[str, Stage], written: Collection[str]) -> None:
    place, kind = ("stages", stage.name, "inputs"), stage.kind
    named = {**kind.roles, **kind.optional}
    for role in kind.roles:
        if role not in stage.inputs:
            raise RecipeError(
                f"the input {role!r} is missing; a {kind.name} stage needs {', '.join(kind.roles)}", place
            )
    for role, source in stage.inputs.items():
        if role not in named and not kind.others:
            raise RecipeError(f"unknown input {role!r}{nearest(role, named)}", (*place, role))
        if source not in stages:
            raise RecipeError(f"no stage {source!r}{nearest(source, (*written, *stages))}", (*place, role))
        expected, actual = (named[role],) if role in named else kind.others, stages[source].kind
        if not {actual.name, actual.makes} & {*expected}:
            raise RecipeError(
                f"{source!r} is a stage of kind {actual.name}; expected one of kind {' or '.join(expected)}",
                (*place, role),
            )
    if kind.others and not stage.inputs:
        raise RecipeError(f"a {kind.name} stage needs at least one input of kind {' or '.join(kind.others)}", place)


def _refuse_series(stage: Stage, stages: Mapping[str, Stage]) -> None:
    source = stages[stage.inputs["prepared"]] if "prepared" in stage.kind.roles else stage
    if source.kind.name != "preprocess":
        return  # what series others make only they know
    for key, series in stage.kind.names_series(stage.settings).items():
        known = source.inputs
        if series not in known and not any(series.startswith(f"{name}.") for name in known):  # its tiles and runs
            raise RecipeError(f"no series {series!r}{nearest(series, known)}", ("stages", stage.name, *key))
