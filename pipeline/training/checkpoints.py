"""The checkpoints of one training: the last few are kept, and the newest that is whole is gone on from.

A store `step-NNNNNNNN.zarr` is whole whenever it is there: it gets its name when it is written, and loses it before it
is removed. Each holds the best weights so far, so these are wherever training can go on from.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.volume import InputError

PATTERN = "step-????????.zarr"


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: Where they lie.
        keep: How many stay.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """The steps that have one, in order."""
        return sorted(int(path.name[5:13]) for path in self.folder.glob(PATTERN))

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.zarr"

    def newest(self, before: int | None = None) -> tuple[Checkpoint | None, str]:
        """The newest whole one, of a step before the given one; and what is to be said of newer ones that are not
        whole, empty where there are none."""
        damaged: list[str] = []
        for step in reversed([step for step in self.steps() if before is None or step < before]):
            try:
                found = Checkpoint.load(self.path(step))
            except InputError as error:
                damaged.append(str(error).removesuffix("; give another one"))
                continue
            return found, "; ".join([*damaged, f"{self.path(step).name} is used instead"] if damaged else "")
        return None, "; ".join([*damaged, "none before is there, so training begins anew"] if damaged else "")

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, and then removes all but the last `keep`."""
        checkpoint.save(self.path(checkpoint.step))
        self.prune()

    def go_back(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint in the place of that of its step, and then removes all newer ones.

        Who is killed between goes on from a newer one, comes to the same end, and goes back once more.
        """
        checkpoint.save(self.path(checkpoint.step))
        for step in self.steps():
            if step > checkpoint.step:
                self._remove(step)

    def prune(self, needed: int | None = None) -> None:
        """Removes all but the last `keep` and that of a step which is `needed`, as newer ones are damaged; and what a
        killed process left of others."""
        for step in self.steps()[: -self.keep]:
            if step != needed:
                self._remove(step)
        for rest in self.folder.glob(f"{PATTERN}.removed"):
            shutil.rmtree(rest)

    def _remove(self, step: int) -> None:
        aside = self.path(step).with_suffix(".zarr.removed")
        if aside.exists():  # of a process that was killed here
            shutil.rmtree(aside)
        os.replace(self.path(step), aside)
        shutil.rmtree(aside)
