"""How a run stands after some lines of its event log: a fold, one line after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from workflows.pages.board.grid import Grid
from workflows.pages.board.states import BLUE, DARK, GREEN, GREY, ORANGE, PALE_GREEN, RED, YELLOW

TAIL = 300
"""Lines that are kept of what was told."""


class Status(StrEnum):
    """Of a stage."""

    AHEAD = "to do"
    BEFORE = "finished before"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


STATUS_COLOURS = {
    Status.AHEAD: GREY,
    Status.BEFORE: PALE_GREEN,
    Status.RUNNING: ORANGE,
    Status.DONE: GREEN,
    Status.STOPPED: RED,
}

ACTIVITY_COLOURS = {
    "computing": ORANGE,
    "reading": DARK,
    "encoding": "#cc79a7",
    "writing": BLUE,
    "waiting for reads": "#b9c2c8",
    "exchanging": YELLOW,
    "waiting for writes": "#7f8a91",
}
"""By the words of `workflows.display.ACTIVITIES`; computing, writing and waiting for carries as shards are coloured."""


@dataclass
class Process:
    """A process of a stage, as it told last.

    Attributes:
        at: When.
        resident, peak: Bytes of memory.
        seconds: By activity, since it began.
        sent: Bytes that it sent to other workers; `None` before it has done all its shards.
    """

    at: float = 0.0
    resident: int = 0
    peak: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    sent: int | None = None


@dataclass
class Stage:
    """A stage.

    Attributes:
        done, total: Steps, of what it counts now; 0 where nothing was said.
        note: What it told of the last one.
        begun, ended: When, seconds since 1970.
        seconds: That it took, as it told itself.
        peak, moved, to_move: Bytes: memory of its largest process, what was sent from worker to worker, and what was
            predicted of that.
        foreseen: Seconds that it was predicted to take; `None` where nothing was.
        bound: Bytes of memory that its largest process was predicted to take at most; 0 where nothing was.
        frames, size: Frames that were worked on since it began or went on, and their bytes.
        shares: Seconds by activity, where the stage knows them and not its workers.
        losses: When workers were lost, and why.
        exchange: How carries pass.
        grid: Its shards; `None` where it has none.
        processes: By name: `driver`, `worker`, `worker 3`.
    """

    name: str
    kind: str = ""
    inputs: tuple[str, ...] = ()
    folder: str = ""
    status: Status = Status.AHEAD
    done: int = 0
    total: int = 0
    note: str = ""
    begun: float | None = None
    ended: float | None = None
    seconds: float | None = None
    peak: int = 0
    moved: int = 0
    to_move: int = 0
    foreseen: float | None = None
    bound: int = 0
    frames: int = 0
    size: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    losses: list[tuple[float, str]] = field(default_factory=list)
    exchange: str = ""
    grid: Grid | None = None
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def again(self) -> int:
        """Shards that had to be begun once more."""
        return self.grid.again if self.grid else 0


@dataclass(frozen=True)
class Told:
    """A line of the tail.

    Attributes:
        at: When.
        text: What.
        wrong: Whether something went wrong.
    """

    at: float
    text: str
    wrong: bool = False


class Standing:
    """How a run stands. It begins with the event `began`; `take` every line that follows.

    Attributes:
        at: When the last event was, seconds since 1970.
        begun: When the run began.
        run, command, where, host, pid: As the event `began` tells them.
        stages: By name, in order.
        current: The stage that is worked on, or was last; empty before the first.
        how: How it ended: `finished`, `failed`, `cancelled`, `interrupted`; empty until then.
        why: What failed.
        tail: What was told, the newest last.
    """

    def __init__(self):
        self.at = self.begun = 0.0
        self.run = self.command = self.where = self.host = self.current = self.how = self.why = ""
        self.pid = 0
        self.stages: dict[str, Stage] = {}
        self.tail: deque[Told] = deque(maxlen=TAIL)

    @property
    def focus(self) -> str:
        """The stage to look at: the one that is worked on; of a run that finished the last one that has shards."""
        divided = [name for name, stage in self.stages.items() if stage.grid]
        return divided[-1] if self.how == "finished" and divided else self.current

    def take(self, line: Mapping[str, Any]) -> None:
        """Takes a line of the log; one of an event that is not known changes nothing."""
        self.at = max(self.at, line["at"])
        match line["event"]:
            case "began":
                self._begin(line)
            case "ended":
                self._end(line)
            case "planned":
                for name, cost in line["costs"].items():
                    stage = self.stages.setdefault(name, Stage(name))
                    stage.foreseen, stage.bound = cost.get("seconds"), cost.get("host", 0)
            case event if "stage" in line:
                self._of_stage(self.stages.setdefault(line["stage"], Stage(line["stage"])), event, line)

    def _begin(self, line: Mapping[str, Any]) -> None:
        self.begun = line["at"]
        self.run, self.command, self.where = (line.get(name, "") for name in ("run", "command", "where"))
        self.host, self.pid = line.get("host", ""), line.get("pid", 0)
        for told in line.get("stages", ()):
            self.stages[told["name"]] = Stage(told["name"], told["kind"], tuple(told["inputs"]), told["folder"])
        self._tell(line, " ".join(filter(None, ("began:", self.command or self.run, self.where and f"({self.where})"))))

    def _end(self, line: Mapping[str, Any]) -> None:
        self.how, self.why = line["how"], line.get("why", "")
        if self.how != "finished":
            for stage in self.stages.values():
                if stage.status is Status.RUNNING:
                    stage.status, stage.ended = Status.STOPPED, line["at"]
        self._tell(line, self.how + (f": {self.why}" if self.why else ""), wrong=self.how == "failed")

    def _of_stage(self, stage: Stage, event: str, line: Mapping[str, Any]) -> None:
        match event:
            case "skipped":
                stage.status = Status.BEFORE
                self._tell(line, "finished before, skipped")
            case "started":
                stage.status, stage.begun, stage.kind = Status.RUNNING, line["at"], line["kind"]
                self.current = stage.name
                self._tell(line, "started")
            case "progress":
                self._progress(stage, line)
            case "spread":
                self._spread(stage, line)
            case "shard" if stage.grid:
                stage.grid.put(line["strand"], line["index"], line["worker"], line["doing"])
            case "pulse":
                self._pulse(stage, line)
            case "sent":
                process = stage.processes.setdefault(f"worker {line['worker']}", Process())
                process.sent = (process.sent or 0) + line["size"]
                stage.moved += line["size"]
            case "lost":
                stage.losses.append((line["at"], line["why"]))
                if stage.grid:
                    stage.grid.drop()
                self._tell(line, f"lost: {line['why']}", wrong=True)
            case "finished":
                stage.status, stage.ended, stage.seconds = Status.DONE, line["at"], line["seconds"]
                stage.peak, stage.moved = max(stage.peak, line.get("peak", 0)), line.get("moved", stage.moved)
                self._tell(line, f"done in {line['seconds']:.1f} s")

    def _progress(self, stage: Stage, line: Mapping[str, Any]) -> None:
        stage.done, stage.total = line["done"], line["total"]
        stage.frames, stage.size = line.get("frames", stage.frames), line.get("size", stage.size)
        stage.note, stage.shares = line.get("note", stage.note), line.get("shares", stage.shares)
        if line.get("line"):
            self._tell(line, line["line"])

    def _spread(self, stage: Stage, line: Mapping[str, Any]) -> None:
        if stage.grid and stage.grid.lengths == line["lengths"]:
            stage.grid.divide(line)
        else:
            stage.grid = Grid(line)
        stage.exchange, stage.to_move = line.get("exchange", ""), line.get("moved", 0)
        stage.processes = {name: one for name, one in stage.processes.items() if not name.startswith("worker ")}

    def _pulse(self, stage: Stage, line: Mapping[str, Any]) -> None:
        process = stage.processes.setdefault(self.name_of(line), Process())
        process.at, process.resident = line["at"], line["usage"]["resident"]
        process.peak = max(process.peak, line["usage"]["peak"])
        process.seconds = line.get("seconds", process.seconds)
        stage.peak = max(stage.peak, process.peak)

    def name_of(self, line: Mapping[str, Any]) -> str:
        """Which process a pulse is of: `driver`, a stage's only `worker`, or one of several, `worker 3`."""
        if "worker" in line:
            return f"worker {line['worker']}"
        return "driver" if (line["usage"]["host"], line["usage"]["pid"]) == (self.host, self.pid) else "worker"

    def _tell(self, line: Mapping[str, Any], text: str, *, wrong: bool = False) -> None:
        stage = f"{line['stage']}: " if "stage" in line else ""
        self.tail.append(Told(line["at"], stage + text, wrong))
