"""A span of a forecast that exists, computed again alone: from the carry that enters it, without what lies before.

For a part of a prediction that is to be looked at closely, or that was damaged. Written in place, with the same bits.
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from pipeline.carried import CarryIndex
from pipeline.forecast import ShardWorker, Strand
from pipeline.infer import InferJob
from pipeline.period import frames_between
from pipeline.storage import arrays, store
from pipeline.times import in_words
from pipeline.volume import InputError
from ssm_ops.carry import Place


class SpanLedger:
    """Which shards of a span are done; it ends with the process, and nothing else of the run changes."""

    def __init__(self, done: list[int]):
        self._done: list[int] = list(done)
        self._early: set[tuple[int, int]] = set()

    exchange = None

    def keep_exchange(self, name: str) -> None:
        del name

    def done(self) -> list[int]:
        return list(self._done)

    def flush(self) -> None:
        pass

    def commit(self, strand: int, index: int) -> None:
        self._early.add((strand, index))
        while (strand, self._done[strand]) in self._early:
            self._done[strand] += 1


class SpanJob:
    """The shards of a forecast that hold what is for `first` to `last`, computed again.

    Args:
        whole: The forecast.
        first, last: Years or ISO dates (numbers, where there are none), both included, of the times that forecasts are
            for.

    Raises:
        InputError: There is no prediction, it has no forecast for that time, or the carry that enters is not stored.
    """

    def __init__(self, whole: InferJob, first: int | str, last: int | str):
        self.whole, self.threads, self.states, self.work = whole, whole.threads, whole.states, whole.work
        self.frame_bytes, self.parts, self.extents = whole.frame_bytes, whole.parts, whole.extents
        if not arrays.is_store(whole.prediction):
            raise InputError(f"{whole.prediction} is not there; run the recipe first, without --from and --to")
        spans, known = [], []
        for strand in whole.strands:
            times = store.open_volume(strand.forecast).indexes["time"]
            start, stop = frames_between(times, first, last)
            known.append(f"those of series {strand.series} are for {times[0]} to {times[-1]}")
            held = [
                shard.index for shard in strand.shards if shard.start < stop and start < shard.stop and start < stop
            ]
            spans.append((held[0], held[-1] + 1) if held else (0, 0))
            if held:
                self._refuse_no_carry(strand, held[0], times)
        if not any(stop for _, stop in spans):
            raise InputError(f"no forecast is for {first}..{last}; {', '.join(known)}")
        self.spans, self.lengths = spans, [stop for _, stop in spans]
        self.most = sum(stop - first for first, stop in spans)
        self.ledger = SpanLedger([first for first, _ in spans])

    def _refuse_no_carry(self, strand: Strand, index: int, times: pd.Index) -> None:
        stored, shards = CarryIndex(self.whole.index), strand.shards
        if not stored.has(strand.name, index):
            before = next(earlier for earlier in range(index, -1, -1) if stored.has(strand.name, earlier))
            raise InputError(
                f"the carry that enters shard {index} of series {strand.series}, at frame {shards[index].start}, is "
                f"not in {self.whole.index}; the nearest one before enters shard {before}: begin with --from "
                f"{in_words(times[shards[before].start])}, or finish the run without --from and --to"
            )

    def worker(self) -> partial[ShardWorker]:
        """A picklable call that makes a worker of this job, wherever it runs."""
        return partial(self.whole.worker(), again=True)

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return self.whole.describe(place)

    def told(self) -> str:
        """What is computed again, in words."""
        parts = []
        for strand, (first, stop) in zip(self.whole.strands, self.spans, strict=True):
            if stop > first:
                start, end = strand.shards[first].start, strand.shards[stop - 1].stop
                parts.append(f"frames {start} to {end - 1} of {strand.shards[-1].stop} of series {strand.series}")
        return f"computing again {', '.join(parts)}; nothing before them is read"
