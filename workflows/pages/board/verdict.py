"""What is to be known first: whether a run goes on, how it ended, how long it will take, whether something is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.pages.board.history import History
from workflows.pages.board.standing import Stage, Standing, Status
from workflows.pages.board.states import DARK, GREEN, ORANGE, RED
from workflows.pages.board.words import counted, duration

SILENCE = 60.0
"""Seconds without a word from a running stage after which that is said."""

COLOURS = {
    "running": ORANGE, "asked to end": ORANGE, "finished": GREEN, "failed": RED, "died": RED, "cancelled": DARK,
    "interrupted": DARK, "waiting": DARK,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """Of a run at a time.

    Attributes:
        word: `running`, `asked to end`, `finished`, `failed`, `died`, `cancelled`, `interrupted`.
        sentence: Where it is, or how it ended.
        troubles: What is wrong, one each.
    """

    word: str
    sentence: str
    troubles: tuple[str, ...]

    @property
    def colour(self) -> str:
        return COLOURS[self.word]


def verdict(standing: Standing, history: History, time: float, *, alive: bool, asked: bool) -> Verdict:
    """Of a run as it stands at a time.

    Args:
        alive: Whether a process works on it; of a time before the newest line, whether one did.
        asked: Whether it was asked to end.
    """
    stage = standing.stages.get(standing.current)
    troubles = [f"{one.name} lost workers: {why}" for one in standing.stages.values() for _, why in one.losses]
    if standing.how:
        where = f" in stage {stage.name}, {steps(stage)}" if stage and standing.how != "finished" else ""
        told = f"{standing.how}{where}, {duration(standing.at - standing.begun)} after it began"
        if standing.how != "finished":
            told += "; what was committed stands, and the same command continues"
        troubles += [f"failed: {standing.why}"] if standing.why else []
        return Verdict(standing.how, told, tuple(troubles))
    if not alive:
        where = f" in stage {stage.name}, {steps(stage)}" if stage else ""
        troubles.append(f"its process died{where}; what was committed stands, and the same command continues")
        heard = f"last heard of {duration(standing.at - standing.begun)} after it began"
        return Verdict("died", heard, tuple(troubles))
    if time - standing.at > SILENCE:
        troubles.append(f"nothing was told for {duration(time - standing.at)}")
    return Verdict("asked to end" if asked else "running", outlook(standing, history, time), tuple(troubles))


def steps(stage: Stage) -> str:
    """How far a stage is."""
    return f"{stage.done} of {stage.total}" if stage.total else "at its beginning"


def left(stage: Stage, history: History, time: float) -> float | None:
    """Seconds that a stage will take from then on: as it goes, or else as it was foreseen; 0 for one that is over,
    `None` where nothing is known."""
    match stage.status:
        case Status.AHEAD:
            return stage.foreseen
        case Status.RUNNING:
            marks = history.marks.get(stage.name)
            found = marks.left(time, stage.total) if marks and stage.total else None
            if found is None and stage.foreseen is not None and time < stage.begun + stage.foreseen:
                return stage.foreseen - (time - stage.begun)
            return found
    return 0.0


def outlook(standing: Standing, history: History, time: float) -> str:
    """`forecast: 13 of 15, about 0:20 left, then scores, report; about 0:35 in all`."""
    stage = standing.stages.get(standing.current)
    if stage is None:
        return "beginning"
    rests = {one.name: left(one, history, time) for one in standing.stages.values()}
    told = [f"{stage.name} is done"]
    if stage.status is Status.RUNNING:
        rest = rests[stage.name]
        told = [f"{stage.name}: {steps(stage)}", *(() if rest is None else (f"about {duration(rest)} left",))]
    follow = [one.name for one in standing.stages.values() if one.status is Status.AHEAD]
    if follow:
        told.append("then " + (", ".join(follow) if len(follow) <= 3 else counted(len(follow), "more stage")))
    whole = f"; about {duration(sum(rests.values()))} in all" if follow and None not in rests.values() else ""
    return ", ".join(told) + whole
