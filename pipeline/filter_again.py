"""Shards of a finished scan, again: each from the carry that enters it, without what lies before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.filter import FilterJob
from pipeline.filter_worker import FilterWorker
from pipeline.sequence import FilterSettings
from pipeline.stream import PATIENCE
from pipeline.volume import InputError
from ssm_ops.carry import Place


def scan_again(path: Path, made: Path, origin: dict[str, Any], spans: Collection[tuple[int, int]]) -> None:
    """Makes a store `made` like the result at `path`, with the shards that hold some spans of frames alone.

    Raises:
        InputError: The input is not there or not what it was, or the carry that enters is not stored.
    """
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in origin["settings"].items()}
    job = FilterJob(FilterSettings(**given), Path(origin["source"]), path, memory=float("inf"))
    job.create(made)
    shutil.copytree(path / "carry", made / "carry", copy_function=os.link)
    sequence = replace(job.sequence, output=made.parent, earlier=None, kept=0)
    wanted = [shard for shard in sequence.shards if any(a < shard.stop and shard.start < b for a, b in spans)]
    places = [Place(strand, shard.index) for shard in wanted for strand in range(len(sequence.parts))]
    worker = FilterWorker(sequence)
    try:
        worker.expect(places)
        for place in places:
            _walk(worker, place)
    finally:
        worker.close()


def _walk(worker: FilterWorker, place: Place) -> None:
    """One shard, with the carry that enters it at hand."""
    try:
        carry = worker.entering_carry(place, 0)
    except FileNotFoundError as error:
        raise InputError(f"{error}: the carry that enters {worker.describe(place)} is lost; scan anew") from error
    program = worker.program(place)
    next(program)
    program.send(carry)
    try:
        program.send(carry)
    except StopIteration as done:
        done.value(PATIENCE)
