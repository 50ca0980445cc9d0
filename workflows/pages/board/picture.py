"""A picture of any number of shards: cells in rows of workers and columns of time, several shards a cell where there
are too many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workflows.pages.board.grid import NOBODY, Grid
from workflows.pages.board.states import PARTLY, WORDS, State

COLUMNS, CELLS = 240, 8000
"""Cells in a row, and in all of a picture, at most."""

ROWS = 72
"""Rows, about, at most."""

ACTIVE = (State.COMPUTING, State.WAITING, State.WRITING)
"""A cell of several shards has the colour of the first of these that one of them has."""


@dataclass(frozen=True)
class Row:
    """A row of cells.

    Attributes:
        label: In words.
        strands: [first, stop).
        workers: The owners whose shards are in it, [first, stop); `None`: all shards of the strands.
        y: Where its middle lies, from above.
    """

    label: str
    strands: tuple[int, int]
    workers: tuple[int, int] | None
    y: float


@dataclass(frozen=True)
class Picture:
    """Which cells there are. They stay until shards are divided again; `counts` tells what is in them.

    Attributes:
        rows: From above.
        step: Shards of a strand in a cell.
        row, column: Of each cell; int, (cell,).
        cell_of: The cells of each shard, in the row of its worker and in that of its strand, -1 without: int,
            (2, shard).
        extents: What each cell is of, in words.
    """

    rows: tuple[Row, ...]
    step: int
    row: np.ndarray
    column: np.ndarray
    cell_of: np.ndarray
    extents: tuple[str, ...]

    @property
    def binned(self) -> str:
        """How much is in a cell or a row, in words; empty where each shard has a cell of its own."""
        told = [f"{self.step} shards a cell"] if self.step > 1 else []
        strands = max(row.strands[1] - row.strands[0] for row in self.rows)
        workers = max((row.workers[1] - row.workers[0] for row in self.rows if row.workers), default=1)
        told += [f"{strands} strands a row"] if strands > 1 else []
        told += [f"{workers} workers a row"] if workers > 1 else []
        return ", ".join(told)

    def counts(self, grid: Grid) -> np.ndarray:
        """How many shards of each cell are in each `State`: int, (cell, state)."""
        keys = self.cell_of * len(State) + grid.state
        found = np.bincount(keys[self.cell_of >= 0], minlength=len(self.row) * len(State))
        return found.reshape(len(self.row), len(State))

    def told(self, grid: Grid, counts: np.ndarray, cells: np.ndarray) -> list[str]:
        """What some cells show, in words."""
        owner = np.full(len(self.row), NOBODY)
        for numbers in self.cell_of:
            owner[numbers[numbers >= 0]] = grid.owner[numbers >= 0]
        told = []
        for cell in cells:
            states = [State(state) for state in np.flatnonzero(counts[cell])]
            if counts[cell].sum() > 1:
                told.append(", ".join(f"{counts[cell, state]} {WORDS[state]}" for state in states))
            else:
                by = f", worker {owner[cell]}" if owner[cell] != NOBODY else ""
                told.append(WORDS[states[0]] + by)
        return told


def states(counts: np.ndarray) -> np.ndarray:
    """What cells are shown as, of how many shards are in each state: numbers of a `State` or `PARTLY`; int, (cell,)."""
    found = np.full(len(counts), PARTLY)
    none_left = counts[:, State.AHEAD] == 0
    found[none_left] = np.where(counts[none_left, State.DONE] > 0, State.DONE, State.BEFORE)
    found[counts[:, State.AHEAD] == counts.sum(axis=1)] = State.AHEAD
    for state in reversed(ACTIVE):
        found[counts[:, state] > 0] = state
    return found


def picture(grid: Grid) -> Picture:
    """The cells of a grid."""
    rows = rows_of(grid)
    columns = min(COLUMNS, CELLS // len(rows))
    step = max(1, -(-max(grid.lengths, default=1) // columns))
    strand = np.repeat(np.arange(len(grid.lengths)), grid.lengths)
    index = np.arange(len(strand)) - grid.starts[strand]
    column = index // step
    width = int(column.max(initial=0)) + 1
    keys = np.full((2, len(strand)), -1)
    for number, row in enumerate(rows):
        begin, end = grid.starts[row.strands[0]], grid.starts[row.strands[1]]
        part, which = slice(begin, end), 1
        inside = np.ones(end - begin, bool)
        if row.workers is not None:
            which, owners = 0, grid.owner[part]
            inside = (owners >= row.workers[0]) & (owners < row.workers[1])
        keys[which, part] = np.where(inside, number * width + column[part], keys[which, part])
    cells, places = np.unique(keys, return_inverse=True)
    places = places.reshape(keys.shape)
    if cells[:1] == -1:
        cells, places = cells[1:], places - 1
    extents = _extents(grid, rows, cells // width, cells % width, step)
    return Picture(rows, step, cells // width, cells % width, places, extents)


def rows_of(grid: Grid) -> tuple[Row, ...]:
    """For each strand a row of all its shards and, where several workers own them, beneath it one for each. Where they
    would be more than about `ROWS`, several workers share a row, then each strand has one, then several share it."""
    strands = len(grid.lengths)
    room = ROWS // strands
    rows, y = [], 0.0
    if room == 0:
        size = -(-strands // ROWS)
        for first in range(0, strands, size):
            stop = min(first + size, strands)
            rows.append(Row(f"{grid.names[first]} to {grid.names[stop - 1]}", (first, stop), None, y))
            y += 1
        return tuple(rows)
    for strand, name in enumerate(grid.names):
        owners = np.unique(grid.owner[grid.starts[strand] : grid.starts[strand + 1]])
        owners = owners[owners != NOBODY]
        alone = f"{name} · worker {owners[0]}" if len(owners) == 1 else name
        rows.append(Row(alone, (strand, strand + 1), None, y))
        y += 1
        if len(owners) > 1 and room > 1:
            size = -(-len(owners) // (room - 1))
            y += 0.3
            for first in range(0, len(owners), size):
                of = owners[first : first + size]
                label = f"worker {of[0]}" if len(of) == 1 else f"workers {of[0]} to {of[-1]}"
                rows.append(Row(label, (strand, strand + 1), (int(of[0]), int(of[-1]) + 1), y))
                y += 1
            y += 0.5
    return tuple(rows)


def fronts(picture: Picture, grid: Grid) -> list[tuple[float, float, float]]:
    """Where the carry front of each strand that has a row of its own lies, in shards, and from which y to which it is
    drawn. Strands that are done have none."""
    found = []
    for strand, front in enumerate(grid.fronts()):
        ys = [row.y for row in picture.rows if row.strands == (strand, strand + 1)]
        if ys and front < grid.lengths[strand]:
            found.append((float(front), min(ys) - 0.5, max(ys) + 0.5))
    return found


def _extents(grid: Grid, rows: tuple[Row, ...], row: np.ndarray, column: np.ndarray, step: int) -> tuple[str, ...]:
    told = []
    for number, place in zip(row, column, strict=True):
        first, stop = rows[number].strands
        index = int(place) * step
        last = min(index + step, max(grid.lengths[first:stop])) - 1
        if stop - first > 1:
            shards = f"shard {index}" if last == index else f"shards {index} to {last}"
            told.append(f"{shards} of {rows[number].label}")
        else:
            told.append(f"{grid.names[first]}: {grid.extent(first, index, last)}")
    return tuple(told)
