"""What the page says in words and small tables, as HTML; whatever comes from a log is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from jinja2 import Environment

from cluster.cost import readable
from pipeline.stream import RETRIES
from workflows.display import ACTIVITIES
from workflows.pages.board.grid import Grid
from workflows.pages.board.history import History
from workflows.pages.board.standing import ACTIVITY_COLOURS, STATUS_COLOURS, Process, Stage, Standing, Status
from workflows.pages.board.states import COLOURS, GREY, PARTLY, RED, WORDS, State
from workflows.pages.board.verdict import Verdict, left, steps
from workflows.pages.board.words import clock, counted, duration

WORKERS = 256
"""Rows of the table of workers, at most."""

_environment = Environment(autoescape=True)

STYLE = f"""
.bk-clearfix {{ width: 100%; }}
.pill {{ display: inline-block; padding: 1px 11px; border-radius: 10px; color: #fff; font-size: 13px; }}
.square {{ display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 6px -1px 0; }}
.trouble {{ color: {RED}; font-weight: 600; margin-top: 3px; }}
.bar {{ display: flex; height: 10px; background: {GREY}; border-radius: 2px; overflow: hidden; }}
.facts {{ display: flex; flex-wrap: wrap; gap: 4px 24px; margin-top: 8px; font-variant-numeric: tabular-nums; }}
.facts b {{ font-size: 17px; font-weight: 600; display: block; }}
.facts .wrong b {{ color: {RED}; }}
.legend span {{ margin-right: 16px; white-space: nowrap; }}
.tail {{ height: 250px; overflow-y: auto; display: flex; flex-direction: column-reverse;
  font-size: 12.5px; line-height: 1.5; font-variant-numeric: tabular-nums; border-top: 1px solid #dfe2e5; }}
.tail > div {{ margin-bottom: auto; }}
.tail div div {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.scrolled {{ max-height: 250px; overflow-y: auto; border-top: 1px solid #dfe2e5; }}
table.whole {{ width: 100%; }}
th {{ font-size: 12px; color: #6b7278; text-align: left; padding: 2px 14px 2px 0; white-space: nowrap; }}
td {{ white-space: nowrap; }}
td.wide {{ white-space: normal; width: 32%; }}
td.right, th.right {{ text-align: right; }}
tr.now td:not(.wide) {{ font-weight: 600; }}
h2 {{ font-size: 13px; font-weight: 600; margin: 0 0 4px; }}
"""

HEADING = _environment.from_string("""
<h1>{{ run }} <span class="pill" style="background: {{ verdict.colour }}">{{ verdict.word }}</span></h1>
<p style="font-size: 16px">{{ verdict.sentence }}</p>
<p class="faint">{{ command }}{% if where %} · {{ where }}{% endif %}{% if host %} · process {{ pid }} of {{ host }}
{%- endif %}</p>
{% for trouble in verdict.troubles %}<p class="trouble">{{ trouble }}</p>{% endfor %}
""")

STAGES = _environment.from_string("""
<table class="whole"><tr><th>stage<th><th style="width: 30%"><th class="right">steps<th class="right">took
<th class="right">left<th class="right">peak memory<th></tr>
{% for s in stages %}<tr{% if s.now %} class="now"{% endif %}>
<td>{{ s.name }}<td class="faint">{{ s.kind }}
<td><div class="bar"><div style="width: {{ s.share }}%; background: {{ s.colour }}"></div></div>
{% for number in (s.steps, s.took, s.left, s.peak) %}<td class="right">{{ number }}{% endfor %}
<td class="wide faint">{{ s.note }}</tr>{% endfor %}</table>
""")

FACTS = _environment.from_string("""
<div class="facts">{% for name, value, wrong in facts %}
<div{% if wrong %} class="wrong"{% endif %}><b>{{ value }}</b><span class="faint">{{ name }}</span></div>
{%- endfor %}</div>
""")

LEGEND = _environment.from_string("""
<div class="legend">{% for word, colour in keys %}
<span><i class="square" style="background: {{ colour }}"></i>{{ word }}</span>{% endfor %}
<span><i class="square" style="width: 0; border-left: 3px solid #2b2f33; border-radius: 0"></i>carry front</span></div>
""")

PROCESSES = _environment.from_string("""
<h2>{{ title }}</h2><div class="scrolled"><table class="whole">
<tr><th>process<th>works on<th class="right">done<th class="right">memory<th class="right">sent
<th style="width: 22%">its time</tr>
{% for p in processes %}<tr><td>{{ p.name }}
<td>{% for colour, words in p.hands %}
<div><i class="square" style="background: {{ colour }}"></i>{{ words }}</div>{% endfor %}
<td class="right">{{ p.done }}<td class="right">{{ p.memory }}<td class="right">{{ p.sent }}
<td><div class="bar" title="{{ p.spent }}">{% for share, colour in p.shares %}
<div style="width: {{ share }}%; background: {{ colour }}"></div>{% endfor %}</div></tr>{% endfor %}</table></div>
{% if more %}<p class="faint">{{ more }}</p>{% endif %}
<p class="legend faint">{% for word, colour in keys %}
<span><i class="square" style="background: {{ colour }}"></i>{{ word }}</span>{% endfor %}</p>
""")

TAIL = _environment.from_string("""
<h2>Log</h2><div class="tail"><div>{% for line in lines %}
<div{% if line.wrong %} class="trouble"{% endif %}><span class="faint">{{ clock(line.at) }}</span> {{ line.text }}</div>
{%- endfor %}</div></div>
""")


def heading(standing: Standing, found: Verdict) -> str:
    """Which run, whether it goes on, and what is wrong."""
    known = {name: getattr(standing, name) for name in ("run", "command", "where", "host", "pid")}
    return HEADING.render(verdict=found, **known)


def stages(standing: Standing, history: History, time: float, chosen: str) -> str:
    """A table of all stages."""
    return STAGES.render(stages=[_stage(one, history, time, chosen) for one in standing.stages.values()])


def _stage(stage: Stage, history: History, time: float, chosen: str) -> dict[str, Any]:
    over = stage.status in (Status.DONE, Status.BEFORE)
    rest, unfinished = left(stage, history, time), stage.status in (Status.AHEAD, Status.RUNNING)
    took = stage.seconds if stage.seconds is not None else stage.begun and (stage.ended or time) - stage.begun
    note = stage.note if stage.status in (Status.RUNNING, Status.STOPPED) else ""
    return {
        "name": stage.name,
        "kind": stage.kind,
        "now": stage.name == chosen,
        "share": 100 if over else round(100 * stage.done / stage.total, 1) if stage.total else 0,
        "colour": STATUS_COLOURS[stage.status],
        "steps": steps(stage) if stage.total and not over else "",
        "took": duration(took) if took is not None else "",
        "left": "" if rest is None or not unfinished else duration(rest),
        "peak": " of ".join(readable(size) for size in (stage.peak, stage.bound) if size),
        "note": note or ("" if stage.status is Status.RUNNING else stage.status),
    }


def facts(stage: Stage | None, history: History, time: float) -> str:
    """The numbers of the stage that is looked at."""
    told: list[tuple[str, str, bool]] = []
    if stage is not None:
        rest = left(stage, history, time)
        told += [("left, about", duration(rest), False)] if rest is not None and stage.status is Status.RUNNING else []
        told += _rates(stage, history, time)
        memory = sum(one.resident for one in stage.processes.values())
        told += [("memory of all", readable(memory), False)] if memory else []
        told += [("largest process, peak", readable(stage.peak), False)] if stage.peak else []
        if stage.grid:
            told.append(("workers", str(stage.grid.workers), False))
            moved, when = (stage.moved, "moved") if stage.moved else (stage.to_move, "to move")
            told += [(f"{when} by {stage.exchange}", readable(moved), False)] if moved else []
        if stage.grid or stage.losses:
            told.append(("losses", str(len(stage.losses)), bool(stage.losses)))
            told.append(("begun again", str(stage.again), bool(stage.again)))
        known = [one.seconds for one in stage.processes.values() if one.seconds] or [stage.shares]
        if retries := round(sum(one.get(RETRIES, 0.0) for one in known)):
            told.append(("stores tried again", str(retries), True))
    return FACTS.render(facts=told)


def _rates(stage: Stage, history: History, time: float) -> list[tuple[str, str, bool]]:
    marks = history.marks.get(stage.name)
    found = marks.rate(time) if marks and stage.status is Status.RUNNING else None
    if found is None:
        return []
    made, frames, size = found
    if not frames:
        return [("steps/s", f"{made:.3g}", False)]
    return [("frames/s", f"{frames:.3g}", False), ("read", f"{readable(size)}/s", False)]


def without_shards(stage: Stage | None) -> str:
    """What is said where there is no grid."""
    if stage is None:
        return ""
    if stage.status is Status.BEFORE:
        return escape(f"{stage.name} was finished before: nothing is told of it in this execution")
    yet = " yet" if stage.status in (Status.AHEAD, Status.RUNNING) else ""
    return escape(f"{stage.name} ({stage.kind}) is not divided into shards{yet}")


def legend(*, binned: bool) -> str:
    """The colours of shards."""
    return LEGEND.render(keys=[(WORDS[state], COLOURS[state]) for state in (*State, *((PARTLY,) if binned else ()))])


def processes(stage: Stage) -> str:
    """What each process does, and takes."""
    hands, done = (stage.grid.hands(), stage.grid.done_by()) if stage.grid else ({}, {})
    known = dict(sorted(stage.processes.items(), key=lambda item: _number(item[0])))
    for worker in range(stage.grid.workers if stage.grid else 0):
        known.setdefault(f"worker {worker}", Process())
    rows = []
    for name, process in list(known.items())[:WORKERS]:
        number = _number(name)
        rows.append(
            {
                "name": name,
                "hands": [_hand(stage.grid, hand) for hand in hands.get(number, ())] or _idle(process),
                "done": done.get(number, 0) if number >= 0 else "",
                "memory": readable(process.resident) if process.resident else "",
                "sent": readable(process.sent) if process.sent is not None else "",
                **_spent(process.seconds or (stage.shares if len(known) == 1 or name == "worker" else {})),
            }
        )
    more = f"{counted(len(known) - WORKERS, 'more worker')} not shown" if len(known) > WORKERS else ""
    used = {colour for one in rows for _, colour in one["shares"]}
    keys = [(word, colour) for word, colour in ACTIVITY_COLOURS.items() if colour in used]
    return PROCESSES.render(title=f"Processes of {stage.name}", processes=rows, more=more, keys=keys)


def _number(name: str) -> int:
    """Of a worker; -1 for the driver and a stage's only worker."""
    return int(name.removeprefix("worker ")) if name.startswith("worker ") else -1


def _hand(grid: Grid, hand: tuple[State, int, int]) -> tuple[str, str]:
    state, strand, index = hand
    return COLOURS[state], f"{WORDS[state]}: {grid.names[strand]}, {grid.extent(strand, index, index)}"


def _idle(process: Process) -> list[tuple[str, str]]:
    return [(COLOURS[State.DONE], "has done all its shards")] if process.sent is not None else []


def _spent(seconds: Mapping[str, float]) -> dict[str, Any]:
    """What a process did of its time. Some go on side by side: then the bar is divided by their sum."""
    whole = seconds.get("all", 0.0)
    spent = {word: seconds[name] for name, word in ACTIVITIES.items() if seconds.get(name)}
    scale = max(whole, sum(spent.values()))
    if not whole or not scale:
        return {"shares": [], "spent": ""}
    return {
        "shares": [(round(100 * one / scale, 1), ACTIVITY_COLOURS[word]) for word, one in spent.items()],
        "spent": ", ".join(f"{word} {one / whole:.0%}" for word, one in spent.items()),
    }


def tail(standing: Standing) -> str:
    """What was told, the newest at the end, which is what is seen first."""
    return TAIL.render(lines=standing.tail, clock=clock)
