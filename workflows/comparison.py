"""A recipe with one training, as the workflow that trains and scores it with several mixers from several seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.compare import CompareSettings, Curve
from pipeline.network.settings import ModelSettings
from pipeline.network.sizing import of_size, with_mixer
from pipeline.pace import PaceSettings
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError
from ssm_ops.mixers.catalogue import MIXERS, no_mixer
from workflows.catalog import Kinds
from workflows.plan import SUCCESS, plan
from workflows.stage import Stage
from workflows.workflow import Workflow

PACE, COMPARED = "pace", "compared"
"""The names of the stages that a comparison adds."""


class Comparison:
    """A recipe, and the mixers and seeds that it is to be run with.

    Args:
        workflow: With one stage `train` and one stage `evaluate` of its model.
        mixers: Names; the differences are from the first.
        seeds: Of the trainings.
        rates: Learning rates that are tried with each.

    Raises:
        InputError: The recipe has other stages than that, its training cannot have one of the mixers, seeds or rates,
            or a mixer is unknown or named twice. All that can be known before anything runs is refused here.
    """

    def __init__(self, workflow: Workflow, mixers: Sequence[str], seeds: Sequence[int], rates: Sequence[float] = ()):
        self.workflow, self.mixers, self.seeds, self.rates = workflow, tuple(mixers), tuple(seeds), tuple(rates)
        for name in self.mixers:
            if name not in MIXERS:
                raise InputError(no_mixer(name))
        for what, given in (("mixers", self.mixers), ("seeds", self.seeds)):
            if not given or len(set(given)) < len(given):
                raise InputError(f"{what} are {', '.join(map(str, given)) or 'none'}; give at least one, each once")
        self.training = self._only("train", workflow.stages.values())
        settings = self.training.settings
        if settings.start is not None:
            raise InputError(
                f"stage {self.training.name!r} has a start by least squares, which convssm alone can have; compare "
                f"without it, and with as many steps as training from chance wants: --set {self.training.name}.start="
                "null --set "
                f"{self.training.name}.steps=STEPS"
            )
        self._behind = self._following(self.training.name)
        self.scores = self._only("evaluate", [workflow.stages[name] for name in self._behind])
        self.name = f"{workflow.name}-compare"
        self._refuse()

    @property
    def data(self) -> Workflow:
        """What is made once for all: the stages before the training."""
        needed, left = {}, list(self.training.inputs.values())
        while left:
            name = left.pop()
            if name not in needed:
                needed[name] = self.workflow.stages[name]
                left += needed[name].inputs.values()
        return Workflow(self.name, {n: s for n, s in self.workflow.stages.items() if n in needed})

    def trainings(self, count: Callable[[ModelSettings], int] | None) -> dict[str, TrainSettings]:
        """The training with each mixer.

        Args:
            count: The parameters of a model on the recipe's data, if all are to have about those of the recipe's; else
                widths stay as they are.
        """
        settings = replace(self.training.settings, together=1)  # which only convssm can have otherwise
        found = {}
        for name in self.mixers:
            model = with_mixer(settings.model, name)
            if count is not None and name != settings.model.mixer:
                model = of_size(model, count(settings.model), count)
            found[name] = replace(settings, model=model)
        return found

    def paced(self, trainings: Mapping[str, TrainSettings]) -> Workflow:
        """The data, and the stage that measures how long a step of each training takes."""
        inputs = {"prepared": self.training.inputs["prepared"]}
        stage = Stage(PACE, Kinds()["pace"], PaceSettings(dict(trainings)), inputs)
        return replace(self.data, stages=self.data.stages | {PACE: stage})

    def tried(self, trainings: Mapping[str, TrainSettings], paced: Workflow, rate: float) -> Workflow:
        """Only the trainings, from the first seed with a learning rate: stages of the whole, if it is chosen."""
        stages = dict(paced.stages)
        for mixer, training in trainings.items():
            settings = replace(training, seed=self.seeds[0], learning_rate=rate)
            stage = self._of(self.training, mixer, self.seeds[0], settings)
            stages[stage.name] = stage
        return replace(paced, stages=stages)

    def with_best_rates(
        self, trainings: Mapping[str, TrainSettings], folders: Mapping[float, Mapping[str, Path]]
    ) -> dict[str, TrainSettings]:
        """Each training with the learning rate of the smallest validation error, of those that were tried.

        Args:
            folders: By rate those of the stages of `tried`, without those that diverged.

        Raises:
            InputError: A mixer diverged with each rate.
        """
        found = {}
        for mixer, training in trainings.items():
            name = f"{self.training.name}-{mixer}-{self.seeds[0]}"
            errors = {rate: _least(Curve.of(own[name]).errors) for rate, own in folders.items() if name in own}
            best = min(errors, key=errors.__getitem__, default=None)
            if best is None or math.isinf(errors[best]):
                rates = ", ".join(f"{rate:g}" for rate in folders)
                raise InputError(f"{mixer} diverged with each of the learning rates {rates}; try smaller ones too")
            found[mixer] = replace(training, learning_rate=best)
        return found

    def whole(self, trainings: Mapping[str, TrainSettings], paced: Workflow) -> Workflow:
        """All of it: trainings, what follows them up to their scores, and the page."""
        stages, kinds, compared = dict(paced.stages), Kinds(), {"pace": PACE}
        wanted = self._wanted()
        for mixer, training in trainings.items():
            for seed in self.seeds:
                for name in wanted:
                    stage = self.workflow.stages[name]
                    settings = replace(training, seed=seed) if name == self.training.name else stage.settings
                    repeated = self._of(stage, mixer, seed, settings)
                    stages[repeated.name] = repeated
                compared[f"model-{mixer}-{seed}"] = f"{self.training.name}-{mixer}-{seed}"
                compared[f"scores-{mixer}-{seed}"] = f"{self.scores.name}-{mixer}-{seed}"
        settings = CompareSettings(
            title=f"{self.workflow.name}: {len(self.mixers)} models side by side",
            notes={
                mixer: f"{own.model.channels} channels, {own.model.states} states, rate {own.learning_rate:g}"
                for mixer, own in trainings.items()
            },
        )
        stages[COMPARED] = Stage(COMPARED, kinds["compare"], settings, compared)
        return replace(paced, stages=stages)

    def take_over(self, runs: Path) -> list[str]:
        """Finished stages of data that the recipe's own run has already, by links to them; their names."""
        taken = []
        for stage in plan(self.data, (runs / self.name).resolve()):
            if stage.folder.is_symlink() and not stage.finished:
                stage.folder.unlink()  # what it leads to is gone, or is being made anew
            other = (runs / self.workflow.name).resolve() / stage.folder.name
            if not stage.folder.exists() and (other / SUCCESS).exists():
                stage.folder.parent.mkdir(parents=True, exist_ok=True)
                stage.folder.symlink_to(Path("..") / self.workflow.name / other.name)
                taken.append(stage.stage.name)
        return taken

    def _refuse(self) -> None:
        """Refuses what some stage would refuse later, perhaps after long trainings."""
        settings, data = self.training.settings, self.data.stages
        if settings.model.classes is not None:
            raise InputError(
                f"stage {self.training.name!r} makes labels, which have no mean squared errors; compare models of "
                "numbers"
            )
        for name in (PACE, COMPARED):
            if name in data:
                raise InputError(f"stage {name!r} has the name of one that a comparison adds; rename it")
        try:
            for seed in self.seeds:
                replace(settings, seed=seed)
            for rate in self.rates:
                replace(settings, learning_rate=rate)
            PaceSettings(self.trainings(None))
        except ValueError as error:
            raise InputError(f"stage {self.training.name!r} cannot be compared so: {error}") from error
        for stage in (self.workflow.stages[name] for name in self._wanted()):
            alone = [name for name in self.mixers if not MIXERS[name].kind.side_by_side]
            if getattr(stage.settings, "carry_tolerance", 0) > 0 and alone:
                raise InputError(
                    f"stage {stage.name!r} has a carry tolerance, which {', '.join(alone)} cannot have; compare with "
                    f"--set {stage.name}.carry_tolerance=0"
                )

    def _of(self, stage: Stage, mixer: str, seed: int, settings: Any) -> Stage:
        """A stage of the recipe for a mixer and a seed."""
        inputs = {
            role: f"{source}-{mixer}-{seed}" if source in self._behind else source
            for role, source in stage.inputs.items()
        }
        return replace(stage, name=f"{stage.name}-{mixer}-{seed}", settings=settings, inputs=inputs)

    def _only(self, kind: str, stages: Collection[Stage]) -> Stage:
        found = [stage for stage in stages if stage.kind.name == kind]
        if len(found) != 1:
            names = ", ".join(stage.name for stage in found) or "none"
            raise InputError(
                f"a comparison wants a recipe with one training and one stage that evaluates it, and "
                f"{self.workflow.name!r} has {len(found)} stages {kind!r} ({names}); write one like that"
            )
        return found[0]

    def _following(self, name: str) -> list[str]:
        """The stages that take a stage, and those that take these, in order."""
        found = [name]
        for stage in self.workflow.ordered():
            if stage.name != name and any(source in found for source in stage.inputs.values()):
                found.append(stage.name)
        return found

    def _wanted(self) -> list[str]:
        """The training, and what its scores need of what follows it."""
        needed, left = set(), [self.scores.name]
        while left:
            name = left.pop()
            if name in self._behind and name not in needed:
                needed.add(name)
                left += self.workflow.stages[name].inputs.values()
        return [name for name in self._behind if name in needed]


def _least(errors: Sequence[float]) -> float:
    """The smallest of those that are numbers; infinite where none is."""
    return min((error for error in errors if not math.isnan(error)), default=math.inf)


def of_equal_time(
    trainings: Mapping[str, TrainSettings], paces: Mapping[str, Mapping[str, Any]], first: str
) -> dict[str, TrainSettings]:
    """The trainings with as many steps as take the time that the first one's take, and no more looks at the validation
    frames than that; the first one stays as it is."""
    base, found = trainings[first], dict(trainings)
    seconds, looks = base.steps * paces[first]["seconds_a_step"], math.ceil(base.steps / base.validate_every)
    for name, training in trainings.items():
        if name != first:
            steps = max(1, round(seconds / paces[name]["seconds_a_step"]))
            warm_up = round(training.warm_up * steps / training.steps)
            every = math.ceil(steps / looks)
            found[name] = replace(training, steps=steps, warm_up=warm_up, validate_every=every)
    return found
