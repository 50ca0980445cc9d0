"""A finished scan whose input has grown: what it must be to be continued, and what is taken from it.

The longer result is made beside it: whole chunks and carries are the same files under second names, and so neither
written nor read; from the carry at the last border of shards on the scan goes on. Then the two change places. Until
then the finished one is there as it was.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.carried import CarryIndex, digest
from pipeline.sequence import FilterSettings, Sequence4D, run_starts
from pipeline.storage import arrays, store
from pipeline.storage.atomic import write_text
from pipeline.volume import AXES, DATA, InputError

ANEW = "remove it to scan anew, or choose another name for this result"


class Earlier:
    """A finished scan.

    Args:
        path: The store.
        settings: Those that are asked for now.
        version: The scan's, now.

    Attributes:
        frames: How many it has.
        plan: How time and channels were cut.

    Raises:
        InputError: It is none, or has other settings, or is of another version.
    """

    def __init__(self, path: Path, settings: FilterSettings, version: int):
        self.path, self.settings = path, settings
        attributes = arrays.read_attributes(path) if arrays.is_store(path) else {}
        if "chronovox_scan" not in attributes:
            raise InputError(f"{path} is there already, and is no result of a scan; remove it, or choose another name")
        if "chronovox_plan" not in attributes:
            raise InputError(f"{path} was made by a version that kept no plan to go on from; {ANEW}")
        self.plan = json.loads(attributes["chronovox_plan"])
        if self.plan.get("version") != version:  # whose settings may mean something else
            raise InputError(f"{path} has the scan's version {self.plan.get('version')}, now it is {version}; {ANEW}")
        made, asked = json.loads(attributes["chronovox_scan"]), json.loads(json.dumps(asdict(settings)))
        for name in sorted(made.keys() | asked.keys()):
            if made.get(name) != asked.get(name):
                raise InputError(
                    f"{path} is there already, scanned with {name} {made.get(name)}, now {name} is {asked.get(name)}; "
                    f"{ANEW}"
                )
        self.volume = store.open_undecoded(path)
        self.frames: int = self.volume.sizes["time"]

    def refuse_misfit(self, volume: xr.Dataset, sequence: Sequence4D, plan: dict) -> None:
        """Refuses an input that is not the one that was scanned, and more.

        Raises:
            InputError: Its frames are fewer, or of another shape or type; the times, the unit of time or the boundary
                are others; the last frame that was scanned is another; its frames belong to other runs.
        """
        shapes = tuple(self.volume.sizes[axis] for axis in AXES[1:]), sequence.shape[1:]
        for what, (made, asked) in {
            "frames of the shape": shapes,
            "states of type": (str(self.volume[DATA].dtype), sequence.dtype),
            **{name: (self.plan[name], plan[name]) for name in ("boundary", "unit", "shortest")},
        }.items():
            if made != asked and not (what == "shortest" and sequence.tolerance == 0):
                raise InputError(f"{self.path} has {WORDS.get(what, what)} {made}, the input now {asked}; {ANEW}")
        if sequence.shape[0] < self.frames:
            raise InputError(
                f"{self.path} has {self.frames} frames, the input only {sequence.shape[0]}; give the input that it was "
                f"made from, or more of it, or {ANEW}"
            )
        self._refuse_other_times(volume)
        if not self.settings.join_runs:
            self._refuse_other_runs(volume)
        last = -(-self.frames // self.plan["length"])
        for strand, part in enumerate(sequence.parts):
            frame = store.read_frames(sequence.source, None, self.frames - 1, self.frames, part)
            known = CarryIndex(self.path / "carry").last_frame(sequence.name(strand), last)
            found = digest(sequence.as_scanned(frame)[0])
            if known != found:
                raise InputError(
                    f"frame {self.frames - 1} of {sequence.source} is not the one that {self.path} ends with: its "
                    f"digest is {found.hex()[:12]}, scanned was {known.hex()[:12]}; give the input that it was made "
                    f"from, or {ANEW}"
                )

    def _refuse_other_times(self, volume: xr.Dataset) -> None:
        if ("time" in volume.coords) != ("time" in self.volume.coords):
            raise InputError(f"of {self.path} and the input only one has times; {ANEW}")
        if "time" not in volume.coords:
            return
        made, asked = (v["time"].values[: self.frames] for v in (self.volume, volume))
        kinds = tuple(v["time"].attrs.get("units") for v in (self.volume, volume))
        other = np.flatnonzero(made != asked)
        if len(other) or kinds[0] != kinds[1]:
            frame = int(other[0]) if len(other) else 0
            raise InputError(
                f"frame {frame} of {self.path} is at time {made[frame]} {kinds[0] or ''}, "
                f"of the input at {asked[frame]} {kinds[1] or ''}; {ANEW}"
            )

    def _refuse_other_runs(self, volume: xr.Dataset) -> None:
        made, asked = (set(run_starts(v).tolist()) for v in (self.volume, volume))
        other = sorted(frame for frame in made ^ asked if frame < self.frames)
        if other:
            begins = "begins a run" if other[0] in made else "goes on with a run"
            raise InputError(f"frame {other[0]} of {self.path} {begins}, of the input it does not; {ANEW}")

    def hand_over(self, sequence: Sequence4D, names: list[str], ledger: Path) -> None:
        """Whole chunks, the carries that enter whole shards, and how many of those there are."""
        store.link_chunks(self.path, sequence.data, self.frames)
        whole = self.frames // self.plan["length"]
        earlier, index = CarryIndex(self.path / "carry"), CarryIndex(sequence.data / "carry")
        for name in names:
            index.take_over(earlier, name, whole + 1, len(sequence.shards))
        write_text(ledger, json.dumps(dict.fromkeys(names, whole)) + "\n")


WORDS = {
    "unit": "a median step of time of",
    "shortest": "a shortest step, in medians, of",
}
