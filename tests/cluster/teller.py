"""A worker's owner whose states are strings: they do not commute, so a wrong order shows at once."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import in_time, lay_out
from ssm_ops.carry import ASK, LATER


@dataclass(frozen=True)
class Say:
    """The map `state -> state + word`, or, if it forgets, `state -> word`."""

    word: str
    forgets: bool = False

    @property
    def nbytes(self):
        return 10

    def __call__(self, carry):
        return Carried(("" if carry is None or self.forgets else carry.word) + self.word)

    def then(self, later):
        return later if later.forgets else Say(self.word + later.word, self.forgets)


@dataclass(frozen=True)
class Carried:
    """A state of ten bytes, whatever it says."""

    word: str
    nbytes: int = 10


class Teller:
    """Two exchange points a shard; writes what entered each into a file, as the forecast does with its frames."""

    def __init__(self, folder, asks=True, fault=None):
        self.folder, self.asks, self.fault = folder, asks, fault

    def expect(self, places):
        self.places = places

    def program(self, place):
        self.meet("begin", place)
        entered = []
        for letter in "ab":
            word = Say(f"{letter}{place.strand}.{place.index} ", forgets=letter == "b" and place.index % 5 == 3)
            carry = (yield ASK) if self.asks else LATER
            if carry is LATER:
                carry = yield word
            else:
                assert (yield word) is carry
            self.meet(letter, place)
            entered.append((carry, word(carry)))
        (self.folder / f"{place.strand}-{place.index}").write_text(
            "|".join(carry.word if carry else "" for carry, _ in entered)
        )
        self.entering(place.strand, place.index + 1).write_text("|".join(left.word for _, left in entered))
        self.meet("written", place)
        return lambda _: os.getpid()

    def entering(self, strand, index):
        return self.folder / f"entering-{strand}-{index}"

    def entering_carry(self, place, point):
        if place.index == 0:
            return None
        return Carried(self.entering(place.strand, place.index).read_text().split("|")[point])

    def adopt(self, summary, point):
        del point
        return summary

    def describe(self, place):
        return f"shard {place.index} of {place.strand}"

    def report(self):
        return "told"

    def meet(self, phase, place):
        if self.fault is not None:
            self.fault(phase, place)

    def close(self):
        pass


@dataclass
class Telling:
    """A job of tellers."""

    folder: Path
    lengths: tuple[int, ...]
    together: bool = False
    asks: bool = True
    fault: object = None
    most: int = 9
    threads: int = 1
    states: tuple[int, ...] = (10, 10)
    work: float = 0.0

    def worker(self):
        return lambda: Teller(self.folder, self.asks, self.fault)

    def layout(self, workers):
        done = [self.finished(strand) for strand in range(len(self.lengths))]
        return (in_time if self.together else lay_out)(self.lengths, workers, done=done)

    def finished(self, strand):
        done = 0
        while (self.folder / f"done-{strand}-{done}").exists():
            done += 1
        return done

    def commit(self, place):
        (self.folder / f"done-{place.strand}-{place.index}").write_text("")

    def told(self):
        return {path.name: path.read_text() for path in self.folder.glob("[0-9]*-[0-9]*")}

    def expected(self):
        """What one worker after the other would have told."""
        found = {}
        for strand, length in enumerate(self.lengths):
            carries = [None, None]
            for index in range(length):
                found[f"{strand}-{index}"] = "|".join(carry.word if carry else "" for carry in carries)
                carries = [
                    Say(f"{letter}{strand}.{index} ", forgets=letter == "b" and index % 5 == 3)(carry)
                    for letter, carry in zip("ab", carries, strict=True)
                ]
        return found


class FaultOnce:
    """Does something to the worker that comes to a phase of a shard, the first time that any does."""

    def __init__(self, folder, phase, place, deed):
        self.mark, self.phase, self.place, self.deed = folder / "fault", phase, place, deed

    def __call__(self, phase, place):
        if (phase, place) == (self.phase, self.place):
            try:
                self.mark.touch(exist_ok=False)
            except FileExistsError:
                return
            self.deed()


def vanish():
    os._exit(1)


def hang():
    time.sleep(3600)
