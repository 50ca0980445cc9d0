"""What each stage of a workflow will take, from its settings and the sizes of what it reads; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from cluster import Executor
from workflows.foresight import data, models, scores
from workflows.foresight.cost import Foreseen, raised
from workflows.foresight.kept import Kept
from workflows.foresight.looking import Looking
from workflows.plan import PlannedStage

KINDS = {
    "ingest": data.ingest,
    "preprocess": data.preprocess,
    "train": models.train,
    "infer": models.infer,
    "rollout": models.rollout,
    "evaluate": scores.evaluate,
    "report": scores.report,
    "gather": scores.gather,
}
"""Of each kind of stage the function that looks at one: what is known of it for those that read it, and what it will
take; `None` of one that is finished."""


def foresee(planned: Sequence[PlannedStage], executor: Executor, kept: Kept) -> list[Foreseen]:
    """What each stage will take.

    Raises:
        InputError: An archive cannot be read as its stage says, a split does not fit, or whatever else a stage would
            refuse that is seen without reading frames.
        ResourceError: There is no place for the workers.
    """
    looking = Looking(planned, executor, kept)
    return [_foreseen(looking, stage) for stage in planned]


def _foreseen(looking: Looking, planned: PlannedStage) -> Foreseen:
    stage = planned.stage
    look = None if stage.kind.makes else KINDS.get(stage.kind.name)
    if look is None or not all(source in looking.known for source in stage.inputs.values()):
        return Foreseen(stage.name, stage.kind.name, planned.finished)
    looking.known[stage.name], cost = look(looking, stage, planned.folder, finished=planned.finished)
    return Foreseen(stage.name, stage.kind.name, planned.finished, None if cost is None else raised(cost))
