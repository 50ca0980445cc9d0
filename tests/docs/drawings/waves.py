"""Shards over workers in waves, and the carries between them: the real workers and exchange, in simulated time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from cluster.actor import COMPUTING, Doing
from cluster.cost import Hop, readable
from cluster.layout import in_time
from ssm_ops.carry import Place
from tests.benchmarks.simulated_owner import Load, Machine
from tests.benchmarks.simulated_walk import simulate
from tests.docs.drawings.canvas import Canvas

WORKERS, SHARDS = 3, 12

FRAMES, CARRY = 256 * 16 * 128 * 128 * 4, 16 * 128 * 65 * 8
"""Bytes of a shard of 256 frames of 16 channels of 128 x 128 in float32, and of a carry of these."""

MACHINE = Machine(
    through=2.58e9,
    keep=3.18e9,
    finish=3.36e9,
    compose=5.24e9,
    hop=Hop(0.76e-3, 1.18e9),
    submit=Hop(0.16e-3, 4.19e9),
)
"""As measured on one core and by Ray, see cluster/DESIGN.md; reading and writing cost nothing here."""

LEFT, RIGHT, TOP, ROW = 118, 836, 166, 54


@dataclass(frozen=True)
class Pass:
    """A worker goes over a shard once: `through`, with the carry that enters; or `keep`, from zero; or `finish`.

    Attributes:
        start, stop: Seconds since the walk began.
    """

    shard: int
    worker: int
    what: str
    start: float
    stop: float

    @property
    def left(self) -> float:
        """When the carry that leaves the shard is known: before a kept scan is finished, after a whole one."""
        return self.start if self.what == "finish" else self.stop


def passes() -> tuple[list[Pass], float]:
    """All passes of a walk, and its seconds."""
    events: list[tuple[float, Doing]] = []
    layout = in_time([SHARDS], WORKERS)
    load = Load(frames=FRAMES, state=CARRY, sent=CARRY)
    outcome = simulate(layout, "chain", load, MACHINE, lambda seconds, doing: events.append((seconds, doing)))
    keep, found = FRAMES / MACHINE.keep, []
    for worker in range(WORKERS):
        own = [(seconds, doing) for seconds, doing in events if doing.worker == worker]
        for (start, doing), (stop, _) in itertools.pairwise(own):
            if doing.what != COMPUTING:
                continue
            shard, begun = doing.place.index, any(one.shard == doing.place.index for one in found)
            if begun:
                found.append(Pass(shard, worker, "finish", start, stop))
            elif stop - start > 1.5 * keep:  # both halves, since the carry came meanwhile
                found += [
                    Pass(shard, worker, "keep", start, start + keep),
                    Pass(shard, worker, "finish", start + keep, stop),
                ]
            else:
                found.append(Pass(shard, worker, "keep" if stop - start < 1.1 * keep else "through", start, stop))
    assert [layout.owner(Place(0, one.shard)) for one in found] == [one.worker for one in found]
    return found, outcome.seconds


def draw() -> str:
    """The drawing."""
    found, seconds = passes()
    canvas = Canvas(
        448,
        f"{SHARDS} shards over {WORKERS} workers in {SHARDS // WORKERS} waves; carries pass from shard to shard while "
        "workers scan ahead from zero",
    )
    canvas.text(28, 34, "Shards go to workers in turn; carries pass from each to the next", "title")
    _archive(canvas)
    _workers(canvas, found, seconds)
    notes = (
        ("orange", "from zero", "its carry is not here yet: scanned ahead"),
        ("green", "finished", "the carry has come, its part is added"),
        ("blue", "in one pass", "the carry was here already"),
        ("purple", "a carry", "leaves a shard and enters the next"),
    )
    for number, (kind, name, told) in enumerate(notes):
        x, y = 28 + 414 * (number % 2), 384 + 22 * (number // 2)
        if kind == "purple":
            canvas.arrow((x, y - 4), (x + 22, y - 4), kind)
        else:
            canvas.box(x, y - 12, 22, 15, kind)
        canvas.text(x + 30, y, name, f"small bold {kind}")
        canvas.text(x + 120, y, told, "small soft")
    told = f"simulated: shards of {readable(FRAMES)}, carries of {readable(CARRY)}; rates as measured on one core"
    canvas.text(28, 432, f"{told}, reading and writing left out", "small soft")
    return canvas.svg()


def _archive(canvas: Canvas) -> None:
    """The shards in the order of the archive's time, with their workers and waves."""
    width, layout = (RIGHT - LEFT) / SHARDS, in_time([SHARDS], WORKERS)
    canvas.text(28, 92, "archive", "bold")
    for shard in range(SHARDS):
        x, place = LEFT + shard * width, Place(0, shard)
        canvas.box(x + 2, 74, width - 4, 40, "grey")
        canvas.text(x + width / 2, 91, str(shard), "bold small", "middle")
        canvas.text(x + width / 2, 107, f"worker {layout.owner(place)}", "tiny soft", "middle")
        if layout.wave(place)[0] == place:
            end = x + len(layout.wave(place)) * width
            canvas.line([(x + 3, 68), (x + 3, 63), (end - 3, 63), (end - 3, 68)], "thin")
            canvas.text((x + end) / 2, 58, f"wave {shard // WORKERS}", "small soft", "middle")
    canvas.arrow((LEFT, 128), (RIGHT, 128))
    canvas.text(RIGHT, 145, "time of the frames", "small soft", "end")


def _workers(canvas: Canvas, found: list[Pass], seconds: float) -> None:
    """What each worker does, and when."""
    scale = (RIGHT - LEFT) / seconds
    kinds = {"keep": "orange", "finish": "green", "through": "blue"}
    for worker in range(WORKERS):
        canvas.text(28, TOP + worker * ROW + 24, f"worker {worker}", "bold")
    for one in found:
        x, y = LEFT + one.start * scale, TOP + one.worker * ROW
        canvas.box(x + 0.75, y, (one.stop - one.start) * scale - 1.5, 38, kinds[one.what])
        canvas.text(
            x + (one.stop - one.start) * scale / 2, y + 24, str(one.shard), f"small bold {kinds[one.what]}", "middle"
        )
    entered = {one.shard: one for one in found if one.what != "keep"}
    for shard in range(SHARDS - 1):
        gives, takes = entered[shard], entered[shard + 1]
        down = takes.worker > gives.worker
        start = LEFT + gives.left * scale, TOP + gives.worker * ROW + (38 if down else 0)
        end = LEFT + takes.start * scale, TOP + takes.worker * ROW + (0 if down else 38)
        canvas.arrow(start, end, "purple")
    bottom = TOP + WORKERS * ROW
    canvas.arrow((LEFT, bottom), (RIGHT, bottom))
    for tenth in range(int(10 * seconds) + 1):
        canvas.line([(LEFT + tenth / 10 * scale, bottom - 3), (LEFT + tenth / 10 * scale, bottom + 3)], "thin")
        canvas.text(LEFT + tenth / 10 * scale, bottom + 18, f"{100 * tenth}", "small soft", "middle")
    canvas.text(RIGHT, bottom + 36, "milliseconds on the clock", "small soft", "end")
