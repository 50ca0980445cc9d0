"""What can be said of a shard and of a stage: names, words and colours, the same everywhere.

The hues are those of Okabe and Ito (2008), which people who see colours differently tell apart.
"""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """Of a shard."""

    AHEAD = 0
    BEFORE = 1
    DONE = 2
    COMPUTING = 3
    WAITING = 4
    WRITING = 5

    @property
    def active(self) -> bool:
        """Whether a worker has begun it, and it is not committed."""
        return self >= State.COMPUTING


BY_NAME = {state.name.lower(): state for state in State if state >= State.DONE}
"""States by what the log calls them."""

PARTLY = len(State)
"""Of several shards in one cell: some done, none worked on."""

WORDS = {
    State.AHEAD: "to do",
    State.BEFORE: "done before",
    State.DONE: "done",
    State.COMPUTING: "computing",
    State.WAITING: "waiting for a carry",
    State.WRITING: "writing",
    PARTLY: "partly done",
}

GREEN, PALE_GREEN, ORANGE, YELLOW, BLUE, RED = "#009e73", "#8fd0bb", "#e69f00", "#f0e442", "#56b4e9", "#d55e00"
GREY, DARK = "#e3e6e8", "#0072b2"

COLOURS = {
    State.AHEAD: GREY,
    State.BEFORE: PALE_GREEN,
    State.DONE: GREEN,
    State.COMPUTING: ORANGE,
    State.WAITING: YELLOW,
    State.WRITING: BLUE,
    PARTLY: "#c3dfd6",
}
