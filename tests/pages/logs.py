"""Event logs written by hand, at times of one's own, and what they must come to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cluster import Usage
from pipeline.progress import Progress
from workflows.events import Began, Event, Finished, Pulse, Shard, Spread, Started, as_line
from workflows.journal import NAME
from workflows.pages.board.log import Log
from workflows.pages.board.states import State

STAGES = ("raw", "forecast", "scores")


class Written:
    """A log that grows.

    Args:
        folder: Of the run.
        at: The time of the first event, seconds since 1970.
    """

    def __init__(self, folder: Path, at: float = 1.8e9):
        self.path, self.at = folder / NAME, at

    def tell(self, stage: str | None, *events: Event, after: float = 0.0) -> None:
        """Writes events, some seconds after the last ones."""
        self.at += after
        with self.path.open("a") as file:
            file.writelines(json.dumps(as_line(self.at, stage, event)) + "\n" for event in events)

    def begin(self, *, pid: int = 1) -> None:
        """A run of three stages, of which the first is finished at once and the second begins."""
        stages = tuple(
            {"name": name, "kind": kind, "inputs": [], "folder": f"{name}-0", "finished": False}
            for name, kind in zip(STAGES, ("ingest", "infer", "evaluate"), strict=True)
        )
        self.tell(None, Began("blobs", stages, "chronovox run <blobs>.yaml", "this process", "here", pid))
        self.tell("raw", Started("ingest"), Progress(1, 1), Finished(1.0, int(2e8)), after=1.0)
        self.tell("forecast", Started("infer"), Progress(0, 12))

    def shards(self, *doings: str, first: int = 0, worker: int | None = None) -> None:
        """What is done with shards from `first` on, which two workers own in turn; one event a second."""
        for number, doing in enumerate(doings, first):
            owner = number % 2 if worker is None else worker
            self.tell("forecast", Shard(0, number, owner, doing), after=1.0)
            if doing == "done":
                self.tell("forecast", Progress(number + 1, 12, f"frames of shard {number}", frames=7 * (number + 1)))


def divided(*, workers: int = 2, first: int = 0) -> Spread:
    """One series of 80 frames in twelve shards of seven, the last shorter, over workers."""
    team = tuple(range(workers))
    return Spread(workers, (12,), (("b", 80, 7),), ((first, 12),), (team,), "chain", 1000, "cut in time")


def pulse(worker: int | None, resident: float, pid: int = 1, **seconds: float) -> Pulse:
    return Pulse(worker, Usage("here", pid, int(resident), int(resident)), seconds)


def plain(path: Path, until: float = np.inf, execution: int = -1) -> dict:
    """What a log comes to at a time, worked out the long way: of each shard what was told of it last."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    begins = [*(number for number, line in enumerate(lines) if line["event"] == "began"), len(lines)]
    first = begins[execution - 1 if execution < 0 else execution]
    stop = next(end for end in begins if end > first)
    found = {"shards": {}, "progress": {}, "resident": {}}
    for line in lines[first:stop]:
        if line["at"] > until:
            break
        if line["event"] == "shard":
            found["shards"][line["stage"], line["strand"], line["index"]] = (line["doing"], line["worker"])
        elif line["event"] == "progress":
            found["progress"][line["stage"]] = (line["done"], line["total"])
        elif line["event"] == "pulse":
            found["resident"][line["stage"], line.get("worker"), line["usage"]["pid"]] = line["usage"]["resident"]
    return found


def read(path):
    """The log, read to its end."""
    log = Log(path)
    log.read()
    return log


def shards_of(standing):
    """The shards that somebody has begun, as `plain` tells them."""
    return {
        (name, strand, int(index)): (State(int(stage.grid.state[place])).name.lower(), int(stage.grid.owner[place]))
        for name, stage in standing.stages.items()
        if stage.grid
        for strand, start in enumerate(stage.grid.starts[:-1])
        for index, place in enumerate(range(start, stage.grid.starts[strand + 1]))
        if stage.grid.state[place] >= State.DONE
    }
